"""Files that another program renews, such as a CA bundle. Their content is used as soon as it changes."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import structlog

from tallystick.errors import InvalidSettingError, TallystickError

T = TypeVar("T")
POLL_SECONDS = 5.0

log = structlog.get_logger("tallystick.files")


@dataclass(slots=True)
class RenewedFile:
    """One file, with the content that is in use.

    Attributes:
        path: The file. Links are followed each time: a kubelet renews a mounted Secret by swapping a link.
        parse: Returns the value of a content; raises ValueError or TallystickError if it cannot be used.
        use: Takes the value of each new content.
    """

    path: Path
    parse: Callable[[bytes], Any]
    use: Callable[[Any], None]
    _content: bytes = field(repr=False)
    _problem: str | None = None

    def look(self) -> bool:
        """Use the content if it has changed. A content that cannot be used is not: the last good one stays in use."""
        try:
            content = self.path.read_bytes()
            # The content decides: a copy can keep the time and the size of the former file.
            changed = content != self._content
            value = self.parse(content) if changed else None
        except (OSError, ValueError, TallystickError) as error:
            self._report(_reason(error))
            return False
        self._problem = None
        if not changed:
            return False
        self._content = content
        self.use(value)
        log.info("file read again", file=str(self.path))
        return True

    def _report(self, problem: str) -> None:
        if problem != self._problem:
            log.warning("file not read again, the last content stays in use", file=str(self.path), reason=problem)
        self._problem = problem


class RenewedFiles:
    """The renewed files of one process."""

    def __init__(self) -> None:
        self._files: list[RenewedFile] = []

    def add(self, path: Path, flag: str, parse: Callable[[bytes], T], use: Callable[[T], None] = lambda _: None) -> T:
        """Read a file now, and again whenever it changes. Return its first value.

        Args:
            path: The file.
            flag: The setting that names it, for the error.
            parse: Returns the value of a content; raises ValueError or TallystickError if it cannot be used.
            use: Takes the value of each later content.

        Raises:
            InvalidSettingError: The file cannot be used now.
        """
        try:
            content = path.read_bytes()
            value = parse(content)
        except InvalidSettingError:
            raise
        except (OSError, ValueError, TallystickError) as error:
            raise InvalidSettingError(f"{flag} {path} cannot be read: {_reason(error)}") from error
        self._files.append(RenewedFile(path, parse, use, content))
        return value

    def look(self) -> None:
        """Use each content that has changed."""
        for file in self._files:
            file.look()

    async def watch(self, poll_seconds: float = POLL_SECONDS) -> None:
        """Look periodically, until canceled."""
        while True:
            await asyncio.sleep(poll_seconds)
            self.look()


def _reason(error: Exception) -> str:
    strerror: str | None = getattr(error, "strerror", None)
    return strerror or str(error) or type(error).__name__
