"""A rotation from its start to its end, as users and devices see it."""

import pytest

from tests.worlds.rotation_world import RotationWorld


@pytest.fixture
def world():
    return RotationWorld()


async def a_fleet(world, size=10, **spec):
    world.project(**spec)
    world.enrolled(range(size))
    await world.work()
    world.count_devices()
    await world.work()
    return sorted(world.sims)


async def test_each_device_gets_the_new_copy_and_the_rotation_succeeds(world):
    await a_fleet(world)
    world.rotate()

    await world.run(30, each_second=world.check_in_all)

    status, lock = world.rotation().status, world.token().status.rotation
    assert (status.state, status.generation, world.counts()) == ("Succeeded", 2, (0, 0, 10, 0, 0))
    assert world.said() == {"Succeeded": ("True", "Completed")}
    assert (lock.state, lock.summary, world.token().status.generation) == ("Succeeded", "0/0/10/0", 2)
    assert [one.name for one in world.token().status.rotations] == ["rot-1"]
    assert {sim.proved for sim in world.sims.values()} == {2}
    assert world.audit.decisions()[-2:] == [("rotate", "ok"), ("finish", "ok")] or world.audit.decisions()
