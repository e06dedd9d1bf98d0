"""How a command ends: an expected error is one line on standard error and the exit status 1.

The exit status is 0 after success, 1 after an error, and 2 if the command line cannot be parsed. After a signal it is
128 and the number of the signal.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO


@contextmanager
def ended_in_one_line() -> Iterator[None]:
    """Print an expected error of this block in one line, and exit with status 1."""
    for stream in (sys.stdout, sys.stderr):
        _print_anything(stream)
    try:
        yield
    except OSError as error:
        _fail(_text_of(error))
    except Exception as error:
        if not _is_expected(error):
            raise
        _fail(str(error))


def _is_expected(error: Exception) -> bool:
    # Imported late: --help does not need them.
    from tallystick.crypto.keyring import KeyringError
    from tallystick.errors import TallystickError
    from tallystick.objects.ports import ClusterError

    return isinstance(error, TallystickError | ClusterError | KeyringError)


def _text_of(error: OSError) -> str:
    """Return the text of an error that no command has explained: the reason, and the file if there is one."""
    reason = error.strerror or str(error) or type(error).__name__
    if error.filename is not None:
        return f"{os.fsdecode(error.filename)}: {reason}; check the path, its permissions and the space on its disk"
    return f"{reason}; check standard output, the current folder and the space on the disk"


def _fail(text: str) -> None:
    _drop_unwritten_output()
    with suppress(OSError):  # the terminal can be gone
        print(f"error: {text}", file=sys.stderr, flush=True)
    raise SystemExit(1) from None


def _drop_unwritten_output() -> None:
    """Python writes the rest of standard output at its end. If that is impossible, it would report that, too."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _print_anything(stream: TextIO | None) -> None:
    """Escape characters that the encoding of a stream lacks, such as those of a path."""
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")
