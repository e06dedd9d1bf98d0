"""The counts of a running rotation, kept up to date by each change of one device.

A change costs a few look-ups, however many devices there are. A look at the counts costs as much as there are batches
and devices in progress. All of it follows from the devices, so that it can be built again at any time.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator
from datetime import datetime
from heapq import heappop, heappush

from tallystick.fleet.domain.batches import batch_of
from tallystick.fleet.domain.counts import Counts, Standing, is_member, standing, time_of_change
from tallystick.fleet.domain.facts import DeviceFacts, Opening, RotationFacts, Target
from tallystick.fleet.domain.rotation.failures import FailedFacts, failure_of

Seat = tuple[int, Standing]
"""The batch of a member, from 1, and its standing in it."""


class Tally:
    """The standing of each device of a rotation, and the counts of each batch.

    Args:
        rotation: The rotation. It has started, and its batches are drawn.
        target: Its PairingToken.
        now: The time.
    """

    def __init__(self, rotation: RotationFacts, target: Target, now: datetime) -> None:
        self._rotation, self._target = rotation, target
        self._basis = _basis(rotation, target, now)
        self._seats: dict[str, Seat] = {}
        # All seats of a batch and a standing are one value: a fleet has few different ones.
        self._shared: dict[Seat, Seat] = {}
        self._counts = [Counts() for _ in range(len(rotation.strategy.batches) + 1)]
        # The names of each batch that were Pending once, in order. Those that are not any more stay, and are skipped.
        self._queues: list[list[str]] = [[] for _ in self._counts]
        self._due: list[tuple[datetime, str]] = []
        self._failed: dict[str, FailedFacts] = {}
        self._failures: list[FailedFacts] = []  # the same, oldest first
        self._opening: Opening | None = None
        self._open: set[str] = set()

    def fits(self, rotation: RotationFacts, target: Target, now: datetime) -> bool:
        """Return whether the counts still hold for a later version of the same objects, at a later time."""
        if self._basis != _basis(rotation, target, now):
            return False
        self._rotation, self._target = rotation, target
        return True

    @property
    def counts(self) -> tuple[Counts, ...]:
        """The counts of each batch; the last one is the rest."""
        return tuple(self._counts)

    def fill(self, devices: Iterable[DeviceFacts], now: datetime) -> None:
        """Count devices that are not counted yet."""
        for device in devices:
            self.note(device.name, device, now)

    def note(self, name: str, device: DeviceFacts | None, now: datetime) -> bool:
        """Count a device as it is now, and return whether that changes the counts. None: it was deleted."""
        before, after = self._seats.get(name), self._seat(device, now) if device is not None else None
        self._follow_failure(name, device if after is not None else None, now)
        self._follow_time(name, device, after, now)
        if before == after:
            return False
        if before is not None:
            self._leave(name, before)
        if after is not None:
            self._take(name, after)
        return True

    def overdue(self, now: datetime) -> list[str]:
        """Return the devices whose standing changes because time has passed, each once. Note each of them again."""
        names = []
        while self._due and self._due[0][0] <= now:
            names.append(heappop(self._due)[1])
        return list(dict.fromkeys(names))

    def next_change(self) -> datetime | None:
        """Return the next time at which a standing may change although no one writes; None if there is none."""
        return self._due[0][0] if self._due else None

    def upcoming(self, opening: Opening | None, most: int) -> tuple[str, ...]:
        """Return the Pending devices that would be let in next, in the order of names, at most so many."""
        if opening is None:
            return self._first_pending(1, "", most)
        if opening.through is not None:
            return self._first_pending(opening.batch, opening.through, most)
        return self._first_pending(opening.batch + 1, "", most) if opening.batch < len(self._counts) else ()

    def open_and_pending(self, opening: Opening | None) -> set[str]:
        """Return the devices that may start and have not."""
        if opening != self._opening:
            self._reopen(opening)
        return self._open

    def failed(self, most: int) -> list[FailedFacts]:
        """Return the newest failures, at most so many, newest first."""
        return self._failures[: -most - 1 : -1]

    def _seat(self, device: DeviceFacts, now: datetime) -> Seat | None:
        if not is_member(device, self._rotation, self._target):
            return None
        number = batch_of(device, self._rotation.strategy.batches, self._rotation.cuts)
        seat = (number, standing(device, self._rotation, now))
        return self._shared.setdefault(seat, seat)

    def _leave(self, name: str, seat: Seat) -> None:
        number, was = seat
        self._counts[number - 1] = self._counts[number - 1].moved(was, None)
        self._open.discard(name)
        del self._seats[name]

    def _take(self, name: str, seat: Seat) -> None:
        number, now_is = seat
        self._counts[number - 1] = self._counts[number - 1].moved(None, now_is)
        self._seats[name] = seat
        if now_is is not Standing.PENDING:
            return
        queue = self._queues[number - 1]
        at = bisect_left(queue, name)
        if at == len(queue) or queue[at] != name:
            insort(queue, name)
        if _is_open(self._opening, number, name):
            self._open.add(name)

    def _follow_failure(self, name: str, device: DeviceFacts | None, now: datetime) -> None:
        before, after = self._failed.get(name), None
        if device is not None and not self._rotation.is_aborted:
            after = failure_of(device, self._rotation, now)
        if before == after:
            return
        if before is not None:
            del self._failures[bisect_left(self._failures, before)]
            del self._failed[name]
        if after is not None:
            insort(self._failures, after)
            self._failed[name] = after

    def _follow_time(self, name: str, device: DeviceFacts | None, seat: Seat | None, now: datetime) -> None:
        if device is None or seat is None or seat[1] is not Standing.IN_PROGRESS:
            return
        due = time_of_change(device, self._rotation, now)
        if due is not None:
            heappush(self._due, (due, name))

    def _first_pending(self, number: int, after: str, most: int) -> tuple[str, ...]:
        found: list[str] = []
        for name in self._pending(number, after):
            if len(found) == most:
                break
            found.append(name)
        return tuple(found)

    def _pending(self, number: int, after: str, through: str | None = None) -> Iterator[str]:
        """Yield the Pending devices of a batch whose names are after one name, and not after another one."""
        queue, seat = self._queues[number - 1], (number, Standing.PENDING)
        for at in range(bisect_right(queue, after), len(queue)):
            name = queue[at]
            if through is not None and name > through:
                return
            if self._seats.get(name) == seat:
                yield name

    def _reopen(self, opening: Opening | None) -> None:
        """Follow an opening. If it has only grown, only the devices that were let in since are looked at."""
        before, self._opening = self._opening, opening
        if opening is None:
            self._open = set()
            return
        if before is None or (before.batch, before.through or "~") > (opening.batch, opening.through or "~"):
            self._open, before = set(), Opening(1, through="")
        for number in range(before.batch, opening.batch + 1):
            if number == before.batch and before.through is None:
                continue
            after = before.through or "" if number == before.batch else ""
            self._open.update(self._pending(number, after, opening.through if number == opening.batch else None))


def _is_open(opening: Opening | None, number: int, name: str) -> bool:
    if opening is None or number > opening.batch:
        return False
    return number < opening.batch or opening.through is None or name <= opening.through


def _basis(rotation: RotationFacts, target: Target, now: datetime) -> tuple[object, ...]:
    """Return all that the standing of a device depends on, beside the device and its own times."""
    strategy = rotation.strategy
    return (
        rotation.generation,
        rotation.is_aborted,
        rotation.compromised,
        rotation.cuts,
        strategy.batches,
        strategy.in_progress_timeout,
        strategy.deadline,
        rotation.start_time,
        rotation.deadline is not None and now >= rotation.deadline,
        target.uid,
        target.serial,
        target.revoked,
        target.revoked_through,
    )
