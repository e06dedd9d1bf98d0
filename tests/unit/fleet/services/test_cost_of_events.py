"""An event of a Device, and a look at a rotation, cost the same in any fleet. Their operations are counted."""

import pytest

from tallystick.fleet.api.device import DEVICES
from tallystick.fleet.api.token_rotation import TOKEN_ROTATIONS
from tests.harness.operations import Operations
from tests.worlds.fleet_world import NAMESPACE
from tests.worlds.rotation_world import ROTATION, RotationWorld
from tests.worlds.rotations import a_fleet, check_in_of, move, start

SMALL, LARGE = 40, 160
BATCHES = [{"name": "canary", "limit": 4}, {"name": "second", "limit": 6}]
DONE, IN_PROGRESS, OPEN, LAST = slice(0, 4), slice(4, 7), slice(8, 9), slice(20, 21)


async def a_rotation(size, strategy):
    """Let the canary succeed, and three devices of the second batch begin."""
    world = RotationWorld()
    names = await a_fleet(world, size)
    await start(world, strategy={"batches": BATCHES, **strategy})
    move(world, names[DONE])
    await world.run(3)
    check_in_of(world, names[IN_PROGRESS])
    await world.run(3)
    assert world.counts() == (size - 7, 3, 4, 0, 0)
    return world, names


def stored(world, name):
    (body,) = (one for one in world.cluster.all(DEVICES) if one["metadata"]["name"] == name)
    return body


async def cost_of(world, event_type, body):
    """Count the operations of one event: of the cache, and of the reconciler of Devices."""
    with Operations() as operations:
        world.cache.touched_by(DEVICES, body)
        assert world.cache.observe(DEVICES, event_type, body), "the event is no news"
        await world.reconcilers[DEVICES].reconcile(NAMESPACE, body["metadata"]["name"])
    return operations.count


async def hand_out(world, names):
    check_in_of(world, names[OPEN])
    return await cost_of(world, "MODIFIED", stored(world, *names[OPEN]))


async def proof(world, names):
    check_in_of(world, names[IN_PROGRESS])
    return await cost_of(world, "MODIFIED", stored(world, names[IN_PROGRESS][0]))


async def failure(world, names):
    check_in_of(world, names[IN_PROGRESS], failed="DiskFull")
    return await cost_of(world, "MODIFIED", stored(world, names[IN_PROGRESS][0]))


async def enrollment(world, _):
    (name,) = world.enrolled([1_000], generation=2)
    return await cost_of(world, "ADDED", stored(world, name))


async def deletion(world, names):
    body = stored(world, *names[LAST])
    world.remove_device(*names[LAST])
    return await cost_of(world, "DELETED", body)


async def look(world, names):
    await proof(world, names)
    world.clock.advance(1)
    with Operations() as operations:
        await world.reconcilers[TOKEN_ROTATIONS].reconcile(NAMESPACE, ROTATION)
    return operations.count


@pytest.mark.parametrize("strategy", [{}, {"maxConcurrency": 5}], ids=["no bound", "maxConcurrency"])
@pytest.mark.parametrize("cost", [hand_out, proof, failure, enrollment, deletion, look], ids=lambda cost: cost.__name__)
async def test_a_fleet_of_four_times_the_size_costs_no_more_operations(cost, strategy):
    small = await cost(*await a_rotation(SMALL, strategy))
    large = await cost(*await a_rotation(LARGE, strategy))

    assert 0 < small == large
