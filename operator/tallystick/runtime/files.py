"""Read a file that a setting names. A failure says which file it is, and what to do."""

import os
import stat
from pathlib import Path

from tallystick.errors import InvalidSettingError

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
