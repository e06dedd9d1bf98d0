"""Signing keys are lost: no value leaves the Secret, no token is issued, and the object says what is missing (S22)."""

import pytest

from tests.worlds.connection_world import ConnectionWorld
from tests.worlds.damages import delete, edit_secret
from tests.worlds.lost_keys import FIRST, LOSSES, damage_the_keyring, delete_the_keyring, lose_the_key, restore


@pytest.fixture
def world() -> ConnectionWorld:
    return ConnectionWorld()


def make_immutable(world):
    edit_secret(world, lambda body: body.update(immutable=True))


@pytest.mark.parametrize("slots", [("default",), ("blue", "green")])
@pytest.mark.parametrize("lose", LOSSES)
async def test_s22_no_value_leaves_the_secret_and_the_object_says_what_is_missing_until_it_is_restored(
    world, lose, slots
):
    await world.issue(*slots)
    before = world.secret()

    lose(world)
    world.restart()
    await world.reconcile()
    await world.reconcile()
    kept, said, message = world.secret(), world.said(), world.message()
    restore(world)
    await world.reconcile()

    assert kept == before
    assert said == {"Ready": ("False", LOSSES[lose]), "Stalled": ("True", LOSSES[lose])}
    assert FIRST in message
    assert "docs/backup.md" in message
    assert world.events.reasons() == [LOSSES[lose]]
    assert (world.secret(), world.said()) == (before, {"Ready": ("True", "Issued")})


async def test_a_lost_key_says_how_to_replace_its_token(world):
    await world.issue()
    lose_the_key(world)
    await world.reconcile()

    assert world.message() == (
        f"Signing key {FIRST} is not in Secret tallystick-keyring of the operator. "
        "Restore the Secret from a backup (docs/backup.md). Without a backup, add or replace a slot in spec.tokens, "
        "register its token on all instances, then remove the old slot."
    )


async def test_s22_one_lost_key_of_two_keeps_both_values_and_a_new_slot_gets_its_token(world):
    first = await world.issue("blue")
    lose_the_key(world)

    world.set_slots("blue", "green")
    await world.reconcile()
    both = world.values()
    world.set_slots("green")
    await world.reconcile()

    assert both["token.blue"] == first["token.blue"]
    assert both["token"] == both["token.green"] != first["token"]
    assert "token.blue" not in world.values()
    assert world.said() == {"Ready": ("True", "Issued")}


async def test_s22_a_secret_that_can_only_be_replaced_as_a_whole_is_kept_while_a_key_is_lost(world):
    await world.issue("blue")
    lose_the_key(world)
    make_immutable(world)
    before = world.secret()

    world.set_slots("blue", "green")
    await world.reconcile()

    assert world.secret() == before
    assert world.said()["Ready"] == ("False", "SigningKeyMissing")


@pytest.mark.parametrize("lose", [delete_the_keyring, damage_the_keyring])
async def test_no_token_is_issued_without_a_keyring_and_it_is_issued_when_that_is_back(world, lose):
    lose(world)
    world.apply()

    outcome = await world.reconcile()
    said, message, secret, tokens = world.said(), world.message(), world.secret(), world.tokens()
    restore(world)
    await world.reconcile()

    assert (said["Ready"], secret, tokens) == (("False", LOSSES[lose]), None, [])
    assert message.endswith("or start over: tallystick signing-keys new-keyring.")
    assert outcome.requeue_after is None
    assert world.said() == {"Ready": ("True", "Issued")}


@pytest.mark.parametrize("lose", LOSSES)
async def test_a_revocation_goes_on_without_the_key(world, lose):
    await world.issue("blue", "green")
    lose(world)

    world.set_slots("green")
    await world.reconcile()

    assert [state for slot, _, state in world.tokens() if slot == "blue"] == ["Revoked"]
    assert world.said()["Ready"] == ("False", LOSSES[lose])


@pytest.mark.parametrize("lose", LOSSES)
async def test_a_secret_that_is_deleted_while_its_key_is_lost_comes_back_with_the_key(world, lose):
    values = await world.issue()
    lose(world)
    delete(world)
    await world.reconcile()

    restore(world)
    await world.reconcile()

    assert (world.values(), world.said()) == (values, {"Ready": ("True", "Issued")})
