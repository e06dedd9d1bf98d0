"""W3's limit for the time: the same devices with the same timetable, served in no time, and the same `next_step`.

Each check-in is answered in the moment in which it comes, and each change of the counts is followed by a look in the
same moment. So all that is left of the time is what the devices and the strategy make of it.
"""

import heapq
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from tallystick.fleet.domain import check_in, starting
from tallystick.fleet.domain.batches import draw
from tallystick.fleet.domain.copies import copy_id
from tallystick.fleet.domain.counts import sum_of
from tallystick.fleet.domain.facts import DeviceFacts, RotationFacts, Strategy, Target
from tallystick.fleet.domain.next_check_in import wait_seconds
from tallystick.fleet.domain.next_step import Observed, Open, Wait, done_times, next_step
from tallystick.fleet.domain.rotation.tally import Tally
from tallystick.pairing.api.device_project import RotationState

START = datetime(2026, 1, 1, tzinfo=UTC)
KEY = "A" * 43

Row = tuple[str, float, float]
"""A device: its name, the seconds until it is due, and how much longer than asked it waits (0: it never comes)."""


class VirtualFleet:
    """A rotation that starts now, in virtual time."""

    def __init__(self, timetable: Sequence[Row], strategy: Strategy, period: timedelta) -> None:
        self._period = period
        self._paces = {name: pace for name, _, pace in timetable}
        self._devices = {name: _device(number, name) for number, (name, _, _) in enumerate(timetable)}
        self._coming = [(due, name) for name, due, pace in timetable if pace]
        heapq.heapify(self._coming)
        token = Target("bench", "fleet", str(UUID(int=0)), devices=len(timetable), check_in_period=period)
        order = RotationFacts("rotation", str(UUID(int=1)), START, strategy=strategy)
        self._target = starting.started(token, order)
        cuts = draw(self._devices.values(), strategy.batches)
        started = {"state": RotationState.RUNNING, "generation": self._target.generation, "start_time": START}
        self._rotation = replace(order, cuts=cuts, **started)  # type: ignore[arg-type]
        self._tally = Tally(self._rotation, self._target, START)
        self._tally.fill(self._devices.values(), START)

    def seconds_until(self, enough: int) -> float:
        """Return the seconds after which so many devices have succeeded."""
        self._look(START)
        while self._coming:
            seconds, name = heapq.heappop(self._coming)
            now = START + timedelta(seconds=seconds)
            self._come(name, now)
            if sum_of(self._tally.counts).succeeded >= enough:
                return seconds
            wait = wait_seconds(self._period, f"{random.getrandbits(16):04x}")
            heapq.heappush(self._coming, (seconds + wait * self._paces[name], name))
        raise ValueError(f"fewer than {enough} devices come")

    @property
    def seconds_until_done(self) -> list[float]:
        """For each batch that is done: the seconds until enough of its devices had succeeded."""
        return [(time - START).total_seconds() for time in self._rotation.done_times if time is not None]

    def _come(self, name: str, now: datetime) -> None:
        """Let a device check in, and at once with the copy that it is handed."""
        if isinstance(self._check_in(name, now), check_in.OfferCopy):
            self._check_in(name, now)

    def _check_in(self, name: str, now: datetime) -> check_in.Decision:
        device = self._devices[name]
        newest = device.newest
        presented = check_in.Presented(copy_id(device.uid, newest), device.uid, newest, self._target.uid, KEY, KEY)
        decision = check_in.decide(presented, check_in.Reading(device, self._target, self._rotation), now)
        after = check_in.written(device, decision, key_id="key", now=now)
        self._devices[name] = after
        if self._tally.note(name, after, now):
            self._look(now)
        return decision

    def _look(self, now: datetime) -> None:
        step = None
        while not isinstance(step, Wait):
            batches = self._tally.counts
            upcoming = self._tally.upcoming(self._rotation.open, 1)
            observed = Observed(self._rotation, self._target, batches, upcoming=upcoming, state_since=START)
            step = next_step(observed, now)
            self._rotation = replace(self._rotation, done_times=done_times(self._rotation, batches, now))
            if isinstance(step, Open):
                self._rotation = replace(self._rotation, open=step.open)
            elif not isinstance(step, Wait):
                raise TypeError(f"the load is not meant to come to {step}")


def _device(number: int, name: str) -> DeviceFacts:
    return DeviceFacts(name, str(UUID(int=number + 2)), START, 1, 1, "key", KEY, checked_in=True, last_seen=START)
