"""The windows in which devices may start: a schedule as in CronJob, a time zone, and a duration.

When the clocks change, the schedule follows the wall clock, as Debian's cron does, and the duration is elapsed time.
So a window of four hours is four hours long in each night of the year.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

FIELDS = 5
_MINUTE = timedelta(minutes=1)
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Window:
    """One of `spec.strategy.windows`."""

    schedule: str
    duration: timedelta
    time_zone: str = "UTC"


def why_invalid(window: Window) -> str | None:
    """Return why a window cannot be used, as a message for its user; None if it can."""
    try:
        zone = _zone(window)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return f'timeZone "{window.time_zone}" is unknown; set a name such as Europe/Berlin'
    if len(window.schedule.split()) != FIELDS:
        return f'schedule "{window.schedule}" does not have five fields; set one such as "0 2 * * 6"'
    try:
        CronSim(window.schedule, datetime(2000, 1, 1, tzinfo=zone))
    except CronSimError as error:
        return f'schedule "{window.schedule}" is not valid: {error}'
    return None


def end_of_present(windows: Iterable[Window], now: datetime) -> datetime | None:
    """Return when the present window ends, in UTC; None outside all windows. Of several windows the last end counts."""
    ends = [end for window in windows if (end := _end(window, now)) is not None]
    return max(ends, default=None)


def next_start(windows: Iterable[Window], now: datetime) -> datetime | None:
    """Return when the next window starts, in UTC; None if none of them ever starts again."""
    starts = [start for window in windows if (start := _start_after(window, now)) is not None]
    return min(starts, default=None)


def _end(window: Window, now: datetime) -> datetime | None:
    """Return the end of the latest occurrence of this window that has begun, if it is still to come.

    The search goes forward in steps that double, because a search backward takes each hour of a change of clocks for
    one hour only.
    """
    earliest = now - window.duration
    span = _MINUTE
    while True:
        since = max(earliest, now - span)
        start = _last_start(window, since, now)
        if start is not None:
            return start + window.duration
        if since == earliest:
            return None
        span *= 2


def _last_start(window: Window, since: datetime, now: datetime) -> datetime | None:
    """Return the last start after `since` and not after `now`."""
    last, at = None, _start_after(window, since)
    while at is not None and at <= now:
        last, at = at, _start_after(window, at)
    return last


def _start_after(window: Window, time: datetime) -> datetime | None:
    start = _tick_after(window, time)
    if start is None:
        return None
    # The library goes on by whole hours. Where clocks go back by half an hour, as on Lord Howe Island, it enters an
    # hour in its middle. So the search begins again where that hour begins.
    hour = start.astimezone(_zone(window)).replace(minute=0)
    before = hour.astimezone(UTC) - _SECOND
    return _tick_after(window, before) if before > time else start


def _tick_after(window: Window, time: datetime) -> datetime | None:
    zone = _zone(window)
    ticks = CronSim(window.schedule, time.astimezone(zone))
    try:
        start = next(ticks).astimezone(UTC)
        # In the hour that the clocks repeat, the library returns the first of both times, which may be past.
        while start <= time:
            start = next(ticks).astimezone(UTC)
    except StopIteration:
        return None
    return start


def _zone(window: Window) -> tzinfo:
    # The library has no special cases for this object, and has them for a ZoneInfo of UTC.
    return UTC if window.time_zone == "UTC" else ZoneInfo(window.time_zone)
