"""The places and the count of a project, which the leader keeps where no enrollment does."""

import pytest

from tallystick.fleet.api.device import DEVICES
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS
from tallystick.schema.times import rfc3339
from tests.builders import OTHER_UID
from tests.fakes import NOON
from tests.worlds.fleet_world import NAMESPACE, TOKEN
from tests.worlds.rotation_world import RotationWorld

GONE = "d-" + "b" * 26


@pytest.fixture
async def world():
    world = RotationWorld()
    world.project()
    await world.work()
    return world


def take_places(world, *names):
    entries = [{"name": name, "generation": 1, "time": rfc3339(world.clock.now())} for name in names]
    world.cluster.edit(PAIRING_TOKENS, NAMESPACE, TOKEN, lambda body: body["status"].update(enrolling=entries))


async def test_a_place_whose_device_exists_is_counted(world):
    (name,) = world.enrolled([1])
    take_places(world, name)
    await world.run(8)
    early = world.target().devices

    await world.run(4)

    assert (early, world.target().devices, world.target().enrolling) == (0, 1, ())


async def test_a_place_without_a_device_is_given_up_after_ten_minutes_and_a_get(world):
    take_places(world, GONE)
    await world.run(15)
    world.clock.advance(580)
    await world.run(2)
    kept = len(world.target().enrolling)
    world.cluster.calls.clear()

    await world.run(15)

    assert (kept, world.target().enrolling, world.target().devices) == (1, (), 0)
    assert GONE in [call.name for call in world.cluster.calls if call.verb == "get"]


async def test_a_place_whose_device_only_the_api_server_shows_is_kept_and_then_counted(world):
    (name,) = world.enrolled([1])
    take_places(world, name)
    watch, world.watch = world.watch, lambda: None
    world.cache.observe(PAIRING_TOKENS, "MODIFIED", world.cluster.peek(PAIRING_TOKENS, NAMESPACE, TOKEN))
    world.look_again(PAIRING_TOKENS, NAMESPACE, TOKEN)
    world.clock.advance(700)
    await world.run(15)
    kept = [entry.name for entry in world.target().enrolling]

    world.watch = watch
    await world.run(30)

    assert (kept, world.target().devices, world.target().enrolling) == ([name], 1, ())


async def test_the_count_falls_by_a_list_after_devices_were_deleted(world):
    names = world.enrolled(range(3))
    world.count_devices()
    await world.run(1)

    world.remove_device(names[0])
    await world.run(15)

    assert world.target().devices == 2


async def test_a_list_follows_at_most_once_a_minute(world):
    names = world.enrolled(range(4))
    world.count_devices()
    await world.run(1)
    for name in names:
        world.remove_device(name)
        await world.run(12)

    lists = [call for call in world.cluster.calls if (call.verb, call.plural) == ("list", "devices")]
    assert (len(lists), world.target().devices) == (1, 3)
    await world.run(60)
    assert world.target().devices == 0


async def test_a_count_by_list_is_not_stored_over_an_enrollment(world):
    names = world.enrolled(range(2))
    world.count_devices()
    await world.run(1)
    world.remove_device(names[0])
    world.cluster.before_next("replace_status", "pairingtokens", lambda: take_places(world, GONE))

    await world.run(15)

    assert [entry.name for entry in world.target().enrolling] == [GONE]
    assert world.target().devices == 2


async def test_devices_of_a_former_token_of_the_same_name_are_not_counted(world):
    world.enrolled(range(2))
    (other,) = world.enrolled([7])
    world.cluster.edit(DEVICES, NAMESPACE, other, lambda body: body["spec"]["pairingTokenRef"].update(uid=OTHER_UID))
    await world.run(1)
    world.look_again(PAIRING_TOKENS, NAMESPACE, TOKEN)

    await world.run(15)

    assert world.target().devices == 2


async def test_a_quiet_project_costs_no_request(world):
    world.enrolled(range(2))
    world.count_devices()
    await world.run(2)
    world.cluster.calls.clear()

    await world.run(120)

    assert world.cluster.calls == []
    assert world.clock.now() > NOON
