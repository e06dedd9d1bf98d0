"""The files of a device: each is written as a new file, and renamed when it is complete."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from tallystick.errors import TallystickError

_LONGEST_FILE = 64 * 1024
_FLAGS = os.O_NOFOLLOW | os.O_CLOEXEC


class AgentError(TallystickError):
    """The agent cannot go on. The text has the reason and the next action, and contains no token or key."""


class Disk(Protocol):
    """A folder. A change that returned outlasts a crash. Each method raises OSError, and then nothing has changed."""

    def read(self, name: str) -> bytes | None:
        """Return the content of a file; None if it does not exist."""
        ...

    def write(self, name: str, content: bytes) -> None:
        """Create or replace a file. A crash leaves the whole new file, or the file as it was."""
        ...

    def rename(self, name: str, new_name: str) -> None:
        """Rename a file. It replaces the file of the new name."""
        ...

    def delete(self, name: str) -> None:
        """Delete a file, if it exists."""
        ...


class FolderDisk:
    """A folder of the file system. The files have mode 0600."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, name: str) -> bytes | None:
        """Return the content of a file; None if it does not exist."""
        try:
            with (self._folder / name).open("rb") as stream:
                return stream.read(_LONGEST_FILE)
        except FileNotFoundError:
            return None

    def write(self, name: str, content: bytes) -> None:
        """Write a draft, flush it to the disk, and rename it."""
        draft = self._folder / f".{name}.new"
        try:
            with suppress(FileNotFoundError):
                draft.unlink()  # of a run that was killed
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS, 0o600), "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            draft.replace(self._folder / name)
        except OSError:
            with suppress(OSError):
                draft.unlink()
            raise
        self._flush()

    def rename(self, name: str, new_name: str) -> None:
        """Rename a file. It replaces the file of the new name."""
        (self._folder / name).replace(self._folder / new_name)
        self._flush()

    def delete(self, name: str) -> None:
        """Delete a file, if it exists."""
        (self._folder / name).unlink(missing_ok=True)
        self._flush()

    def _flush(self) -> None:
        """Flush the names of the folder to the disk: a rename alone does not outlast a power failure."""
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            # Some file systems cannot flush a folder. They keep the order of renames themselves.
            with suppress(OSError):
                os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def own_folder(folder: Path) -> Iterator[FolderDisk]:
    """Create a folder of mode 0700 if it does not exist, and lock it until the end of the block.

    Raises:
        AgentError: It cannot be used, or another agent uses it.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | _FLAGS, 0o600)
    except OSError as error:
        raise AgentError(
            f"--state-dir {folder} cannot be used: {error.strerror}; set a folder that this user can write"
        ) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AgentError(f"--state-dir {folder} is used by another agent; stop it, or set another folder") from None
        except OSError as error:
            raise AgentError(
                f"--state-dir {folder} cannot be locked: {error.strerror}; set a folder of a local file system"
            ) from error
        yield FolderDisk(folder)
    finally:
        os.close(descriptor)
