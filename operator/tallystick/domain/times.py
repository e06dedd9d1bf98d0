"""Times as tokens and objects have them: whole seconds, in UTC (RFC 7519 2, NumericDate)."""

from datetime import UTC, datetime


def whole_second(time: datetime) -> datetime:
    """Cut a time to the second, so that `iat` and what the object says are the same."""
    return time.astimezone(UTC).replace(microsecond=0)


def numeric_date(time: datetime) -> int:
    """Write a time as seconds since the epoch."""
    return int(time.timestamp())


def from_numeric_date(seconds: int) -> datetime:
    """Read seconds since the epoch."""
    return datetime.fromtimestamp(seconds, tz=UTC)


def rfc3339(time: datetime) -> str:
    """Write a time for people and for the API: `2026-11-22T03:05:00Z`."""
    return f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
