"""The places of `maxConcurrency`: how many devices are let in and not done, and which of them have not come.

A place is taken by a device in progress, or kept for an open device that is Pending. A device that has not come within
three check-in periods loses its place to another one. It may still start when it comes, so those that come late may
exceed the bound by their number.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from tallystick.fleet.domain.facts import Opening, Strategy

PERIODS_KEPT = 3


@dataclass(frozen=True, slots=True)
class Places:
    """The places that the leader keeps. A new leader keeps each of them from its start: it lets in too few at first.

    Attributes:
        waiting: The open devices that are Pending, and since when each could have started.
        given_away: The open devices that are Pending and whose place went to another one.
    """

    waiting: Mapping[str, datetime] = field(default_factory=dict)
    given_away: frozenset[str] = frozenset()

    def seen(self, names: Iterable[str], now: datetime, *, may_start: bool) -> "Places":
        """Return the places after a look at the devices.

        Args:
            names: The open devices that are Pending.
            now: The time.
            may_start: Whether an open device can start now. The time of a pause or between windows does not count.
        """
        pending = set(names)
        kept = {name: since for name, since in self.waiting.items() if may_start and name in pending}
        new = dict.fromkeys(sorted(pending - kept.keys() - self.given_away), now)
        return Places({**kept, **new}, self.given_away & pending)

    def passed_on(self, names: Iterable[str]) -> "Places":
        """Return the places after a GET of each of these devices has shown that it did not start."""
        gone = frozenset(names)
        waiting = {name: since for name, since in self.waiting.items() if name not in gone}
        return replace(self, waiting=waiting, given_away=self.given_away | gone)

    def overdue(self, period: timedelta, now: datetime) -> tuple[str, ...]:
        """Return the devices that have not come in time, in the order of names.

        Args:
            period: `spec.checkInPeriod` of the PairingToken.
            now: The time.
        """
        return tuple(sorted(name for name, since in self.waiting.items() if now >= since + PERIODS_KEPT * period))

    def time_of_change(self, period: timedelta) -> datetime | None:
        """Return when the next device is overdue; None if no place waits."""
        since = min(self.waiting.values(), default=None)
        return None if since is None else since + PERIODS_KEPT * period


def bound(strategy: Strategy, total: int) -> int | None:
    """Return `maxConcurrency` in devices, at least 1; None if there is no bound."""
    return None if strategy.max_concurrency is None else max(1, strategy.max_concurrency.rounded_down(total))


def widened(opening: Opening, upcoming: tuple[str, ...], free: int | None) -> Opening:
    """Return the opening after as many devices as there are free places were let in.

    Args:
        opening: The part of the batch that is open.
        upcoming: The Pending devices of this batch that are not open, in the order of names. Not all are needed, only
            one more than there are free places.
        free: The number of free places. None: no bound.
    """
    if free is None or len(upcoming) <= max(free, 0):
        return replace(opening, through=None)
    return replace(opening, through=upcoming[free - 1]) if free > 0 else opening
