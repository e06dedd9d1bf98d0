"""The facts of the code for each state of the rotation model, and the decisions of the code in its words."""

import itertools
from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

from tallystick.fleet.api.strategy import DesiredState
from tallystick.fleet.domain import check_in, enrolling
from tallystick.fleet.domain.batches import Batch
from tallystick.fleet.domain.copies import copy_id
from tallystick.fleet.domain.counts import Counts, Standing
from tallystick.fleet.domain.facts import (
    DeviceFacts,
    Enrolling,
    Failure,
    Lock,
    Offer,
    Opening,
    RotationFacts,
    Strategy,
    Target,
)
from tallystick.fleet.domain.next_step import Close, Finish, Observed, Open, Step, Wait
from tallystick.fleet.domain.places import Places
from tallystick.fleet.domain.quantities import Quantity
from tallystick.pairing.api.device_project import RotationState
from tallystick.pairing.domain.enrollment_values import value_id
from tests.builders import OTHER_UID, THUMBPRINT, UID
from tests.fakes import NOON
from tests.model import rotation_copies as copies
from tests.model import rotation_enrolling as enrollments
from tests.model.rotation_batches import DONE, FAILED, PENDING, PROGRESS, Batches, BatchesWorld
from tests.model.rotation_copies import Copies, CopiesWorld
from tests.model.rotation_rules import OURS

LONG_AGO = NOON - timedelta(hours=1)
ROTATION_UID = str(UUID(int=7))
STATES = {
    copies.NONE: RotationState.PENDING,
    copies.RUNNING: RotationState.RUNNING,
    copies.CLOSING: RotationState.ABORTING,
    copies.FINAL: RotationState.ABORTED,
}
DEVICES = [(c, o) for c in (1, 2, 3) for o in (0, 2, 3) if o == 0 or o > c]


def some_copies(world: CopiesWorld) -> Iterator[Copies]:
    """Every combination of what a decision depends on, met or not."""
    orders, states = ("Running", "Paused", "Aborted"), tuple(STATES)
    for device, gen, floor, running in itertools.product(DEVICES, (1, 2, 3), (0, 2, 3), (0, 1, 2)):
        if max(device) > gen or floor > gen or running > gen - 1:
            continue
        for order, state, revoked in itertools.product(orders, states, (False, True)):
            one = world.start._replace(device=device, gen=gen, floor=floor, running=running, revoked=revoked)
            yield one._replace(order=(order, order), state=(state, state))


def device_of(state: Copies, keyed: bool) -> DeviceFacts:
    c, o = state.device
    return DeviceFacts(
        name="d-x",
        uid=OTHER_UID,
        created=LONG_AGO,
        serial=1,
        first_generation=1,
        first_key_id="key",
        key_thumbprint=THUMBPRINT if keyed else None,
        revoked=state.revoked,
        checked_in=True,
        generation=c,
        last_seen=NOON,
        offer=Offer(o, "key", LONG_AGO, "rot") if o else None,
    )


def target_of(state: Copies) -> Target:
    lock = Lock("rot", ROTATION_UID, state.running + 1, RotationState.RUNNING) if state.running else None
    return Target("edge", "cams", UID, generation=state.gen, revoked_below=state.floor, lock=lock)


def rotation_of(state: Copies, compromised: bool) -> RotationFacts | None:
    if not state.running:
        return None
    k = state.running - 1
    return RotationFacts(
        name="rot",
        uid=ROTATION_UID,
        created=LONG_AGO,
        order=DesiredState(state.order[k]),
        compromised=compromised,
        state=STATES[state.state[k]],
        generation=k + 2,
        start_time=LONG_AGO,
        open=Opening(1),
        cuts=(None,),
    )


def presented(generation: int, keyed: bool) -> check_in.Presented:
    key = THUMBPRINT if keyed else None
    return check_in.Presented(copy_id(OTHER_UID, generation), OTHER_UID, generation, UID, key, key)


def as_the_model(decision: check_in.Decision, device: DeviceFacts) -> tuple[tuple[int, int] | None, int, int]:
    after = check_in.written(device, decision, key_id="key", now=NOON)
    want = (after.proved, after.offered) if (after.proved, after.offered) != (device.proved, device.offered) else None
    match decision:
        case check_in.OfferCopy(generation) | check_in.Again(generation):
            return want, 200, generation
        case check_in.Prove() | check_in.Nothing():
            return want, 204, 0
        case _:
            assert isinstance(decision, check_in.Refuse)
            return want, 401, 0


def names_of(world: BatchesWorld) -> tuple[str, ...]:
    return tuple(f"d-{i}" for i in range(world.devices))


def locked() -> Target:
    lock = Lock("rot", ROTATION_UID, 2, RotationState.RUNNING)
    return Target("edge", "cams", UID, generation=2, lock=lock, check_in_period=timedelta(seconds=15))


