"""The real clock."""

import time
from datetime import UTC, datetime


class SystemClock:
    """The machine's clocks, as the Clock port wants them."""

    def now(self) -> datetime:
        """The time of day, in UTC and aware."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds that never go back, for durations."""
        return time.monotonic()
