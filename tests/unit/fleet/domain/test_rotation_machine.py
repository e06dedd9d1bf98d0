"""Any order of check-ins, failures, edits and time keeps the promises of a rotation.

The counts sum to the total, batches open in order, budget and windows are kept, progress is never lost, a stopped
rotation starts no device, and each device always holds a copy that is accepted.
"""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tallystick.fleet.api.strategy import DesiredState
from tallystick.fleet.domain.batches import Batch
from tallystick.fleet.domain.check_in import OfferCopy, is_accepted
from tallystick.fleet.domain.counts import Standing
from tallystick.fleet.domain.facts import Opening, Strategy
from tallystick.fleet.domain.next_step import STRAGGLERS, Finish, Open, Step, has_enough
from tallystick.fleet.domain.permission import is_open
from tallystick.fleet.domain.places import bound
from tallystick.fleet.domain.quantities import Quantity
from tallystick.fleet.domain.windows import Window, end_of_present
from tallystick.pairing.api.device_project import RotationState
from tests.harness.proofs import Figure
from tests.worlds.rotating import RotatingFleet, a_device

Action = tuple[str, object, object]

QUANTITIES = st.one_of(st.integers(1, 5).map(Quantity), st.integers(1, 100).map(Quantity.percent))
SITES = st.sampled_from(["berlin", "paris"])
BATCHES = st.lists(
    st.one_of(
        st.builds(Batch, st.just("some"), limit=QUANTITIES),
        st.builds(Batch, st.just("site"), match_labels=SITES.map(lambda site: {"site": site})),
        st.builds(Batch, st.just("both"), SITES.map(lambda site: {"site": site}), QUANTITIES),
    ),
    max_size=3,
).map(tuple)
STRATEGIES = st.builds(
    Strategy,
    batches=BATCHES,
    success_threshold=st.integers(0, 100).map(Quantity.percent),
    min_success_time=st.sampled_from([timedelta(0), timedelta(seconds=40)]),
    max_concurrency=st.one_of(st.none(), QUANTITIES),
    max_failures=st.one_of(st.integers(0, 3).map(Quantity), st.just(Quantity.percent(50))),
    in_progress_timeout=st.just(timedelta(seconds=60)),
    deadline=st.sampled_from([None, timedelta(minutes=10)]),
    windows=st.sampled_from([(), (Window("*/10 * * * *", timedelta(minutes=4)),)]),
)
NUMBERS = st.integers(0, 9)
ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("check in"), NUMBERS, st.booleans()),
        st.tuples(st.just("check in"), NUMBERS, st.booleans()),
        st.tuples(st.just("look"), st.just(0), st.just(0)),
        st.tuples(st.just("look"), st.just(0), st.just(0)),
        st.tuples(st.just("fail"), NUMBERS, st.just(0)),
        st.tuples(st.just("fail"), NUMBERS, st.just(0)),
        st.tuples(st.just("wait"), st.sampled_from([1, 16, 61, 241]), st.just(0)),
        st.tuples(st.just("order"), st.sampled_from(["Running", "Paused", "Running", "Aborted"]), st.just(0)),
        st.tuples(st.just("label"), NUMBERS, SITES),
        st.tuples(st.just("delete"), NUMBERS, st.just(0)),
        st.tuples(st.just("enroll"), st.integers(10, 12), st.just(0)),
    ),
    min_size=30,
    max_size=120,
)
FLEETS = st.builds(
    lambda strategy, sites, gate, compromised: RotatingFleet(
        strategy,
        {one.name: one for one in (a_device(n, labels={"site": site}) for n, site in enumerate(sites))},
        open_batches=gate,
        compromised=compromised,
    ),
    STRATEGIES,
    st.lists(SITES, min_size=1, max_size=10),
    st.sampled_from([None, None, 1, 2]),
    st.booleans(),
)
GATE, SOAK = 100, 5_000


