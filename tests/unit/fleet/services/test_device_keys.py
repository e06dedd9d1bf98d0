"""A Device reports that the key of its copy is lost, and is ready again as soon as the key is back."""

import pytest

from tallystick.fleet.api.device import DEVICES
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS
from tests.worlds.fleet_world import NAMESPACE, TOKEN
from tests.worlds.lost_keys import FIRST, damage_the_keyring, delete_the_keyring, lose_the_key, restore
from tests.worlds.rotation_world import RotationWorld
from tests.worlds.rotations import a_fleet, check_in_of, start


@pytest.fixture
def world():
    return RotationWorld()


async def lose(world, losing):
    """Lose keys, or restore them; then each object is looked at again."""
    losing(world)
    await look_again(world)


async def look_again(world):
    world.queue.update(dict.fromkeys(world.cache.everything()))
    await world.work()


def said(world, name):
    return {one.type: (one.status.value, one.reason) for one in world.stored_device(name).status.conditions}


READY = {"Ready": ("True", "Active")}
STALLED = {"Ready": ("False", "SigningKeyMissing"), "Stalled": ("True", "SigningKeyMissing")}


async def test_a_device_whose_key_is_lost_is_stalled_and_says_what_helps(world):
    (name,) = await a_fleet(world, 1)
    before = said(world, name)

    await lose(world, lose_the_key)

    message = world.stored_device(name).status.conditions[0].message
    assert (before, said(world, name)) == (READY, STALLED)
    assert f"Signing key {FIRST} is not in Secret" in message
    assert message.endswith(
        "Without a backup, delete the Device: the device enrolls again with its key and the present value."
    )
    assert [event.reason for event in world.events.warnings if event.name == name] == ["SigningKeyMissing"]


async def test_it_is_ready_again_when_the_key_is_back(world):
    (name,) = await a_fleet(world, 1)
    await lose(world, lose_the_key)

    await lose(world, restore)

    assert said(world, name) == READY


async def test_the_loss_is_reported_once(world):
    (name,) = await a_fleet(world, 1)
    await lose(world, lose_the_key)
    world.writes()

    await look_again(world)

    assert world.writes() == []
    assert said(world, name) == STALLED


async def test_the_key_of_an_offered_copy_counts_too(world):
    (name,) = await a_fleet(world, 1)
    await start(world)
    check_in_of(world, [name])
    world.cluster.edit(DEVICES, NAMESPACE, name, lambda body: body["status"]["offer"].update(kid="k-lost"))

    await world.work()

    assert said(world, name) == STALLED
    assert "k-lost" in world.stored_device(name).status.conditions[0].message


@pytest.mark.parametrize("losing", [delete_the_keyring, damage_the_keyring])
async def test_a_lost_keyring_writes_to_no_device(world, losing):
    (name,) = await a_fleet(world, 1)
    await lose(world, lose_the_key)
    world.writes()

    await lose(world, losing)

    assert [write for write in world.writes() if write[1] == DEVICES.plural] == []
    token = world.cluster.peek(PAIRING_TOKENS, NAMESPACE, TOKEN)
    assert [one["reason"] for one in token["status"]["conditions"] if one["type"] == "Stalled"] != []
    assert said(world, name) == STALLED


async def test_a_revoked_device_needs_no_key(world):
    (name,) = await a_fleet(world, 1)
    world.cluster.edit(DEVICES, NAMESPACE, name, lambda body: body["spec"].update(revoked=True))
    await world.work()

    await lose(world, lose_the_key)

    assert said(world, name) == {"Ended": ("True", "Revoked")}
