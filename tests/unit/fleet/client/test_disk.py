"""The folder of a device: whole files of mode 0600, one agent at a time."""

import errno
import os
import stat

import pytest

from tallystick.fleet.client.disk import AgentError, FolderDisk, own_folder


def test_a_file_is_written_read_renamed_and_deleted(tmp_path):
    disk = FolderDisk(tmp_path)

    disk.write("next.json", b"1")
    disk.write("next.json", b"2")
    written = disk.read("next.json")
    disk.write("proved.json", b"0")
    disk.rename("next.json", "proved.json")
    renamed = (disk.read("next.json"), disk.read("proved.json"))
    disk.delete("proved.json")
    disk.delete("proved.json")

    assert (written, renamed) == (b"2", (None, b"2"))
    assert list(tmp_path.iterdir()) == []


def test_a_file_can_be_read_by_its_owner_alone(tmp_path):
    FolderDisk(tmp_path).write("key.pem", b"k")

    assert stat.S_IMODE((tmp_path / "key.pem").stat().st_mode) == 0o600


def test_a_write_that_fails_leaves_the_file_as_it_was_and_no_draft(tmp_path, monkeypatch):
    disk = FolderDisk(tmp_path)
    disk.write("proved.json", b"old")

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        disk.write("proved.json", b"new")

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"proved.json": b"old"}


def test_the_draft_of_a_run_that_was_killed_is_replaced(tmp_path):
    (tmp_path / ".next.json.new").write_bytes(b"half")

    FolderDisk(tmp_path).write("next.json", b"whole")

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"next.json": b"whole"}


def test_a_draft_that_is_a_link_is_not_followed(tmp_path):
    other = tmp_path / "other"
    other.write_bytes(b"kept")
    (tmp_path / ".next.json.new").symlink_to(other)

    FolderDisk(tmp_path).write("next.json", b"new")

    assert (other.read_bytes(), (tmp_path / "next.json").is_symlink()) == (b"kept", False)


def test_a_folder_is_made_for_its_owner_alone(tmp_path):
    folder = tmp_path / "var" / "device"

    with own_folder(folder) as disk:
        disk.write("key.pem", b"k")

    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert (folder / "key.pem").read_bytes() == b"k"


def test_two_agents_cannot_use_one_folder_at_the_same_time(tmp_path):
    with own_folder(tmp_path), pytest.raises(AgentError, match="used by another agent"), own_folder(tmp_path):
        pass

    with own_folder(tmp_path):
        assert (tmp_path / ".lock").exists()


def test_a_folder_that_cannot_be_used_is_named(tmp_path):
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(AgentError, match="--state-dir"), own_folder(tmp_path / "file"):
        pass
