"""Files that another program renews, such as a CA bundle. Their content is used as soon as it changes."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import structlog

from tallystick.errors import InvalidSettingError, TallystickError
from tallystick.runtime.files import read_setting_file

T = TypeVar("T")
POLL_SECONDS = 5.0

log = structlog.get_logger("tallystick.files")


@dataclass(slots=True)
class Renewed:
    """One file, or files that belong together, with the content that is in use.

    Attributes:
        path: The file for the log.
        read: Returns the content. Links are followed each time: a kubelet renews a mounted Secret by swapping a link.
        parse: Returns the value of a content. It raises an error if the content cannot be used.
        use: Takes the value of each new content.

    `read` and `parse` raise OSError, ValueError or TallystickError.
    """

    path: Path
    read: Callable[[], Any]
    parse: Callable[[Any], Any]
    use: Callable[[Any], None]
    _content: Any = field(repr=False)
    _problem: str | None = None

    def look(self) -> bool:
        """Use the content if it has changed. A content that cannot be used is not: the last good one stays in use."""
        try:
            content = self.read()
            # The content decides: a copy can keep the time and the size of the former file.
            changed = content != self._content
            value = self.parse(content) if changed else None
        except (OSError, ValueError, TallystickError) as error:
            self._report(reason_of(error))
            return False
        self._problem = None
        if not changed:
            return False
        self._content = content
        self.use(value)
        log.info("file read again", file=str(self.path))
        return True

    async def watch(self, poll_seconds: float = POLL_SECONDS) -> None:
        """Look periodically, until canceled."""
        await _look_periodically(self.look, poll_seconds)

    def _report(self, problem: str) -> None:
        if problem != self._problem:
            log.warning("file not read again, the last content stays in use", file=str(self.path), reason=problem)
        self._problem = problem


class RenewedFiles:
    """The renewed files of one process."""

    def __init__(self) -> None:
        self._files: list[Renewed] = []

    def add(self, path: Path, flag: str, parse: Callable[[bytes], T], use: Callable[[T], None] = lambda _: None) -> T:
        """Read a file now, and again whenever it changes. Return its first value.

        Args:
            path: The file: a regular file of at most 1 MiB.
            flag: The setting that names it, for the error.
            parse: Returns the value of a content; raises ValueError or TallystickError if it cannot be used.
            use: Takes the value of each later content.

        Raises:
            InvalidSettingError: The file cannot be used now.
        """
        read = partial(read_setting_file, flag, path)
        content = read()
        try:
            value = parse(content)
        except InvalidSettingError:
            raise
        except (OSError, ValueError, TallystickError) as error:
            raise InvalidSettingError(f"{flag} {path} cannot be read: {reason_of(error)}") from error
        self._files.append(Renewed(path, read, parse, use, content))
        return value

    def look(self) -> None:
        """Use each content that has changed."""
        for file in self._files:
            file.look()

    async def watch(self, poll_seconds: float = POLL_SECONDS) -> None:
        """Look periodically, until canceled."""
        await _look_periodically(self.look, poll_seconds)


async def _look_periodically(look: Callable[[], object], poll_seconds: float) -> None:
    while True:
        await asyncio.sleep(poll_seconds)
        look()


def reason_of(error: Exception) -> str:
    """Return why a file cannot be used."""
    text = getattr(error, "reason", None) or getattr(error, "strerror", None)  # of OpenSSL, of the operating system
    return str(text or error) or type(error).__name__
