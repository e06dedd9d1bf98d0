"""A fleet in virtual time: devices that check in, and a controller that takes the steps of `next_step`.

The controller sees the devices as they are; what it does by an old view is in tests/model. Each change of a Device and
of a rotation is made by the functions of fleet/domain alone.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from tallystick.fleet.api.strategy import DesiredState
from tallystick.fleet.domain import check_in, starting
from tallystick.fleet.domain.batches import batch_of, draw
from tallystick.fleet.domain.copies import copy_id
from tallystick.fleet.domain.counts import Counts, Standing, is_member, standing
from tallystick.fleet.domain.facts import DeviceFacts, Failure, RotationFacts, Strategy, Target
from tallystick.fleet.domain.next_step import Close, Finish, Observed, Open, Step, Wait, done_times, next_step
from tallystick.fleet.domain.permission import is_open
from tallystick.fleet.domain.places import Places
from tallystick.pairing.api.device_project import FINISHED, RotationState
from tests.builders import THUMBPRINT, UID
from tests.fakes import NOON

ROTATION_UID = "00000000-0000-0000-0000-000000000007"


def a_device(number: int, **changes: object) -> DeviceFacts:
    """Return a device that enrolled with generation 1 and has checked in."""
    uid = f"00000000-0000-0000-0000-{number:012d}"
    made = DeviceFacts(f"d-a{number:03d}", uid, NOON, 1, 1, "key-1", THUMBPRINT, checked_in=True, last_seen=NOON)
    return replace(made, **changes)  # type: ignore[arg-type]  # the fields of the test


def a_target(**changes: object) -> Target:
    made = Target("edge", "cams", UID, check_in_period=timedelta(seconds=15))
    return replace(made, **changes)  # type: ignore[arg-type]  # the fields of the test


def a_rotation(**changes: object) -> RotationFacts:
    made = RotationFacts("rot-1", ROTATION_UID, NOON)
    return replace(made, **changes)  # type: ignore[arg-type]  # the fields of the test


@dataclass
class RotatingFleet:
    """A rotation that has started, at noon."""

    strategy: Strategy
    devices: dict[str, DeviceFacts]
    now: datetime = NOON
    open_batches: int | None = None
    compromised: bool = False
    places: Places = field(default_factory=Places)
    started: list[str] = field(default_factory=list)  # the devices that were handed the new copy, in order

    def __post_init__(self) -> None:
        order = a_rotation(strategy=self.strategy, open_batches=self.open_batches, compromised=self.compromised)
        self.target = starting.started(a_target(devices=len(self.devices)), order)
        self.rotation = replace(
            order,
            state=RotationState.RUNNING,
            generation=self.target.generation,
            start_time=self.now,
            cuts=draw(self.devices.values(), self.strategy.batches),
        )
        self.state_since: datetime | None = None
        self.recorded = self.counts()
        self.stored = {name: {device.proved} for name, device in self.devices.items()}

    @property
    def is_over(self) -> bool:
        return self.rotation.state in FINISHED

    @property
    def members(self) -> list[DeviceFacts]:
        """The members, in the order of names."""
        named = (self.devices[name] for name in sorted(self.devices))
        return [device for device in named if is_member(device, self.rotation, self.target)]

    def standing(self, device: DeviceFacts) -> Standing:
        return standing(device, self.rotation, self.now)

    def batch(self, device: DeviceFacts) -> int:
        return batch_of(device, self.strategy.batches, self.rotation.cuts)

    def batches(self) -> tuple[Counts, ...]:
        numbers = range(1, len(self.rotation.cuts) + 1)
        return tuple(
            Counts.of(self.standing(device) for device in self.members if self.batch(device) == number)
            for number in numbers
        )

    def counts(self) -> Counts:
        return Counts.of(self.standing(device) for device in self.members)

    def open_and_pending(self) -> list[str]:
        pending = (device for device in self.members if self.standing(device) is Standing.PENDING)
        return [device.name for device in pending if is_open(device, self.rotation, self.rotation.open)]

    def upcoming(self) -> tuple[str, ...]:
        opening = self.rotation.open
        number = 1 if opening is None else opening.batch + (opening.through is None)
        waiting = (device for device in self.members if self.standing(device) is Standing.PENDING)
        return tuple(
            device.name
            for device in waiting
            if self.batch(device) == number and not is_open(device, self.rotation, opening)
        )

    def observed(self, *, listed: bool = False) -> Observed:
        return Observed(
            rotation=self.rotation,
            target=self.target,
            batches=self.batches(),
            recorded=self.recorded,
            places=self.places,
            upcoming=self.upcoming(),
            state_since=self.state_since,
            listed=listed,
        )

    def look(self) -> Step | None:
        """Let the controller take one step; None if the rotation is over."""
        if self.is_over:
            return None
        if self.strategy.max_concurrency is not None:
            until = self.rotation.open.until if self.rotation.open is not None else None
            stops = self.rotation.state is not RotationState.RUNNING or self.rotation.order is not DesiredState.RUNNING
            may_start = not stops and (until is None or self.now < until)
            self.places = self.places.seen(self.open_and_pending(), self.now, may_start=may_start)
        step = next_step(self.observed(), self.now)
        if isinstance(step, Wait) and step.confirm:
            step = next_step(self.observed(listed=True), self.now)
        self._apply(step)
        return step

    def _apply(self, step: Step) -> None:
        before = self.rotation.state
        done = done_times(self.rotation, self.batches(), self.now)
        self.recorded = self.counts()
        match step:
            case Open(opening):
                self.rotation = replace(self.rotation, state=RotationState.RUNNING, open=opening, done_times=done)
            case Close(_, state, opening):
                self.rotation = replace(self.rotation, state=state, open=opening, done_times=done)
            case Finish(_, state, counts):
                self.rotation = replace(self.rotation, state=state)
                self.recorded = counts
                self.target = starting.finished(self.target, self.rotation, self.now)
            case Wait(_, _, look):
                self.places = self.places.passed_on(name for name in look if name in self.open_and_pending())
                self.rotation = replace(self.rotation, done_times=done)
        if self.rotation.state is not before or self.state_since is None:
            self.state_since = self.now

    def check_in(self, name: str, *, newest: bool = True, fails: bool = False) -> check_in.Decision:
        """Let a device check in with a copy that it has stored, and store what it gets."""
        device, stored = self.devices[name], self.stored[name]
        generation = max(stored) if newest else min(stored)
        failed = Failure(device.offered, "DiskFull", "", self.now) if fails else None
        presented = check_in.Presented(
            copy_id(device.uid, generation), device.uid, generation, UID, THUMBPRINT, THUMBPRINT, failed
        )
        decision = check_in.decide(presented, check_in.Reading(device, self.target, self.rotation), self.now)
        self.devices[name] = check_in.written(device, decision, key_id="key-2", now=self.now)
        match decision:
            case check_in.OfferCopy(offered) | check_in.Again(offered):
                stored.add(offered)
                self.started += [name] if isinstance(decision, check_in.OfferCopy) else []
            case check_in.Prove(proved):
                self.stored[name] = {proved}
        return decision

    def enroll(self, number: int) -> None:
        generation = self.target.generation
        device = a_device(number, first_generation=generation)
        self.devices[device.name] = device
        self.stored[device.name] = {generation}

    def until_over(self, *, period: timedelta, most: int = 2000) -> None:
        """Let all devices check in once a period, and the controller look after each, until the rotation is over."""
        for _ in range(most):
            for name in list(self.devices):
                self.check_in(name)
                self.look()
            if self.is_over:
                return
            self.now += period
        raise AssertionError(f"the rotation is not over: {self.rotation}, {self.counts()}")