def batch_device(named: str, i: int) -> DeviceFacts:
    offer = Offer(2, "key", NOON, "rot") if named in (PROGRESS, FAILED) else None
    failure = Failure(2, "DiskFull", "", NOON) if named == FAILED else None
    generation = 2 if named == DONE else None
    return DeviceFacts(
        f"d-{i}", OTHER_UID, LONG_AGO, 1, 1, "key", THUMBPRINT, generation=generation, offer=offer, failure=failure
    )


def batch_rotation(world: BatchesWorld, state: Batches) -> RotationFacts:
    states = {"Closed": "Halted", "Finished": "Succeeded"}
    names, parted = names_of(world), world.first < world.devices
    opening = None
    if state.open:
        whole = state.open in (world.first, world.devices)
        opening = Opening(1 if state.open <= world.first else 2, None if whole else names[state.open - 1])
    return RotationFacts(
        name="rot",
        uid=ROTATION_UID,
        created=LONG_AGO,
        order=DesiredState(state.order),
        strategy=Strategy(
            batches=(Batch("first", limit=Quantity(world.first)),) if parted else (),
            success_threshold=Quantity.percent(100),
            max_concurrency=Quantity(world.max_concurrency),
            max_failures=Quantity(0),
        ),
        state=RotationState(states.get(state.state, state.state)),
        generation=2,
        start_time=LONG_AGO,
        open=opening,
        cuts=(names[world.first - 1], None) if parted else (None,),
    )


def observed_of(world: BatchesWorld, state: Batches) -> Observed:
    names = names_of(world)
    seen = [Standing(named) for named in state.seen]
    parts = [seen[: world.first], seen[world.first :]] if world.first < world.devices else [seen]
    waiting = {names[i]: NOON for i in range(state.open) if state.seen[i] == PENDING and not state.given[i]}
    return Observed(
        rotation=batch_rotation(world, state),
        target=locked(),
        batches=tuple(Counts.of(part) for part in parts),
        places=Places(waiting),
        upcoming=names[state.open : state.open + left_of(world, state)],
        state_since=LONG_AGO,
    )


def left_of(world: BatchesWorld, state: Batches) -> int:
    """How many devices of the batch that opens are not open yet."""
    return (world.first if state.open < world.first else world.devices) - state.open


def free_of(world: BatchesWorld, state: Batches) -> int:
    busy = sum(
        named == PROGRESS or (named == PENDING and not state.given[i])
        for i, named in enumerate(state.seen[: state.open])
    )
    return world.max_concurrency - busy


def opened(world: BatchesWorld, opening: Opening) -> int:
    if opening.through is not None:
        return names_of(world).index(opening.through) + 1
    return world.first if opening.batch == 1 else world.devices


def kind_of(step: Step) -> str:
    match step:
        case Wait(confirm=True):
            return "confirm"
        case Wait(why):
            known = {"Paused": "paused", "Aborting": "aborting", "TooManyFailures": "halted"}
            return known.get(why, "wait")
        case Close(_, state):
            return {"Paused": "pause", "Aborting": "abort", "Halted": "halt"}[state]
        case Finish(_, state):
            return state.lower()
        case Open():
            return "open"


def expected(world: BatchesWorld, state: Batches) -> str:
    """What the controller of the model does, in the words of `_kind`."""
    if state.order == "Aborted":
        if state.state != "Aborting":
            return "abort"
        return "aborting" if PROGRESS in state.seen else "aborted"
    if all(named == DONE for named in state.seen):
        return "confirm"
    if state.order == "Paused":
        return "pause"
    if FAILED in state.seen:
        return "halted" if state.state == "Closed" else "halt"
    if state.state == "Closed":
        return "open"  # again what was open before
    return "open" if state.open < world.devices and world.may_open(OURS, state) else "wait"


def value_of(name: str, value: tuple[int, int]) -> enrolling.Presented:
    serial, generation = value
    return enrolling.Presented(value_id(UID, serial, generation), UID, serial, generation, None, name, THUMBPRINT)


def target_with(state: enrollments.Enrolling) -> Target:
    return Target(
        "edge",
        "cams",
        UID,
        serial=state.serial,
        max_devices=enrollments.MOST,
        recorded_serial=state.serial,
        revoked_through=state.through,
        generation=state.gen,
        devices=state.devices,
        enrolling=tuple(Enrolling(name, generation, NOON) for name, generation in sorted(state.reserved)),
    )


def device_made(state: enrollments.Enrolling, made: enrollments.Made | None) -> DeviceFacts | None:
    if made is None:
        return None
    checked_in = state.copies[0] != 0 or made.c != made.first
    generation = made.c if checked_in else None
    return DeviceFacts(
        "x",
        OTHER_UID,
        LONG_AGO,
        made.serial,
        made.first,
        "key",
        THUMBPRINT,
        checked_in=checked_in,
        generation=generation,
    )


def outcome(decision: enrolling.Decision) -> tuple[object, ...]:
    match decision:
        case enrolling.Answer(generation):
            return ("answer", generation)
        case enrolling.Create():
            return ("create",)
        case enrolling.TakePlace():
            return ("swap",)
        case _:
            assert isinstance(decision, enrolling.Refuse)
            return ("refused", decision.why.name.lower().replace("_", " "))
