"""A clock that a test can move, shared by processes through a file. It never goes back, unless it is made to stand."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

VARIABLE = "TALLYSTICK_HARNESS_CLOCK"
STANDING = "TALLYSTICK_HARNESS_STANDING"
FOLLOWING = "TALLYSTICK_HARNESS_FOLLOWING"
_STANDS = "stands at "


class MovedClock:
    """The real clock, and as many seconds more as the file says; or the one instant that the file says.

    Args:
        file: what moves it.
        durations_stand: no time passes between two readings of `monotonic`, however slow the machine is. What is
            measured by it, such as how many failures a source has regained, depends on requests alone then.
        durations_follow: `monotonic` is the time of day. So a Lease expires when the test says so, and not before.
    """

    def __init__(self, file: Path, *, durations_stand: bool = False, durations_follow: bool = False) -> None:
        self._file = file
        self._durations_follow = durations_follow
        self._stands_at = time.monotonic() if durations_stand else None

    @property
    def ahead(self) -> timedelta:
        instant, seconds = self._read()
        return seconds if instant is None else instant - datetime.now(UTC)

    def now(self) -> datetime:
        instant, seconds = self._read()
        return datetime.now(UTC) + seconds if instant is None else instant

    def monotonic(self) -> float:
        if self._durations_follow:
            return self.now().timestamp()
        return time.monotonic() if self._stands_at is None else self._stands_at

    async def pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def advance(self, by: timedelta) -> None:
        self._write(str((self.ahead + by).total_seconds()))

    def stand_at(self, instant: datetime) -> None:
        """Let it be this instant until further notice. Only for a clock that one test has for itself."""
        self._write(f"{_STANDS}{instant.isoformat()}")

    def go_on(self) -> None:
        """Let the time pass again from where it stands."""
        self.advance(timedelta(0))

    def _read(self) -> tuple[datetime | None, timedelta]:
        text = self._file.read_text()
        if text.startswith(_STANDS):
            return datetime.fromisoformat(text.removeprefix(_STANDS)), timedelta(0)
        return None, timedelta(seconds=float(text or 0))

    def _write(self, text: str) -> None:
        fresh = self._file.with_suffix(".new")
        fresh.write_text(text)
        fresh.replace(self._file)
