"""A clock that a test can move, shared by processes through a file. It never goes back."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

VARIABLE = "TALLYSTICK_HARNESS_CLOCK"


class MovedClock:
    """The real clock, and as many seconds more as the file says."""

    def __init__(self, file: Path) -> None:
        self._file = file

    @property
    def ahead(self) -> timedelta:
        return timedelta(seconds=float(self._file.read_text() or 0))

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def monotonic(self) -> float:
        return time.monotonic()

    def advance(self, by: timedelta) -> None:
        fresh = self._file.with_suffix(".new")
        fresh.write_text(str((self.ahead + by).total_seconds()))
        fresh.replace(self._file)
