"""An external master key that is not in memory: the controller is sealed until the key is placed again (R68, R70)."""

import pytest

from tallystick.clusterkeys.api.join_key import JOIN_KEYS
from tallystick.clusterkeys.api.master_key import MASTER_KEYS
from tallystick.clusterkeys.services.master_keyring import NoMasterKey
from tallystick.schema.builtin import SECRETS
from tests.worlds.external_keys import EXTERNAL, FORM, KEY, OTHER, in_memory, restarted
from tests.worlds.master_key_world import IDENTITY, NAME, NAMESPACE, PROVIDED, MasterKeyWorld

SEALED = {"Ready": ("False", "MasterKeyRequired"), "Stalled": ("True", "MasterKeyRequired")}


@pytest.fixture
def world():
    return MasterKeyWorld()


async def test_nothing_is_generated_while_the_first_key_is_not_there(world):
    world.apply(**EXTERNAL)

    await world.reconcile()

    assert world.writes() == [("replace_status", "masterkeys")]
    assert world.said() == {"Ready": ("False", "WaitingForKey"), "Reconciling": ("True", "WaitingForKey")}
    assert world.status().state == "Pending"


async def test_a_controller_without_the_key_is_sealed_and_says_what_to_place(world):
    await in_memory(world)

    await restarted(world)

    status = world.status()
    assert world.said() == SEALED
    assert world.message() == (
        f"The external master key is not in memory. Place Secret edge/mk ({FORM}); what runs goes on meanwhile. "
        "If that key is lost, raise spec.serial to 2 and place a new key there."
    )
    assert (status.state, status.fingerprint, status.holder) == ("Sealed", KEY.fingerprint, None)
    assert (world.events.reasons(), world.cluster.all(SECRETS)) == (["MasterKeyRequired"], [])


async def test_a_join_key_that_needs_the_key_hears_where_to_look(world):
    await in_memory(world)
    await restarted(world)

    answer = await world.keys_of()

    assert answer == NoMasterKey(
        "MasterKeyRequired",
        f"external master key {KEY.fingerprint} is not in memory, so the sealed copy waits; "
        "see MasterKey edge/artifactory",
        temporary=False,
    )


async def test_the_right_key_unseals_it_without_a_restart_and_its_secret_goes_again(world):
    await in_memory(world)
    world.put_join_key("jpd-1", sealed_with=KEY.fingerprint)
    await restarted(world)
    world.clock.advance(60)
    world.place(KEY)

    again = await world.look()
    await world.reconcile()

    assert again == [(MASTER_KEYS, NAMESPACE, NAME)]
    assert (world.said(), world.status().state) == ({"Ready": ("True", "KeyInMemory")}, "Active")
    assert (world.secret(PROVIDED), (await world.keys_of()).newest) == (None, KEY)
    assert (JOIN_KEYS, NAMESPACE, "jpd-1") in world.looked_again
    assert world.status().holder.loaded_time == world.clock.now()


async def test_a_wrong_key_is_reported_and_left_there(world):
    await in_memory(world)
    await restarted(world)
    placed = world.place(OTHER)

    await world.look()
    await world.reconcile()
    await world.reconcile()

    assert world.secret(PROVIDED) == placed
    assert world.said() == {"Ready": ("False", "MasterKeyMismatch"), "Stalled": ("True", "MasterKeyMismatch")}
    assert world.message() == (
        f"Secret edge/mk holds {OTHER.fingerprint}, needed is {KEY.fingerprint}; it was left alone. Place the required "
        "key there, or raise spec.serial to 2 to seal join keys with this one; what runs goes on meanwhile."
    )
    assert (world.status().state, isinstance(await world.keys_of(), NoMasterKey)) == ("Sealed", True)


async def test_a_key_that_is_no_key_is_reported_with_the_required_fingerprint(world):
    await in_memory(world)
    await restarted(world)
    world.place("abc")

    await world.reconcile()

    assert world.said()["Ready"] == ("False", "InvalidKey")
    assert world.message().endswith(f"the required key has fingerprint {KEY.fingerprint}")
    assert world.status().state == "Sealed"


async def test_a_secret_that_is_placed_meanwhile_is_checked_and_kept_for_the_next_start(world):
    await in_memory(world)
    placed = world.place(KEY)

    again = await world.look()
    await world.reconcile()

    assert again == [(MASTER_KEYS, NAMESPACE, NAME)]
    assert (world.secret(PROVIDED), world.said()) == (placed, {"Ready": ("True", "KeyInMemory")})
    assert world.message() == (
        f"the key is in the memory of {IDENTITY} alone since 2030-01-01T12:00:00Z. "
        f"Secret edge/mk ({FORM}) is in place for the next start."
    )


async def test_the_next_start_takes_the_key_that_is_in_place(world):
    await in_memory(world)
    world.place(KEY)
    await world.look()
    await world.reconcile()

    await restarted(world)

    assert (world.secret(PROVIDED), world.said()) == (None, {"Ready": ("True", "KeyInMemory")})


async def test_a_wrong_key_that_is_placed_meanwhile_is_named_and_the_work_goes_on(world):
    await in_memory(world)
    placed = world.place(OTHER)

    await world.look()
    await world.reconcile()

    assert (world.secret(PROVIDED), world.said()) == (placed, {"Ready": ("True", "KeyInMemory")})
    assert world.message().endswith(
        f"Secret edge/mk holds {OTHER.fingerprint} instead. Put {KEY.fingerprint} back before the controller restarts, "
        "or raise spec.serial to 2 to rotate."
    )
    assert (await world.keys_of()).newest == KEY


async def test_a_sealed_controller_rotates_to_the_key_that_is_placed_after_the_serial_was_raised(world):
    await in_memory(world)
    await restarted(world)
    world.rotate()
    world.place(OTHER)

    await world.look()
    await world.reconcile()

    assert (world.status().fingerprint, world.status().serial) == (OTHER.fingerprint, 2)
    assert (await world.keys_of()).newest == OTHER
