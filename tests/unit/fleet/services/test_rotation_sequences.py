"""Any sequence of check-ins, edits, faults, crashes and time: sums, bounds, and no device that is locked out."""

import asyncio
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tallystick.fleet.api.device import DEVICES
from tallystick.fleet.api.token_rotation import TOKEN_ROTATIONS
from tallystick.fleet.domain.rotation.tally import Tally
from tests.worlds.faults import Fault
from tests.worlds.fleet_world import NAMESPACE
from tests.worlds.rotation_world import FINAL, RotationWorld

Step = tuple[str, Any]
SIZE = 5

STRATEGIES = st.fixed_dictionaries(
    {},
    optional={
        "batches": st.sampled_from(
            [
                [{"name": "canary", "limit": 1}],
                [{"name": "half", "limit": "50%"}],
                [{"name": "north", "selector": {"matchLabels": {"site": "north"}}, "limit": 1}],
            ]
        ),
        "maxConcurrency": st.sampled_from([1, 2, "50%"]),
        "maxFailures": st.sampled_from([0, 1, "40%"]),
        "successThreshold": st.sampled_from(["50%", "100%"]),
        "inProgressTimeout": st.just("30s"),
        "deadline": st.just("10m"),
    },
)
STEPS = st.one_of(
    st.tuples(st.just("check in"), st.integers(0, SIZE - 1)),
    st.tuples(st.just("report a failure"), st.integers(0, SIZE - 1)),
    st.tuples(st.just("time"), st.sampled_from([1, 1, 1, 6, 20])),
    st.tuples(st.just("fault"), st.tuples(st.integers(1, 4), st.sampled_from(list(Fault)))),
    st.tuples(st.just("order"), st.sampled_from(["Paused", "Running", "Aborted"])),
    st.tuples(st.just("restart"), st.none()),
    st.tuples(st.just("label"), st.integers(0, SIZE - 1)),
    st.tuples(st.just("enroll"), st.integers(20, 22)),
    st.tuples(st.just("delete a device"), st.integers(0, SIZE - 1)),
    st.tuples(st.just("rotate"), st.integers(2, 3)),
    st.tuples(st.just("delete a rotation"), st.integers(1, 3)),
)


async def a_fleet(strategy: dict[str, Any]) -> RotationWorld:
    world = RotationWorld()
    world.project(checkInPeriod="5s")
    world.enrolled(range(SIZE))
    await world.work()
    world.count_devices()
    world.rotate("rot-1", strategy=strategy)
    await world.run(2)
    return world


def nth(world: RotationWorld, number: int) -> Any:
    return world.sims[sorted(world.sims)[number % len(world.sims)]] if world.sims else None


def rotations(world: RotationWorld) -> list[str]:
    return [body["metadata"]["name"] for body in world.cluster.all(TOKEN_ROTATIONS)]


def check_in(world: RotationWorld, number: int) -> None:
    if world.sims:
        nth(world, number).check_in()


def report(world: RotationWorld, number: int) -> None:
    if world.sims and nth(world, number).upcoming:
        nth(world, number).check_in(failed="DiskFull")


def fail(world: RotationWorld, fault: tuple[int, Fault]) -> None:
    world.cluster.plan_from_now(dict([fault]))


def order(world: RotationWorld, state: str) -> None:
    for name in rotations(world):
        if world.rotation(name).spec.desired_state != "Aborted":
            world.edit(name, desiredState=state)


def remove(world: RotationWorld, number: int) -> None:
    if world.sims:
        world.remove_device(nth(world, number).name)


def rotate(world: RotationWorld, number: int) -> None:
    if f"rot-{number}" not in rotations(world):
        world.rotate(f"rot-{number}")


def remove_rotation(world: RotationWorld, number: int) -> None:
    if f"rot-{number}" in rotations(world):
        world.cluster.remove(TOKEN_ROTATIONS, NAMESPACE, f"rot-{number}")


def label(world: RotationWorld, number: int) -> None:
    if not world.sims:
        return
    name = nth(world, number).name
    world.cluster.edit(DEVICES, NAMESPACE, name, lambda body: body["metadata"].update(labels={"site": "north"}))


def enroll(world: RotationWorld, number: int) -> None:
    if not any(body["spec"]["displayName"] == f"cam-{number}" for body in bodies(world)):
        world.enrolled([number], generation=world.target().generation)


def bodies(world: RotationWorld) -> list[Any]:
    return world.cluster.all(DEVICES)


ACTIONS: dict[str, Any] = {
    "check in": check_in,
    "report a failure": report,
    "fault": fail,
    "order": order,
    "restart": lambda world, _: world.restart(),
    "label": label,
    "enroll": enroll,
    "delete a device": remove,
    "rotate": rotate,
    "delete a rotation": remove_rotation,
}


async def take(world: RotationWorld, step: Step) -> None:
    name, argument = step
    if name == "time":
        await world.run(argument)
    else:
        ACTIONS[name](world, argument)


def check(world: RotationWorld) -> None:
    """What holds after each step. The sums and the rules of the schema are checked at each write."""
    for sim in world.sims.values():
        assert sim.holds_an_accepted_copy(), f"{sim.name} is locked out"
        assert max(sim.proved, sim.upcoming) <= world.target().generation


async def play(strategy: dict[str, Any], steps: list[Step]) -> RotationWorld:
    world = await a_fleet(strategy)
    for step in steps:
        await take(world, step)
        check(world)
    return world


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(strategy=STRATEGIES, steps=st.lists(STEPS, max_size=25))
def test_no_sequence_locks_a_device_out_and_the_counts_are_those_of_the_devices(strategy, steps):
    async def run() -> None:
        world = await play(strategy, steps)
        world.cluster.plan_from_now({})
        await world.run(3)
        lock = world.target().lock
        if lock is None or not lock.is_held or lock.name not in rotations(world):
            return
        facts, status = world.locking(), world.rotation(lock.name).status
        tally = Tally(facts, world.target(), world.clock.now())
        tally.fill((world.device(body["metadata"]["name"]) for body in bodies(world)), world.clock.now())
        counted = [(one.total, one.pending, one.in_progress, one.succeeded, one.failed) for one in status.batches]
        if status.state not in FINAL:
            assert counted == [
                (one.total, one.pending, one.in_progress, one.succeeded, one.failed) for one in tally.counts
            ]

    asyncio.run(run())


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(strategy=STRATEGIES, steps=st.lists(STEPS, max_size=15))
def test_from_any_state_all_rotations_end_and_release_the_lock(strategy, steps):
    async def run() -> None:
        world = await play(strategy, steps)
        world.cluster.plan_from_now({})
        for name in rotations(world):
            if world.rotation(name).spec.desired_state == "Paused":
                world.edit(name, desiredState="Running")
        await world.run(60, each_second=world.check_in_all)
        world.clock.advance(600)
        await world.run(80, each_second=world.check_in_all)

        lock = world.target().lock
        assert lock is not None
        assert not lock.is_held
        assert world.target().enrolling == ()
        check(world)

    asyncio.run(run())
