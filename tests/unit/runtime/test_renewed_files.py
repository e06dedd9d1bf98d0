"""Files that another program renews: the content decides, and the last good one stays in use."""

import os
import shutil
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tallystick.errors import InvalidSettingError
from tallystick.runtime.renewed_files import RenewedFiles


def number(content: bytes) -> int:
    return int(content)


class Followed:
    """A file that holds a number, and the numbers that were used."""

    def __init__(self, path: Path) -> None:
        self.files, self.used = RenewedFiles(), [0]
        self.used[0] = self.files.add(path, "--number-file", number, self.used.append)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file as a kubelet mounts it: a link into a folder, to which another link points."""
    for name, content in (("first", "11"), ("second", "22")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "number").write_text(content)
    (tmp_path / "..data").symlink_to("first")
    (tmp_path / "number").symlink_to("..data/number")
    return tmp_path / "number"


def swapped_by_a_kubelet(path: Path) -> None:
    (path.parent / "..new").symlink_to("second")
    (path.parent / "..new").rename(path.parent / "..data")


def replaced(path: Path) -> None:
    path.with_suffix(".new").write_text("22")
    path.with_suffix(".new").rename(path)


def written_in_place(path: Path) -> None:
    path.write_text("22")


def written_with_the_former_time_and_size(path: Path) -> None:
    before = path.stat()
    path.write_text("22")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize(
    "renew", [swapped_by_a_kubelet, replaced, written_in_place, written_with_the_former_time_and_size]
)
def test_a_new_content_is_used_once_however_it_was_written(path, renew):
    followed = Followed(path)

    renew(path)
    followed.files.look()
    followed.files.look()

    assert followed.used == [11, 22]


def deleted(path: Path) -> None:
    path.unlink()


def emptied(path: Path) -> None:
    path.write_text("")


def damaged(path: Path) -> None:
    path.write_text("twenty")


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", [deleted, emptied, damaged, a_folder])
def test_a_content_that_cannot_be_used_is_warned_of_once_and_the_next_good_one_is_used(path, damage):
    followed = Followed(path)

    damage(path)
    with capture_logs() as lines:
        for _ in range(3):
            followed.files.look()
    kept = list(followed.used)
    if path.is_dir():
        path.rmdir()
    path.write_text("33")
    followed.files.look()

    assert [line["log_level"] for line in lines] == ["warning"]
    assert (kept, followed.used) == ([11], [11, 33])


def test_a_content_that_is_as_before_after_a_damage_is_not_used_again(path):
    followed = Followed(path)

    damaged(path)
    followed.files.look()
    path.write_text("11")
    followed.files.look()

    assert followed.used == [11]


def test_a_file_of_another_name_changes_nothing(path):
    followed = Followed(path)

    shutil.copy(path.parent / "second" / "number", path.parent / "other")
    followed.files.look()

    assert followed.used == [11]


@pytest.mark.parametrize("damage", [deleted, emptied, damaged, a_folder])
def test_a_file_that_cannot_be_used_at_the_start_is_an_error_that_names_it(path, damage):
    damage(path)

    with pytest.raises(InvalidSettingError, match=f"--number-file {path}"):
        Followed(path)
