"""A rotation whose controller is cut off at each of its calls: it ends as it would, and locks no device out."""

import pytest

from tallystick.fleet.api.token_rotation import TOKEN_ROTATIONS
from tests.worlds.faults import Fault
from tests.worlds.fleet_world import NAMESPACE
from tests.worlds.rotation_world import RotationWorld

BATCHES = {"batches": [{"name": "canary", "limit": 1}], "maxConcurrency": 1, "successThreshold": "100%"}
CALLS = 25


async def a_fleet(size=2):
    world = RotationWorld()
    world.project()
    world.enrolled(range(size))
    await world.work()
    world.count_devices()
    await world.work()
    return world


async def run_to_the_end(world, *, restart_after_each_fault=False):
    """Let devices check in until the rotation is over; each holds an accepted copy at every second."""
    faults = len(world.cluster.plan)
    for _ in range(60):
        await world.run(1, each_second=world.check_in_all)
        assert all(sim.holds_an_accepted_copy() for sim in world.sims.values())
        if restart_after_each_fault and len(world.cluster.plan) < faults:
            faults = len(world.cluster.plan)
            world.restart()
        if world.rotation().status.state in ("Succeeded", "Failed", "Aborted") and not world.target().lock.is_held:
            return
    raise AssertionError(f"the rotation never ended: {world.rotation().status}")


def is_consistent(world):
    lock, status = world.token().status.rotation, world.rotation().status
    shown = (lock.pending, lock.in_progress, lock.succeeded, lock.failed)
    assert (lock.state, lock.generation) == (status.state, status.generation)
    assert shown == world.counts()[:4]
    assert [one.name for one in world.token().status.rotations] == ["rot-1"]
    assert world.token().status.generation == 2


@pytest.mark.parametrize(
    ("fault", "restart"),
    [
        *(pytest.param(fault, False, id=f"{fault.name}, the same leader") for fault in Fault),
        pytest.param(Fault.LOST_ANSWER, True, id="LOST_ANSWER, the next leader"),
        pytest.param(Fault.NO_ANSWER, True, id="NO_ANSWER, the next leader"),
    ],
)
async def test_a_fault_at_any_call_of_a_rotation_changes_nothing_of_its_end(fault, restart):
    for number in range(1, CALLS + 1):
        world = await a_fleet()
        world.rotate(strategy=BATCHES)
        world.cluster.plan_from_now({number: fault})

        await run_to_the_end(world, restart_after_each_fault=restart)

        assert world.cluster.plan == {}, "each fault must happen"
        assert (world.rotation().status.state, world.counts()) == ("Succeeded", (0, 0, 2, 0, 0)), number
        assert {sim.proved for sim in world.sims.values()} == {2}
        is_consistent(world)


@pytest.mark.parametrize("fault", Fault)
async def test_a_fault_at_any_call_of_an_abort_changes_nothing_of_its_end(fault):
    for number in range(1, 10):
        world = await a_fleet()
        world.rotate(strategy=BATCHES)
        await world.run(3, each_second=world.check_in_all)
        world.edit(desiredState="Aborted")
        world.cluster.plan_from_now({number: fault})

        await run_to_the_end(world)

        assert world.cluster.plan == {}, "each fault must happen"
        assert (world.rotation().status.state, sum(world.counts())) == ("Aborted", 2), number
        is_consistent(world)


async def test_two_faults_at_the_start_take_one_lock():
    for first in range(1, 7):
        for second in range(first + 1, 8):
            world = await a_fleet(1)
            world.rotate()
            world.cluster.plan_from_now({first: Fault.LOST_ANSWER, second: Fault.NO_ANSWER})

            await run_to_the_end(world, restart_after_each_fault=True)

            is_consistent(world)


async def test_a_rotation_that_is_deleted_between_lock_and_status_is_given_up():
    world = await a_fleet()
    world.rotate()
    world.cluster.after_next(
        "replace_status", "pairingtokens", lambda: world.cluster.remove(TOKEN_ROTATIONS, NAMESPACE, "rot-1")
    )

    await world.run(20, each_second=world.check_in_all)
    world.rotate("rot-2")
    await world.run(20, each_second=world.check_in_all)

    assert [(one.name, one.state) for one in world.token().status.rotations] == [
        ("rot-2", "Succeeded"),
        ("rot-1", "Aborted"),
    ]
    assert {sim.proved for sim in world.sims.values()} == {3}
