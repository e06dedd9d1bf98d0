"""Run a rotation in virtual time: `next_step` and `may_start` decide, as in the controller and the exchange.

    look -> Open -> devices check in, start and prove -> look -> ... -> Finish, or a wait that no time ends

The devices of the plan are the devices as they are now. A device that has been seen lately checks in within one
check-in period, and uses a new copy at once. A device that was not seen for long, or has failed, does not come.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from heapq import heappop, heappush
from zlib import crc32

from tallystick.fleet.api.reasons import TokenRotationReason as Reason
from tallystick.fleet.domain.batches import batch_of
from tallystick.fleet.domain.check_in import OfferCopy, Prove, written
from tallystick.fleet.domain.copies import last_seen_age
from tallystick.fleet.domain.counts import Counts, Standing, is_member, standing, sum_of
from tallystick.fleet.domain.facts import DeviceFacts, Opening, RotationFacts, Target
from tallystick.fleet.domain.next_step import (
    Close,
    Finish,
    Observed,
    Open,
    Step,
    Wait,
    done_times,
    next_step,
    time_when_done,
)
from tallystick.fleet.domain.permission import may_start
from tallystick.fleet.domain.places import Places, bound
from tallystick.fleet.domain.rotation.tally import Tally
from tallystick.pairing.api.device_project import RotationState

LOOK_EVERY = timedelta(seconds=1)
"""The controller looks at a rotation at most once a second."""
HORIZON = timedelta(hours=8760)
"""A rotation that is not over by then is not followed further: the longest deadline."""
_LEAST_WORK, _WORK_OF_DEVICE = 100_000, 50
_KEY = "planned"


@dataclass(frozen=True, slots=True)
class BatchCourse:
    """The course of one batch.

    Attributes:
        opens: When it opens. None: it was open before the plan, or it does not open.
        is_open: Whether it is open in the end.
        by_hand: Whether it opens only after `spec.openBatches` is raised.
        done: Since when enough devices have succeeded. None: too few do.
        first: The devices of the batch when the plan starts.
        last: The devices of the batch when it ends.
        missed: The devices of the batch that check in and have not succeeded in the end.
    """

    opens: datetime | None
    is_open: bool
    by_hand: bool
    done: datetime | None
    first: Counts
    last: Counts
    missed: int


@dataclass(frozen=True, slots=True)
class Course:
    """The course of a rotation.

    Attributes:
        start: The time at which the plan starts.
        end: When the rotation is over. None: it waits for more than time, or is not over within a year.
        why: The reason of the end, or of the last wait.
        state: The state in the end.
        last_success: When the last device uses its new copy. None: no device does.
        batches: The batches; the last one is the rest.
        is_endless: Whether it was followed for a year and is not over.
    """

    start: datetime
    end: datetime | None
    why: Reason
    state: RotationState
    last_success: datetime | None
    batches: tuple[BatchCourse, ...]
    is_endless: bool

    @property
    def missed(self) -> int:
        """The devices that check in and have not succeeded in the end."""
        return sum(batch.missed for batch in self.batches)


def is_absent(device: DeviceFacts, target: Target, now: datetime, unseen: timedelta) -> bool:
    """Return whether a device was not seen for so long. `status.lastSeenTime` is coarse, and that counts for it."""
    coarse = last_seen_age(target.devices) + 3 * target.check_in_period
    return (device.last_seen or device.created) < now - max(unseen, coarse)


class Rehearsal:
    """One run in virtual time. Enrollments under way end soon, so it does not wait for them.

    Args:
        rotation: The rotation. It has started, and its batches are drawn.
        target: Its PairingToken; the rotation holds its lock.
        devices: The Devices of the PairingToken.
        now: The time.
        unseen: A device that was not seen for so long does not come.
    """

    def __init__(
        self,
        rotation: RotationFacts,
        target: Target,
        devices: Iterable[DeviceFacts],
        now: datetime,
        unseen: timedelta,
    ) -> None:
        self._rotation, self._target, self._now = rotation, replace(target, enrolling=()), now
        self._devices = {one.name: one for one in devices if is_member(one, rotation, target)}
        self._expected = {
            name
            for name, one in self._devices.items()
            if standing(one, rotation, now) in (Standing.PENDING, Standing.IN_PROGRESS)
            and not is_absent(one, target, now, unseen)
        }
        self._tally = self._new_tally()
        self._first = self._tally.counts
        self._places = Places()
        self._since = now  # the rotation has its state
        self._arrivals: list[tuple[datetime, str]] = []
        self._coming: set[str] = set()
        self._opened: dict[int, datetime] = {}
        self._by_hand: set[int] = set()
        self._windows = 0
        self._last_success: datetime | None = None
        self._work = _LEAST_WORK + _WORK_OF_DEVICE * len(self._devices)

    def course(self) -> Course:
        """Run until the rotation is over, or until it waits for more than time."""
        start = self._now
        before = _batch(self._rotation)
        # A device that holds a copy that it has not used comes and uses it, whatever is open.
        self._expect(name for name in self._expected if self._devices[name].offer is not None)
        if self._runs():
            self._expect(self._tally.open_and_pending(self._rotation.open))
        step, is_endless = self._look(), False
        while not isinstance(step, Finish):
            wake = self._wake(step)
            is_endless = wake is not None and (self._work <= 0 or wake > start + HORIZON)
            if wake is None or is_endless:
                break
            self._let_come(wake)
            step = self._look()
        return self._course(start, before, step, is_endless=is_endless)

    def _course(self, start: datetime, before: int, step: Step, *, is_endless: bool) -> Course:
        over, last = isinstance(step, Finish), self._tally.counts
        strategy, cuts = self._rotation.strategy, self._rotation.cuts
        missed = Counter(batch_of(self._devices[name], strategy.batches, cuts) for name in self._expected)
        done = self._rotation.done_times or (None,) * len(last)
        opened = _batch(self._rotation)
        return Course(
            start=start,
            end=self._now if over else None,
            why=Reason.IN_PROGRESS if isinstance(step, Open) else step.why,
            state=step.state if isinstance(step, Finish) else self._rotation.state,
            last_success=self._last_success,
            batches=tuple(
                BatchCourse(
                    opens=self._opened.get(number),
                    is_open=number <= max(before, opened),
                    by_hand=number in self._by_hand,
                    done=done[number - 1] if number <= opened else None,
                    first=self._first[number - 1],
                    last=last[number - 1].at_the_end(step.state) if isinstance(step, Finish) else last[number - 1],
                    missed=missed[number],
                )
                for number in range(1, len(last) + 1)
            ),
            is_endless=is_endless,
        )

    # The controller.

    def _look(self) -> Step:
        """Take one step. A gate is raised as soon as the rotation waits for it."""
        self._work -= 1
        step = self._decide()
        if isinstance(step, Wait) and step.why is Reason.WAITING_FOR_BATCH and self._rotation.open is not None:
            number = self._rotation.open.batch + 1
            self._by_hand.add(number)
            self._rotation = replace(self._rotation, open_batches=number)
            step = self._decide()
        self._apply(step)
        return step

    def _decide(self) -> Step:
        observed = self._observed()
        step = next_step(observed, self._now)
        if isinstance(step, Wait) and step.confirm:
            return next_step(replace(observed, listed=True), self._now)
        return step

    def _observed(self) -> Observed:
        if not self._tally.fits(self._rotation, self._target, self._now):
            self._tally = self._new_tally()
        for name in self._tally.overdue(self._now):
            self._tally.note(name, self._devices[name], self._now)
        most, opening = bound(self._rotation.strategy, len(self._devices)), self._rotation.open
        if most is not None:
            pending = self._tally.open_and_pending(opening)
            self._places = self._places.seen(pending, self._now, may_start=self._runs())
        return Observed(
            rotation=self._rotation,
            target=self._target,
            batches=self._tally.counts,
            recorded=sum_of(self._first),
            places=self._places,
            upcoming=self._tally.upcoming(opening, (most or 0) + 1),
            state_since=self._since,
        )

    def _new_tally(self) -> Tally:
        tally = Tally(self._rotation, self._target, self._now)
        tally.fill(self._devices.values(), self._now)
        return tally

    def _apply(self, step: Step) -> None:
        done = done_times(self._rotation, self._tally.counts, self._now)
        before = self._rotation
        match step:
            case Open(opening):
                self._rotation = replace(before, state=RotationState.RUNNING, open=opening, done_times=done)
                self._note_opening(before.open, opening)
                self._expect(self._tally.open_and_pending(opening))
            case Close(_, state, opening):
                self._rotation = replace(before, state=state, open=opening, done_times=done)
            case Wait(_, _, look):
                pending = self._tally.open_and_pending(before.open) if look else set()
                self._places = self._places.passed_on(name for name in look if name in pending)
                self._rotation = replace(before, done_times=done)
            case Finish():
                self._rotation = replace(before, done_times=done)
        if self._rotation.state is not before.state:
            self._since = self._now

    def _note_opening(self, before: Opening | None, opening: Opening) -> None:
        number = 0 if before is None else before.batch
        self._opened.update(dict.fromkeys(range(number + 1, opening.batch + 1), self._now))
        self._windows += before is None or before.until != opening.until

    def _runs(self) -> bool:
        opening = self._rotation.open
        if opening is None or self._rotation.state is not RotationState.RUNNING:
            return False
        return opening.until is None or self._now < opening.until

    def _wake(self, step: Step) -> datetime | None:
        """Return when the controller looks again. None: at no time, because it waits for more than time."""
        if not isinstance(step, Wait) or step.look:
            return self._now + LOOK_EVERY
        times = [self._tally.next_change(), self._arrivals[0][0] if self._arrivals else None]
        # Without hope, the end of a window and the start of the next one change nothing.
        times.append(step.until if self._rotation.is_aborted or self._has_hope() else self._rotation.deadline)
        soonest = min((time for time in times if time is not None), default=None)
        return None if soonest is None else max(soonest, self._now + LOOK_EVERY)

    def _has_hope(self) -> bool:
        """Return whether time alone can open more, or an expected device can start in a later window."""
        opening = self._rotation.open
        if opening is None or self._arrivals or (opening.through is not None and self._expected):
            return True
        if not self._expected.isdisjoint(self._tally.open_and_pending(opening)):
            return True
        observed = Observed(self._rotation, self._target, self._tally.counts)
        last = opening.batch >= len(self._tally.counts)
        return not last and time_when_done(observed, opening.batch, self._now) is not None

    # The devices.

    def _expect(self, names: Iterable[str]) -> None:
        """Let devices come at a time within one check-in period, if the opening lasts until then."""
        until = self._rotation.open.until if self._rotation.open is not None else None
        for name in sorted(self._expected.intersection(names) - self._coming):
            self._work -= 1
            time = self._now + self._target.check_in_period * _share(name, self._windows)
            if until is None or time < until or self._devices[name].offer is not None:
                self._coming.add(name)
                heappush(self._arrivals, (time, name))

    def _let_come(self, until: datetime) -> None:
        while self._arrivals and self._arrivals[0][0] <= until:
            self._now, name = heappop(self._arrivals)
            self._coming.discard(name)
            self._check_in(name)
        self._now = until

    def _check_in(self, name: str) -> None:
        """Prove a copy that was handed out; else start if that is permitted, and prove the new copy at once."""
        device, now, generation = self._devices[name], self._now, self._rotation.generation
        if device.offer is None:
            if not may_start(device, self._target, self._rotation, now):
                return
            device = written(device, OfferCopy(generation, self._rotation.name), key_id=_KEY, now=now)
        device = written(device, Prove(device.offered), key_id=_KEY, now=now)
        self._devices[name] = device
        self._tally.note(name, device, now)
        if device.proved >= generation:
            self._expected.discard(name)
            self._last_success = now
        else:
            self._coming.add(name)
            heappush(self._arrivals, (now + self._target.check_in_period, name))


def _batch(rotation: RotationFacts) -> int:
    return rotation.open.batch if rotation.open is not None else 0


def _share(name: str, window: int) -> float:
    """Return a part of the check-in period, more than 0 and at most 1: as good as random, and the same in each run."""
    return (crc32(f"{window}/{name}".encode()) + 1) / 2**32
