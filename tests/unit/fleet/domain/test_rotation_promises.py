"""What a rotation does in time for any fleet: it goes on after failures, obeys its gate and deadline, waits for no one.

The devices check in once a period. Some never come, and some fail before they succeed.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tallystick.fleet.api.reasons import TokenRotationReason as Reason
from tallystick.fleet.domain.check_in import OfferCopy
from tallystick.fleet.domain.counts import Standing
from tallystick.fleet.domain.facts import Strategy
from tallystick.fleet.domain.next_step import STRAGGLERS, Step, Wait, has_enough
from tallystick.fleet.domain.places import PERIODS_KEPT, bound
from tallystick.fleet.domain.quantities import Quantity
from tallystick.pairing.api.device_project import RotationState
from tests.harness.proofs import Figure
from tests.unit.fleet.domain.test_rotation_machine import BATCHES, QUANTITIES, SITES, check_in, look
from tests.worlds.rotating import RotatingFleet, a_device

GATE, SOAK = 25, 3_000
WAITS = Reason.WAITING_FOR_BATCH
PERIOD = timedelta(seconds=15)
MOST_PERIODS, MOST_LOOKS = 400, 20

STRATEGIES = st.builds(
    Strategy,
    batches=BATCHES,
    success_threshold=st.integers(0, 100).map(Quantity.percent),
    min_success_time=st.sampled_from([timedelta(0), timedelta(seconds=40)]),
    max_concurrency=st.one_of(st.none(), QUANTITIES),
    max_failures=st.one_of(st.integers(0, 3).map(Quantity), st.integers(0, 60).map(Quantity.percent)),
    in_progress_timeout=st.just(timedelta(seconds=60)),
)
FLEETS = st.builds(
    lambda strategy, sites: RotatingFleet(
        strategy, {one.name: one for one in (a_device(n, labels={"site": site}) for n, site in enumerate(sites))}
    ),
    STRATEGIES,
    st.lists(SITES, min_size=1, max_size=10),
)
SOME = st.sets(st.integers(0, 9), max_size=6)
"""The numbers of some devices; a fleet need not have all of them."""


def examples(rounds: int) -> settings:
    """Try so many examples: the same in every gate, others in every soak."""
    slow = [HealthCheck.too_slow, HealthCheck.filter_too_much]
    return settings(
        max_examples=rounds, deadline=None, database=None, derandomize=rounds <= GATE, suppress_health_check=slow
    )


def names_of(fleet: RotatingFleet, numbers: set[int]) -> set[str]:
    return {name for name in fleet.devices if int(name[-3:]) in numbers}


@dataclass
class Course:
    """A rotation that goes on period by period, and what was seen of it."""

    fleet: RotatingFleet
    never: set[str] = field(default_factory=set)
    fails: set[str] = field(default_factory=set)
    states: list[RotationState] = field(default_factory=list)
    last: Step | None = None

    def look(self) -> None:
        """Let the controller look until nothing is left to do at once."""
        for _ in range(MOST_LOOKS):
            self.last = look(self.fleet)
            self.states.append(self.fleet.rotation.state)
            if self.last is None or (isinstance(self.last, Wait) and not self.last.look):
                return
        raise AssertionError(f"the controller does not come to rest: {self.last}")

    def period(self) -> None:
        """Let each device that comes check in, and the controller look after each of them."""
        self.look()
        for name in sorted(self.fleet.devices.keys() - self.never):
            device = self.fleet.devices[name]
            if name in self.fails and device.offer is not None:
                check_in(self.fleet, name, newest=False, fails=True)
            else:
                check_in(self.fleet, name, newest=True, fails=False)
            self.look()
        self.fleet.now += PERIOD

    def until(self, done: Callable[[], bool]) -> None:
        for _ in range(MOST_PERIODS):
            if done():
                return
            self.period()
        raise AssertionError(f"still not so: {self.fleet.rotation}, {self.fleet.counts()}, {self.last}")


@pytest.mark.proof(gate=GATE, soak=SOAK)
def test_a_rotation_is_halted_by_failures_alone_and_late_proofs_let_it_go_on(rounds: int, figure: Figure) -> None:
    halted = 0

    @examples(rounds)
    @given(FLEETS, SOME)
    def check(fleet: RotatingFleet, failing: set[int]) -> None:
        nonlocal halted
        course = Course(fleet, fails=names_of(fleet, failing))
        most = fleet.strategy.max_failures.rounded_down(len(fleet.devices))
        for _ in range(8):
            course.period()
            if fleet.rotation.state is RotationState.HALTED:
                assert fleet.counts().failed > most
                assert not any(isinstance(fleet.check_in(name), OfferCopy) for name in fleet.open_and_pending())
        was_halted = RotationState.HALTED in course.states
        halted += was_halted
        assert not was_halted or len(course.fails) > most

        course.fails = set()
        course.until(lambda: fleet.is_over)

        assert fleet.rotation.state is RotationState.SUCCEEDED
        assert fleet.recorded.succeeded == len(fleet.devices)

    check()
    figure(f"{halted} rotations were halted, and all succeeded")
    assert halted


@pytest.mark.proof(gate=GATE, soak=SOAK)
def test_a_gate_holds_back_the_next_batch_alone_until_it_is_raised(rounds: int, figure: Figure) -> None:
    waited = 0

    @examples(rounds)
    @given(FLEETS, st.integers(1, 3))
    def check(fleet: RotatingFleet, gate: int) -> None:
        nonlocal waited
        fleet.rotation = replace(fleet.rotation, open_batches=gate)
        course, batches = Course(fleet), len(fleet.rotation.cuts)
        course.until(lambda: fleet.is_over or (isinstance(course.last, Wait) and course.last.why is WAITS))
        if fleet.is_over:
            assert fleet.recorded.succeeded == len(fleet.devices)
            return
        waited += 1
        assert fleet.rotation.open is not None
        assert fleet.rotation.open.batch == gate < batches
        assert all(has_enough(batch, fleet.rotation) for batch in fleet.batches()[:gate])
        for _ in range(3):
            course.period()
        assert all(fleet.batch(fleet.devices[name]) <= gate for name in fleet.started)

        fleet.rotation = replace(fleet.rotation, open_batches=None)
        course.until(lambda: fleet.is_over)

        assert fleet.recorded.succeeded == len(fleet.devices)

    check()
    figure(f"{waited} rotations waited for their gate")
    assert waited


@pytest.mark.proof(gate=GATE, soak=SOAK)
def test_at_the_deadline_a_rotation_ends_with_who_has_not_succeeded_as_failed(rounds: int, figure: Figure) -> None:
    failed = 0

    @examples(rounds)
    @given(FLEETS, SOME, SOME, st.integers(1, 12))
    def check(fleet: RotatingFleet, absent: set[int], failing: set[int], periods: int) -> None:
        nonlocal failed
        fleet.rotation = replace(fleet.rotation, strategy=replace(fleet.strategy, deadline=periods * PERIOD))
        fleet.strategy = fleet.rotation.strategy
        course = Course(fleet, never=names_of(fleet, absent), fails=names_of(fleet, failing))
        deadline = fleet.now + periods * PERIOD
        while fleet.now < deadline and not fleet.is_over:
            course.period()
        if fleet.is_over:
            assert fleet.recorded.succeeded == len(fleet.devices)
            return
        started = list(fleet.started)
        fleet.now = max(fleet.now, deadline)
        for name in sorted(fleet.devices):
            assert not isinstance(fleet.check_in(name), OfferCopy)
        course.look()
        if not fleet.is_over:  # late proofs may have ended it as a success
            assert fleet.counts().pending == fleet.counts().in_progress == 0
            fleet.now += STRAGGLERS
            course.look()

        assert fleet.is_over
        assert fleet.started == started
        succeeded = sum(device.proved == fleet.rotation.generation for device in fleet.devices.values())
        assert (fleet.recorded.succeeded, fleet.recorded.failed) == (succeeded, len(fleet.devices) - succeeded)
        missing = succeeded < len(fleet.devices)
        assert fleet.rotation.state is (RotationState.FAILED if missing else RotationState.SUCCEEDED)
        failed += missing

    check()
    figure(f"{failed} rotations ended at their deadline")
    assert failed


@pytest.mark.proof(gate=GATE, soak=SOAK)
def test_devices_that_never_come_block_none_of_their_batch_and_keep_their_place_for_three_periods(
    rounds: int, figure: Figure
) -> None:
    given_away = 0

    @examples(rounds)
    @given(FLEETS, SOME)
    def check(fleet: RotatingFleet, absent: set[int]) -> None:
        nonlocal given_away
        absent_names = names_of(fleet, absent)
        strategy = replace(fleet.strategy, batches=(), max_concurrency=fleet.strategy.max_concurrency or Quantity(1))
        fleet = RotatingFleet(strategy, fleet.devices)
        course, since = Course(fleet, never=absent_names), dict[str, object]()
        comes = set(fleet.devices) - absent_names

        def done() -> bool:
            for name in fleet.open_and_pending():
                since.setdefault(name, fleet.now)
            for name in fleet.places.given_away:
                assert fleet.now >= since[name] + PERIODS_KEPT * PERIOD  # type: ignore[operator]
            return all(fleet.standing(fleet.devices[name]) is Standing.SUCCEEDED for name in comes)

        course.until(done)

        given_away += len(fleet.places.given_away)
        most = bound(strategy, len(fleet.devices))
        assert most is not None
        # Each of them has kept one place at most, for three periods, and those that come take one period each.
        assert len(fleet.started) == len(comes)

    check()
    figure(f"{given_away} places were given away")
    assert given_away


def test_a_halted_rotation_whose_devices_never_recover_waits_for_a_person() -> None:
    devices = {one.name: one for one in (a_device(number) for number in range(3))}
    fleet = RotatingFleet(Strategy(max_failures=Quantity(0), max_concurrency=Quantity(1)), devices)
    course = Course(fleet, fails={"d-a000"})
    for _ in range(20):
        course.period()

    assert fleet.rotation.state is RotationState.HALTED
    assert course.last == Wait(Reason.TOO_MANY_FAILURES)

    del fleet.devices["d-a000"]  # a person deletes it
    course.until(lambda: fleet.is_over)

    assert fleet.recorded.succeeded == 2
