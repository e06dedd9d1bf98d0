"""Where `tallystick pair` stores a result. Each place proves that it can, before the pairing token is sent."""

import errno
import fcntl
import os
import re
import secrets
import select
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from tallystick.crypto.keys import SigningKey
from tallystick.pairing.client.files import PairError, held_key
from tallystick.runtime.stopping import signals_deferred

SPACE = 64 * 1024  # bytes that are reserved on the disk; a token or key is shorter
_LONGEST_PART = 50  # characters of a name in that of its draft, so that the draft's is no longer than a name can be
_DRAFT = re.compile(r"\..*\.tallystick-[0-9a-f]{16}", re.DOTALL)
_EXCLUSIVELY = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
}


class FilePlace:
    """A hidden file with reserved space, which becomes the file of a flag when its content is known.

    A reader sees the whole file or none.
    """

    def __init__(self, flag: str, path: Path, *, force: bool) -> None:
        self._flag = flag
        self._path = path
        self._force = force
        self._draft = path.with_name(f".{path.name[:_LONGEST_PART]}.tallystick-{secrets.token_hex(8)}")
        self._descriptor = os.open(self._draft, os.O_RDWR | _EXCLUSIVELY, 0o600)
        try:
            with suppress(OSError):  # some file systems have no locks; then a later run leaves the draft
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._fill(bytes(SPACE))
        except BaseException:
            self.close()
            raise

    def store(self, content: str | bytes) -> Path:
        """Write the content into the reserved space, give the file its name, and return it.

        If another program took the name since the start, the file gets the first free one of `NAME.1`, `NAME.2`.

        Raises:
            PairError: The file cannot be stored any more. The text has the reason.
        """
        raw = content.encode("ascii") if isinstance(content, str) else content
        with signals_deferred():
            try:
                self._fill(raw)
                os.ftruncate(self._descriptor, len(raw))
                os.fsync(self._descriptor)
                self._close_file()  # a file server can refuse to rename an open file
                return self._publish()
            except OSError as error:
                raise PairError(f"{self._flag} {self._path} cannot be written: {error.strerror}") from error

    def close(self) -> None:
        """Delete the hidden file, if it was not published."""
        self._close_file()
        with suppress(OSError):
            self._draft.unlink()

    def _close_file(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _fill(self, content: bytes) -> None:
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        left = memoryview(content)
        while left:
            left = left[os.write(self._descriptor, left) :]
        os.fsync(self._descriptor)

    def _publish(self) -> Path:
        """Rename the draft. If that is impossible, use `NAME.1`, `NAME.2` and so on."""
        try:
            self._rename(self._path, force=self._force)
        except OSError:
            for number in count(1):
                spare = self._path.with_name(f"{self._path.name}.{number}")
                with suppress(FileExistsError):
                    self._rename(spare, force=False)
                    return spare
        return self._path

    def _rename(self, path: Path, *, force: bool) -> None:
        if force:
            if _kind(path):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
            self._draft.replace(path)
            return
        try:
            os.link(self._draft, path)
        except FileExistsError:
            raise
        except OSError:  # SMB, exFAT and others have no hard links
            os.close(os.open(path, os.O_WRONLY | _EXCLUSIVELY, 0o600))
            self._draft.replace(path)


class ClientKey:
    """The key of the client: from its file, or a new one that waits to be stored there.

    It is stored before the pairing token is sent. If the response is lost, the same key can repeat the request.
    """

    def __init__(self, key: SigningKey, path: Path, place: FilePlace | None) -> None:
        self.key = key
        self._path = path
        self._place = place

    def keep(self) -> None:
        """Store a new key in its file (mode 0600); raises PairError."""
        if self._place is None:
            return
        stored = self._place.store(self.key.to_pem())
        if stored != self._path:
            stored.unlink()
            raise PairError(f"--key-file {self._path} was created by another program; run the command again to use it")


class StandardOutput:
    """Standard output as the place of the master token."""

    def __init__(self) -> None:
        """Check it; raises PairError if it cannot be written."""
        reason = _why_not_writable()
        if reason:
            raise PairError(f"standard output cannot be written: {reason}; set a file with --out")

    def store(self, content: str) -> None:
        """Print the content; raises PairError."""
        try:
            print(content, flush=True)
        except OSError as error:
            # Otherwise Python would try again at its end, and report that in its own words.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise PairError(f"standard output cannot be written: {error.strerror}") from None


@contextmanager
def file_place(flag: str, path: Path, *, force: bool) -> Iterator[FilePlace]:
    """Reserve a place for the file of a flag; without its content, the end of the block deletes it.

    Raises:
        PairError: There is such a file already, it is no regular file, or it cannot be written.
    """
    try:
        kind = _kind(path)
        if kind:
            raise PairError(f"{flag} {path} is {kind}; set the path of a regular file, or of one that does not exist")
        if not force and os.path.lexists(path):
            raise PairError(f"{flag} {path} already exists; set another file, or add --force to overwrite it")
        _delete_leftovers(path.parent)
        place = FilePlace(flag, path, force=force)
    except OSError as error:
        raise PairError(
            f"{flag} {path} cannot be written: {error.strerror}; set a file in a folder that exists and has free space"
        ) from error
    try:
        yield place
    finally:
        place.close()


@contextmanager
def client_key(path: Path) -> Iterator[ClientKey]:
    """Read a key from its file; if there is no such file, make a key and reserve the place of its file."""
    held = held_key(path)
    if held is not None:
        yield ClientKey(held, path, None)
        return
    with file_place("--key-file", path, force=False) as place:
        yield ClientKey(SigningKey.generate("ES256"), path, place)


def _kind(path: Path) -> str:
    """Return the kind of a file that is not regular; an empty text for a regular one, and if there is none."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return ""
    return "" if stat.S_ISREG(mode) else _KINDS.get(stat.S_IFMT(mode), "a device")


def _delete_leftovers(folder: Path) -> None:
    """Delete the drafts of runs that were killed. A run that goes on holds the lock of its draft."""
    with os.scandir(folder) as entries:
        drafts = [Path(entry.path) for entry in entries if _DRAFT.fullmatch(entry.name)]
    for draft in drafts:
        with suppress(OSError):
            descriptor = os.open(draft, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                status = os.fstat(descriptor)
                # It is locked before it has content, so an empty one can be that of a run that has just begun.
                if stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and status.st_size:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    draft.unlink()
            finally:
                os.close(descriptor)


def _why_not_writable() -> str:
    """Return the reason why standard output cannot be written, as far as that shows without writing to it."""
    if sys.stdout is None or sys.stdout.closed:
        return "it is closed"
    try:
        descriptor = sys.stdout.fileno()
    except OSError:  # it is not a file
        return ""
    try:
        os.write(descriptor, b"")  # a device that is full refuses this, too
        space = os.fstatvfs(descriptor)
    except OSError as error:
        return error.strerror or str(error)
    known = stat.S_ISREG(os.fstat(descriptor).st_mode) and space.f_blocks
    if known and space.f_bavail * space.f_frsize < SPACE:
        return os.strerror(errno.ENOSPC)
    poll = select.poll()
    poll.register(descriptor, 0)
    return os.strerror(errno.EPIPE) if any(event & select.POLLERR for _, event in poll.poll(0)) else ""
