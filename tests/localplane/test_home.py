"""A data folder: what a killed process left there goes at the next start, and two processes never share it."""

import subprocess
import sys
from pathlib import Path

import pytest

from tallystick.localplane.errors import PlaneError
from tallystick.localplane.folders import LOCK_NAME, FolderLock, data_folder, private_folder, write_private
from tallystick.localplane.home import TEMPORARY, open_home, require_not_held


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def left_behind(folder: Path) -> Path:
    """Make the temporary folder of a process that was killed."""
    root = private_folder(folder / f"{TEMPORARY}killed")
    (root / LOCK_NAME).write_text("4711\n")
    write_private(private_folder(root / "pki") / "ca.key", b"a key")
    return root


def test_a_folder_is_taken_again_and_two_at_once_are_refused(tmp_path: Path) -> None:
    first = open_home(tmp_path / "data")
    (tmp_path / "data" / "run").mkdir()

    for attempt in (open_home, require_not_held):
        with pytest.raises(PlaneError, match=r"data is in use by process [0-9]+\. Stop that process"):
            attempt(tmp_path / "data")
    first.close()

    require_not_held(tmp_path / "data")
    open_home(tmp_path / "data").close()


def test_a_file_system_of_its_own_is_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "data" / "lost+found").mkdir(parents=True)
    (tmp_path / "data").chmod(0o700)

    open_home(tmp_path / "data").close()


def test_the_temporary_folder_of_a_killed_process_goes_at_the_next_start(temporary: Path) -> None:
    left = left_behind(temporary)

    home = open_home(None)

    assert not left.exists()
    assert list(temporary.iterdir()) == [home.layout.root]
    home.close()
    assert list(temporary.iterdir()) == []


def test_the_temporary_folders_of_others_stay(temporary: Path) -> None:
    running = open_home(None)
    starting = private_folder(temporary / f"{TEMPORARY}starting")
    (starting / LOCK_NAME).touch()
    (temporary / f"{TEMPORARY}file").touch()
    target = left_behind(private_folder(temporary / "elsewhere"))
    (temporary / f"{TEMPORARY}link").symlink_to(target)

    open_home(None).close()

    assert running.layout.root.exists()
    assert starting.exists()
    assert (target / "pki" / "ca.key").exists()
    running.close()


def test_what_says_that_all_is_ready_goes_at_the_next_start(tmp_path: Path) -> None:
    open_home(tmp_path / "data").close()
    for name in ("exchange-url", "kubeconfig", "kept"):
        (tmp_path / "data" / name).write_text("of a run that was killed")

    home = open_home(tmp_path / "data", announcements=("exchange-url", "kubeconfig", "ca.crt"))

    assert {entry.name for entry in (tmp_path / "data").iterdir()} == {"kept", LOCK_NAME}
    home.close()


def test_drafts_with_keys_of_a_killed_process_go_at_the_next_start(tmp_path: Path) -> None:
    open_home(tmp_path / "data").close()
    draft = private_folder(tmp_path / "data" / "pki") / ".ca.key.4711"
    draft.write_bytes(b"a key")

    open_home(tmp_path / "data").close()

    assert not draft.exists()


def test_a_write_that_fails_leaves_no_draft(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()

    with pytest.raises(PlaneError, match=r"folder cannot be written: Is a directory\."):
        write_private(tmp_path / "folder", b"content")

    assert [entry.name for entry in tmp_path.iterdir()] == ["folder"]


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        pytest.param("file/data", "cannot be created: Not a directory", id="a file in place of a folder"),
        pytest.param("file", "is not a folder", id="a file"),
        pytest.param("loop/data", "cannot be created: Too many levels of symbolic links", id="links in a circle"),
        pytest.param("n" * 300, "cannot be created: File name too long", id="a long name"),
        pytest.param("/proc/data", "cannot be created: ", id="a file system that creates nothing"),
    ],
)
def test_a_data_folder_that_cannot_be_made_is_refused_in_one_line(tmp_path: Path, path: str, reason: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")

    with pytest.raises(PlaneError, match=reason) as refused:
        data_folder(tmp_path / path)

    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("make", [Path.mkdir, lambda path: path.symlink_to("elsewhere")], ids=["folder", "link"])
def test_a_lock_that_is_no_file_is_refused_in_one_line(tmp_path: Path, make) -> None:
    make(data_folder(tmp_path / "data") / LOCK_NAME)

    with pytest.raises(PlaneError, match=f"{LOCK_NAME} cannot be used: |contains files of other programs"):
        open_home(tmp_path / "data")


def test_a_lock_belongs_to_one_process(tmp_path: Path) -> None:
    lock = FolderLock.take(tmp_path / "lock", on_busy=lambda _: None)
    code = f"""
from pathlib import Path
from tallystick.localplane.folders import FolderLock
print(FolderLock.take_over(Path({str(tmp_path / "lock")!r})))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    lock.release()

    assert done.stdout == "None\n"
    assert FolderLock.take_over(tmp_path / "lock") is not None
    assert FolderLock.take_over(tmp_path / "none") is None
