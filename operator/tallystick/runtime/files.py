"""Read and write files that a setting or flag names. A failure says which file it is, and what to do."""

import os
import stat
from contextlib import suppress
from pathlib import Path

from tallystick.errors import InvalidSettingError, TallystickError

LONGEST = 1024 * 1024


def read_setting_file(flag: str, path: Path) -> bytes:
    """Return the content of a regular file of at most 1 MiB.

    Raises:
        InvalidSettingError: It cannot be read, or is not such a file. The text names the flag and the file.
    """
    try:
        # Without O_NONBLOCK, a FIFO would keep the process waiting for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as stream:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise InvalidSettingError(f"{flag} {path} is not a regular file; set the path of one")
            raw = stream.read(LONGEST + 1)
    except OSError as error:
        raise InvalidSettingError(f"{flag} {path} cannot be read: {error.strerror}; set another file") from error
    if len(raw) > LONGEST:
        raise InvalidSettingError(f"{flag} {path} is larger than 1 MiB; set another file")
    return raw


def setting_text(flag: str, path: Path, raw: bytes) -> str:
    """Return the text of the content of a file; raises InvalidSettingError if it is not UTF-8."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise InvalidSettingError(
            f"{flag} {path} is not UTF-8 text (line {line}); convert it, for example with iconv(1)"
        ) from None


def write_new_file(flag: str, path: Path, text: str, *, error: type[TallystickError]) -> None:
    """Write UTF-8 text into a new file of mode 0600. An existing file is not changed, and no half of a file stays.

    `error` is raised if that is not possible. Its text names the flag and the file.
    """
    try:
        # With O_EXCL, a link that is in the way is not followed, wherever it leads.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError as failure:
        raise error(f"{flag} {path} already exists; nothing was written; set the path of a new file") from failure
    except OSError as failure:
        raise error(f"{flag} {path} cannot be created: {failure.strerror}; set another file") from failure
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as failure:
        with suppress(OSError):
            path.unlink()
        raise error(f"{flag} {path} cannot be written: {failure.strerror}; set another file") from failure
