"""A clock that is moved by hand, and ids that count."""

from datetime import UTC, datetime, timedelta

NOON = datetime(2030, 1, 1, 12, 0, 0, tzinfo=UTC)


class FakeClock:
    """Time that stands still until a test moves it."""

    def __init__(self, start: datetime = NOON) -> None:
        self._now = start
        self._monotonic = 1000.0
        self.pauses: list[float] = []

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    async def pause(self, seconds: float) -> None:
        """Remember for how long somebody would wait; no time passes."""
        self.pauses.append(seconds)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.jump(seconds)
        self._monotonic += seconds

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward or back, as NTP or a person does; no time passes."""
        self._now += timedelta(seconds=seconds)


class CountingIds:
    """UUIDv4 lookalikes: ...0001, ...0002."""

    def __init__(self) -> None:
        self._last = 0

    def new(self) -> str:
        self._last += 1
        return f"00000000-0000-4000-8000-{self._last:012x}"
