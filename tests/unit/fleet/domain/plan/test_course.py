"""A rotation in virtual time ends, keeps its sums, and takes the steps that `next_step` takes over the same devices."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tallystick.fleet.domain.batches import Batch, draw
from tallystick.fleet.domain.facts import DeviceFacts, Offer, RotationFacts, Strategy
from tallystick.fleet.domain.next_step import Step, Wait, next_step
from tallystick.fleet.domain.plan.course import HORIZON, Course, Rehearsal
from tallystick.fleet.domain.quantities import Quantity
from tallystick.fleet.domain.starting import started
from tallystick.fleet.domain.windows import Window
from tallystick.pairing.api.device_project import FINISHED, RotationState
from tests.fakes import NOON
from tests.worlds.rotating import RotatingFleet, a_device, a_rotation, a_target

WEEK = timedelta(days=7)
MOST_STEPS = 2_000
SITES = st.sampled_from(["berlin", "paris"])
QUANTITIES = st.one_of(st.integers(1, 5).map(Quantity), st.integers(1, 100).map(Quantity.percent))
STRATEGIES = st.builds(
    Strategy,
    batches=st.lists(
        st.one_of(
            st.builds(Batch, st.just("some"), limit=QUANTITIES),
            st.builds(Batch, st.just("site"), match_labels=SITES.map(lambda site: {"site": site})),
        ),
        max_size=3,
    ).map(tuple),
    success_threshold=st.integers(0, 100).map(Quantity.percent),
    min_success_time=st.sampled_from([timedelta(0), timedelta(hours=30)]),
    max_concurrency=st.one_of(st.none(), QUANTITIES),
    max_failures=st.one_of(st.integers(0, 3).map(Quantity), st.just(Quantity.percent(50))),
    in_progress_timeout=st.just(timedelta(seconds=60)),
    deadline=st.sampled_from([None, timedelta(minutes=10), timedelta(hours=72)]),
    windows=st.sampled_from(
        [
            (),
            (Window("*/10 * * * *", timedelta(minutes=4)),),
            (Window("0 2 * * *", timedelta(minutes=1)),),
            (Window("0 0 30 2 *", timedelta(hours=1)),),
            (Window("* * * * *", timedelta(minutes=1)),),
            (Window("broken", timedelta(hours=1)),),
        ]
    ),
)
LAST_SEEN = st.sampled_from([NOON, NOON, NOON - timedelta(days=1), NOON - timedelta(days=30), None])
OFFERS = st.sampled_from(
    [None, None, Offer(2, "key-1", NOON - timedelta(seconds=9), "rot-1"), Offer(2, "key-1", NOON - WEEK, "rot-0")]
)
DEVICES = st.lists(st.tuples(SITES, LAST_SEEN, OFFERS, st.booleans()), max_size=12).map(
    lambda found: {
        one.name: one
        for one in (
            a_device(
                number,
                labels={"site": site},
                last_seen=seen,
                created=NOON - timedelta(days=60),
                offer=offer,
                key_thumbprint="key" if has_key else None,
            )
            for number, (site, seen, offer, has_key) in enumerate(found)
        )
    }
)
PERIODS = st.sampled_from([timedelta(seconds=5), timedelta(hours=24)])
thorough = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def begun(devices: dict[str, DeviceFacts], **changes: object) -> RotationFacts:
    """A rotation that has just started, over these devices."""
    order = a_rotation(state=RotationState.RUNNING, generation=2, start_time=NOON, **changes)
    return replace(order, cuts=draw(devices.values(), order.strategy.batches))


class Recounted(Rehearsal):
    """A run that counts all devices again at each step, and compares the step. It gives up early: a step costs more."""

    steps = 0

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._work = min(self._work, MOST_STEPS)

    def _apply(self, step: Step) -> None:
        fleet = RotatingFleet(self._rotation.strategy, dict(self._devices))
        fleet.rotation, fleet.target, fleet.now = self._rotation, self._target, self._now
        fleet.places, fleet.state_since, fleet.recorded = self._places, self._since, fleet.counts()
        counted = next_step(fleet.observed(), self._now)
        if isinstance(counted, Wait) and counted.confirm:
            counted = next_step(fleet.observed(listed=True), self._now)
        assert counted == step
        self.steps += 1
        super()._apply(step)


def course_of(rotation: RotationFacts, devices: dict[str, DeviceFacts], period: timedelta) -> Course:
    target = started(a_target(devices=len(devices), check_in_period=period), rotation)
    run = Recounted(rotation, target, devices.values(), NOON, WEEK)
    course = run.course()
    assert run.steps > 0
    return course


@thorough
@given(STRATEGIES, DEVICES, st.sampled_from([None, 1, 2]), st.booleans(), PERIODS)
def test_each_plan_ends_and_keeps_its_sums(
    strategy: Strategy, devices: dict[str, DeviceFacts], gate: int | None, compromised: bool, period: timedelta
) -> None:
    rotation = begun(devices, strategy=strategy, open_batches=gate, compromised=compromised)

    course = course_of(rotation, devices, period)

    totals = [batch.first.total for batch in course.batches]
    assert sum(totals) == len(devices)
    assert [batch.last.total for batch in course.batches] == totals
    assert all(batch.last.succeeded >= batch.first.succeeded for batch in course.batches)
    opened = [batch.is_open for batch in course.batches]
    assert opened == sorted(opened, reverse=True)  # each batch opens after the one before it
    times = [batch.opens for batch in course.batches if batch.opens is not None]
    assert times == sorted(times)
    assert (course.end is not None) == (course.state in FINISHED)
    assert course.end is None or NOON <= course.end <= NOON + HORIZON
    left = sum(batch.last.total - batch.last.succeeded for batch in course.batches)
    assert (course.state is RotationState.SUCCEEDED) == (left == 0 and course.end is not None)
    assert 0 <= course.missed <= left


@thorough
@given(STRATEGIES, st.integers(0, 12), st.sampled_from([None, 1]))
def test_a_plan_whose_devices_all_check_in_succeeds_if_nothing_stops_it(
    strategy: Strategy, size: int, gate: int | None
) -> None:
    devices = {one.name: one for one in map(a_device, range(size))}
    free = replace(strategy, windows=(), deadline=None)

    course = course_of(begun(devices, strategy=free, open_batches=gate), devices, timedelta(seconds=15))

    assert course.state is RotationState.SUCCEEDED
    assert course.missed == 0
    assert gate is None or all(batch.by_hand for batch in course.batches[1:] if batch.opens and size)


def test_the_devices_of_a_batch_need_one_check_in_period_and_the_next_one_waits_for_its_soak() -> None:
    devices = {one.name: one for one in map(a_device, range(200))}
    strategy = Strategy(batches=(Batch("tenth", limit=Quantity.percent(10)),), min_success_time=timedelta(hours=1))

    course = course_of(begun(devices, strategy=strategy), devices, timedelta(minutes=10))

    tenth, rest = course.batches
    assert tenth.opens is not None
    assert tenth.done is not None
    assert rest.opens is not None
    assert course.end is not None
    assert timedelta(minutes=5) < tenth.done - tenth.opens <= timedelta(minutes=10, seconds=1)
    assert timedelta(hours=1) <= rest.opens - tenth.done <= timedelta(hours=1, seconds=1)
    assert timedelta(minutes=5) < course.end - rest.opens <= timedelta(minutes=10, seconds=2)


def test_a_bound_on_devices_at_a_time_makes_a_rotation_longer() -> None:
    devices = {one.name: one for one in map(a_device, range(100))}
    wide = course_of(begun(devices, strategy=Strategy()), devices, timedelta(seconds=15))
    narrow = Strategy(max_concurrency=Quantity(5))

    course = course_of(begun(devices, strategy=narrow), devices, timedelta(seconds=15))

    assert course.end is not None
    assert wide.end is not None
    assert course.end - NOON > 3 * (wide.end - NOON)


def test_an_abort_that_was_ordered_ends_as_the_controller_ends_it() -> None:
    offer = Offer(2, "key-1", NOON, "rot-1")
    devices = {one.name: one for one in (a_device(0, offer=offer), a_device(1))}
    rotation = replace(begun(devices), state=RotationState.ABORTING)

    course = course_of(rotation, devices, timedelta(seconds=15))

    assert course.state is RotationState.ABORTED
    assert (course.batches[0].last.succeeded, course.batches[0].last.no_rotation) == (1, 1)


def test_a_revoked_target_ends_the_plan() -> None:
    devices = {one.name: one for one in map(a_device, range(2))}
    rotation = begun(devices)
    revoked = replace(started(a_target(), rotation), revoked=True)

    course = Rehearsal(rotation, revoked, devices.values(), NOON, WEEK).course()

    assert (course.state, course.end) == (RotationState.FAILED, NOON)
