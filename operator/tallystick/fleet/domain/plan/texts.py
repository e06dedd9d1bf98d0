"""How the plan and the watch write durations, names and tables."""

from collections.abc import Iterable, Sequence
from datetime import timedelta

MOST_NAMED = 3
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


def duration_text(duration: timedelta) -> str:
    """Write a duration for people, with its two largest units: `40s`, `2m5s`, `3h20m`, `2d4h`; at least 0s."""
    seconds = max(0, round(duration.total_seconds()))
    if seconds < _MINUTE:
        return f"{seconds}s"
    if seconds < _HOUR:
        return _two(seconds, _MINUTE, "m", 1, "s")
    if seconds < _DAY:
        return _two(seconds, _HOUR, "h", _MINUTE, "m")
    return _two(seconds, _DAY, "d", _HOUR, "h")


def field_duration(duration: timedelta) -> str:
    """Write a duration as a field takes it: rounded up to minutes, in hours and minutes."""
    minutes = -(-round(duration.total_seconds()) // _MINUTE)
    hours, minutes = divmod(max(1, minutes), 60)
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if minutes or not hours else "")


def devices_text(count: int) -> str:
    """Write a number of devices."""
    return f"{count} device{'' if count == 1 else 's'}"


def named(names: Sequence[str]) -> str:
    """Write the first names, and how many follow."""
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def table_text(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table for people, as kubectl does: each column as wide as its longest cell, three spaces between."""
    lines = [columns, *rows]
    widths = [max(len(line[at]) for line in lines) for at in range(len(columns))]
    return "\n".join(
        "   ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def _two(seconds: int, large: int, large_unit: str, small: int, small_unit: str) -> str:
    first, rest = divmod(seconds, large)
    second = rest // small
    return f"{first}{large_unit}" + (f"{second}{small_unit}" if second else "")
