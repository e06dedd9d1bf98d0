"""Folders that are ours alone (S26), and locks."""

import fcntl
import os
from pathlib import Path

import pytest

from tallystick.localplane.errors import PlaneError
from tallystick.localplane.folders import LOCK_NAME, FolderLock, data_folder, private_folder, write_private


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_new_folder_is_closed_to_others(tmp_path: Path) -> None:
    assert mode_of(private_folder(tmp_path / "parent" / "data")) == 0o700


def test_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "data").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(PlaneError, match="is a symbolic link"):
        data_folder(tmp_path / "data")


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o755, 0o701])
def test_a_folder_open_to_others_is_refused_with_the_way_out(tmp_path: Path, mode: int) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    folder.chmod(mode)

    with pytest.raises(PlaneError, match=f"chmod 700 {folder}"):
        data_folder(folder)


def test_a_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    if os.geteuid() == 0:
        os.chown(folder, 65534, 65534)
    else:
        folder = Path("/")  # who is not root can give nothing away, but this one is root's

    with pytest.raises(PlaneError, match="belongs to another user"):
        data_folder(folder)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")

    with pytest.raises(PlaneError, match="is not a folder"):
        data_folder(tmp_path / "data")


def test_a_folder_with_files_of_others_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o700)
    (tmp_path / "data" / "thesis.tex").write_text("")

    with pytest.raises(PlaneError, match="contains files of other programs"):
        data_folder(tmp_path / "data")


def test_a_folder_that_was_ours_before_is_taken_again(tmp_path: Path) -> None:
    folder = data_folder(tmp_path / "data")
    (folder / LOCK_NAME).touch()
    (folder / "etcd").mkdir()

    assert data_folder(folder) == folder


def test_a_private_file_replaces_the_former_one_and_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("old")
    path.chmod(0o644)

    write_private(path, b"new")

    assert (path.read_text(), mode_of(path)) == ("new", 0o600)
    assert [entry.name for entry in tmp_path.iterdir()] == ["key"]


def test_a_held_lock_names_its_holder(tmp_path: Path) -> None:
    def refuse(holder: str) -> None:
        raise PlaneError(f"held by {holder}")

    lock = FolderLock.take(tmp_path / "lock", on_busy=refuse)
    with pytest.raises(PlaneError, match=f"held by {os.getpid()}"):
        FolderLock.take(tmp_path / "lock", on_busy=refuse)
    lock.release()

    FolderLock.take(tmp_path / "lock", on_busy=refuse).release()


def test_a_lock_is_free_once_it_is_released_twice(tmp_path: Path) -> None:
    lock = FolderLock.take(tmp_path / "lock", on_busy=lambda _: None)
    lock.release()
    lock.release()

    with (tmp_path / "lock").open("rb") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert stream.read().decode().strip() == str(os.getpid())