def examples(rounds: int) -> settings:
    """Try so many examples: new ones in every run."""
    return settings(max_examples=rounds, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.proof(gate=GATE, soak=SOAK)
def test_any_sequence_keeps_the_promises_of_a_rotation(rounds: int, figure: Figure) -> None:
    steps = 0

    @examples(rounds)
    @given(FLEETS, ACTIONS)
    def check(fleet: RotatingFleet, actions: list[tuple[str, object, object]]) -> None:
        nonlocal steps
        for action in actions:
            act(fleet, *action)
            steps += 1

            assert fleet.counts().total == len(fleet.members)
            assert sum(batch.total for batch in fleet.batches()) == len(fleet.members)
            assert all(
                any(is_accepted(device, generation, fleet.target) for generation in fleet.stored[name])
                for name, device in fleet.devices.items()
            )

    check()
    figure(f"{steps:,} steps, each promise kept")


@pytest.mark.proof(gate=GATE, soak=SOAK)
def test_a_rotation_whose_devices_all_come_succeeds(rounds: int, figure: Figure) -> None:
    succeeded = 0

    @examples(rounds)
    @given(FLEETS.filter(lambda fleet: fleet.open_batches is None))
    def check(fleet: RotatingFleet) -> None:
        nonlocal succeeded
        fleet.until_over(period=timedelta(seconds=15))

        names = sorted(fleet.devices)
        on_time = fleet.rotation.deadline is None or fleet.now < fleet.rotation.deadline
        if on_time:
            assert fleet.rotation.state is RotationState.SUCCEEDED
            assert fleet.recorded.succeeded == fleet.recorded.total == len(names)
            succeeded += 1
        assert sorted(set(fleet.started)) == sorted(fleet.started)  # each one is handed out once

    check()
    figure(f"{succeeded} rotations succeeded")


def act(fleet: RotatingFleet, what: str, value: object, more: object) -> None:
    """Do one thing, and check what must hold for this step."""
    name = f"d-a{value:03d}" if isinstance(value, int) else ""
    device = fleet.devices.get(name)
    match what:
        case "look":
            look(fleet)
        case "wait" if isinstance(value, int):
            fleet.now += timedelta(seconds=value)
        case "order" if fleet.rotation.order is not DesiredState.ABORTED:
            fleet.rotation = replace(fleet.rotation, order=DesiredState(str(value)))
        case "enroll" if isinstance(value, int) and device is None:
            fleet.enroll(value)
        case "check in" if device is not None:
            check_in(fleet, name, newest=bool(more), fails=False)
        case "fail" if device is not None and device.offer is not None:
            check_in(fleet, name, newest=False, fails=True)
        case "label" if device is not None:
            fleet.devices[name] = replace(device, labels={"site": str(more)})
        case "delete" if device is not None:
            del fleet.devices[name]


def check_in(fleet: RotatingFleet, name: str, *, newest: bool, fails: bool) -> None:
    before, rotation = fleet.devices[name], fleet.rotation

    decision = fleet.check_in(name, newest=newest, fails=fails)

    after = fleet.devices[name]
    assert after.proved in (before.proved, before.offered)
    assert after.proved >= before.proved
    assert after.newest >= before.newest
    if isinstance(decision, OfferCopy):
        windows = rotation.strategy.windows
        assert (rotation.order, rotation.state) == (DesiredState.RUNNING, RotationState.RUNNING)
        assert is_open(before, rotation, rotation.open)
        assert not windows or end_of_present(windows, fleet.now) is not None
        assert rotation.deadline is None or fleet.now < rotation.deadline


def look(fleet: RotatingFleet) -> Step | None:
    """Let the controller take one step, and check what must hold for it."""
    before, since = fleet.rotation, fleet.state_since
    counts, batches, open_before = fleet.counts(), fleet.batches(), set(fleet.open_and_pending())

    step = fleet.look()

    assert reach(fleet.rotation.open) >= reach(before.open)  # progress is never lost, also not by a pause
    let_in = set(fleet.open_and_pending()) - open_before
    if let_in:
        most = bound(before.strategy, counts.total)
        kept = open_before - fleet.places.given_away
        assert isinstance(step, Open)
        assert before.order is DesiredState.RUNNING
        assert fleet.compromised or counts.failed <= before.strategy.max_failures.rounded_down(counts.total)
        assert most is None or counts.in_progress + len(kept | let_in) <= most
    if isinstance(step, Open) and step.open.batch > (before.open.batch if before.open else 1):
        assert has_enough(batches[step.open.batch - 2], before)
        assert before.open_batches is None or step.open.batch <= before.open_batches
    if isinstance(step, Finish):
        assert step.counts.total == counts.total
        assert (step.counts.pending, step.counts.in_progress) == (0, 0)
        assert step.state is not RotationState.SUCCEEDED or step.counts.succeeded == counts.total
        assert step.state is RotationState.SUCCEEDED or (since is not None and fleet.now >= since + STRAGGLERS)
        assert fleet.target.lock is not None
        assert not fleet.target.lock.is_held
    return step


def reach(opening: Opening | None) -> tuple[int, str]:
    """How far devices are let in: the batch, and the name within it."""
    if opening is None:
        return 0, ""
    return opening.batch, "e" if opening.through is None else opening.through


def test_a_device_that_was_handed_a_copy_counts_in_each_standing_once() -> None:
    fleet = RotatingFleet(Strategy(), {"d-a000": a_device(0)})
    device = fleet.devices["d-a000"]

    assert fleet.standing(device) is Standing.PENDING
    fleet.look()
    fleet.check_in("d-a000")
    assert fleet.standing(fleet.devices["d-a000"]) is Standing.IN_PROGRESS
    fleet.now += Strategy().in_progress_timeout
    assert fleet.standing(fleet.devices["d-a000"]) is Standing.FAILED
    fleet.check_in("d-a000")
    assert fleet.standing(fleet.devices["d-a000"]) is Standing.SUCCEEDED  # a late proof wins
