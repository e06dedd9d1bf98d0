"""The rotation model decides as the code does: both are asked about the same devices, rotations and enrollments."""

import itertools
from dataclasses import replace

import pytest

from tallystick.fleet.domain import check_in, enrolling
from tallystick.fleet.domain.counts import standing
from tallystick.fleet.domain.next_step import Open, next_step
from tallystick.fleet.domain.permission import may_start
from tests.fakes import NOON
from tests.model import rotation_copies as copies
from tests.model import rotation_enrolling as enrollments
from tests.model.rotation_batches import DONE, FAILED, PENDING, PROGRESS, BatchesWorld, lets_in
from tests.model.rotation_copies import CopiesWorld
from tests.model.rotation_enrolling import EnrollingWorld
from tests.model.rotation_exploration import explore
from tests.model.rotation_facts import (
    DEVICES,
    as_the_model,
    batch_device,
    batch_rotation,
    device_made,
    device_of,
    expected,
    free_of,
    kind_of,
    left_of,
    locked,
    observed_of,
    opened,
    outcome,
    presented,
    rotation_of,
    some_copies,
    target_of,
    target_with,
    value_of,
)
from tests.model.rotation_rules import OURS

BATCHES = [BatchesWorld(devices=3, first=3, max_concurrency=1), BatchesWorld(devices=3, first=1, max_concurrency=2)]


# The copies of one device


@pytest.mark.parametrize("keyed", [True, False])
@pytest.mark.parametrize("compromised", [True, False])
def test_a_check_in_is_decided_alike(keyed: bool, compromised: bool) -> None:
    world = CopiesWorld(keyed=keyed, compromised=(compromised, compromised))
    asked = 0
    for state in some_copies(world):
        device, target, rotation = device_of(state, keyed), target_of(state), rotation_of(state, compromised)
        for g in (1, 2, 3):
            allowed = copies.permission(world, OURS, state)
            if allowed and allowed != state.gen:
                continue  # the lock says otherwise
            decision = check_in.decide(presented(g, keyed), check_in.Reading(device, target, rotation), NOON)

            wanted = copies.decided(world, OURS, state, g, allowed, state.device)
            assert as_the_model(decision, device) == wanted, (state, g, decision)
            asked += 1
    assert asked > 1000


def test_the_same_key_is_answered_alike_when_it_enrolls_again() -> None:
    for state in some_copies(CopiesWorld()):
        if state.revoked:
            continue
        value = value_of("d-x", (1, state.gen))

        decision = enrolling.decide(
            value, target_of(state), replace(device_of(state, keyed=True), checked_in=True), NOON
        )

        want, copy = copies.enrolled_again(OURS, state)
        is_answered = {None: enrolling.Answer(copy)}.get(want, enrolling.OfferCopy(copy))
        assert decision == is_answered, state


def test_a_reading_that_is_behind_is_known_alike() -> None:
    for (c, o), g in itertools.product(DEVICES, (1, 2, 3)):
        state = CopiesWorld().start._replace(device=(c, o))

        assert check_in.is_behind(presented(g, keyed=True), device_of(state, keyed=True)) is (g > max(c, o))


# The batches


@pytest.mark.parametrize("world", BATCHES, ids=["one batch", "two batches"])
def test_the_next_step_of_a_rotation_is_decided_alike(world: BatchesWorld) -> None:
    kinds = set()
    met = {
        (state.seen, state.given, state.order, state.state, state.open): state for state in explore(world, OURS).index
    }
    for state in met.values():
        if state.state in ("Aborted", "Finished"):
            continue
        step = next_step(observed_of(world, state), NOON)

        assert kind_of(step) == expected(world, state), (state, step)
        if isinstance(step, Open) and state.state == "Running":
            assert opened(world, step.open) == state.open + min(free_of(world, state), left_of(world, state)), (
                state,
                step,
            )
        kinds.add(kind_of(step))
    assert kinds >= {"open", "halt", "abort", "aborted", "wait", "pause", "confirm", "halted", "aborting"}


@pytest.mark.parametrize("world", BATCHES, ids=["one batch", "two batches"])
def test_who_may_start_is_decided_alike(world: BatchesWorld) -> None:
    met = {(state.devices, state.order, state.state, state.open): state for state in explore(world, OURS).index}
    for state in met.values():
        for i in range(world.devices):
            may = state.devices[i] == PENDING and lets_in(state) and i < state.open
            device = batch_device(state.devices[i], i)

            assert may_start(device, locked(), batch_rotation(world, state), NOON) is may, (state, i)


def test_the_standing_of_a_device_is_named_alike() -> None:
    world = BATCHES[0]
    for named in (PENDING, PROGRESS, FAILED, DONE):
        assert standing(batch_device(named, 0), batch_rotation(world, world.start), NOON) == named


# The enrollments


@pytest.mark.parametrize("revokes", [False, True])
def test_an_enrollment_is_decided_alike(revokes: bool) -> None:
    world = EnrollingWorld(keys=("x",), revokes=revokes, recounts=False)
    decisions = set()
    for state in explore(world, OURS).index:
        value = state.values[0]
        if value == enrollments.NO_VALUE:
            continue
        made = enrollments.found(state, "x")

        wanted = enrollments.decided(OURS, state, "x", value, held=state.copies[0])
        decision = enrolling.decide(value_of("x", value), target_with(state), device_made(state, made), NOON)

        assert outcome(decision) == wanted, (state, decision)
        decisions.add(wanted)
    ended = {("refused", "revoked"), ("refused", "device revoked")} if revokes else set()
    assert decisions >= {("swap",), ("create",), ("answer", 1), ("answer", 2), ("refused", "replaced")} | ended


def test_a_full_project_is_decided_alike() -> None:
    state = EnrollingWorld(keys=("x",)).start._replace(devices=enrollments.MOST)

    decision = enrolling.decide(value_of("x", (1, 1)), target_with(state), None, NOON)

    assert outcome(decision) == enrollments.decided(OURS, state, "x", (1, 1), held=0) == ("refused", "full")
