"""Signing keys are lost: no token is issued, no value is removed, and each object says what is missing (S22)."""

import pytest

from tallystick.schema.builtin import SECRETS
from tests.builders import a_key
from tests.worlds.lost_keys import FIRST, LOSSES, damage_the_keyring, delete_the_keyring, lose_the_key, restore
from tests.worlds.world import NAME, NAMESPACE, SECRET

HOW = "Restore it from a backup (docs/backup.md), or start over: tallystick signing-keys new-keyring."


SAYS = {
    delete_the_keyring: f"Secret op/tallystick-keyring with the signing keys does not exist. {HOW} "
    f"The tokens of this object need signing key {FIRST}.",
    damage_the_keyring: "Secret op/tallystick-keyring holds no usable signing keys: the keyring has no usable issuer. "
    f"{HOW} The tokens of this object need signing key {FIRST}.",
    lose_the_key: f"Signing key {FIRST} is not in Secret tallystick-keyring of the operator. "
    "Restore the Secret from a backup (docs/backup.md). Without a backup, {renew}.",
}


@pytest.mark.parametrize("lose", LOSSES)
async def test_s22_an_active_token_keeps_its_secret_and_says_what_is_missing_until_it_is_restored(world, lose):
    await world.issue()
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
    assert message == SAYS[lose].format(renew="raise spec.serial to 2")
    assert world.events.reasons() == [LOSSES[lose]]
    assert (world.secret(), world.said()) == (before, {"Ready": ("True", "Issued")})


@pytest.mark.parametrize("lose", LOSSES)
async def test_a_lost_key_costs_one_write_and_no_request_again(world, lose):
    await world.issue()
    lose(world)
    world.restart()
    await world.reconcile()
    first = world.writes()

    outcome = await world.reconcile()

    assert first == [("replace_status", "pairingtokens")]
    assert world.cluster.calls == []
    assert (outcome.requeue_after, outcome.requeue_at) == (None, world.token().status.expiration_time)


@pytest.mark.parametrize("lose", LOSSES)
async def test_expiry_and_revocation_go_on_without_the_key(world, lose):
    await world.issue()
    lose(world)
    world.restart()
    await world.reconcile()

    world.edit(revoked=True)
    await world.reconcile()

    assert (world.token().status.state, world.secret()) == ("Revoked", None)
    assert world.said() == {"Ended": ("True", "Revoked")}


@pytest.mark.parametrize("lose", [delete_the_keyring, damage_the_keyring])
async def test_no_token_is_issued_without_a_keyring_and_it_is_issued_when_that_is_back(world, lose):
    lose(world)
    world.apply()

    await world.reconcile()
    said, message, secret = world.said(), world.message(), world.secret()
    state = world.token().status.state
    restore(world)
    await world.reconcile()

    assert (state, secret) == ("Pending", None)
    assert said["Ready"] == ("False", LOSSES[lose])
    assert message.endswith(HOW)
    assert world.said() == {"Ready": ("True", "Issued")}


@pytest.mark.parametrize("lose", [delete_the_keyring, damage_the_keyring])
async def test_s22_a_raised_serial_removes_no_secret_before_its_token_can_be_signed(world, lose):
    await world.issue()
    before = world.secret()
    lose(world)

    world.edit(serial=2)
    await world.reconcile()

    assert world.secret() == before


async def test_without_a_backup_a_higher_serial_gets_a_token_of_a_key_that_is_there(world):
    old = await world.issue()
    lose_the_key(world)
    world.restart()
    await world.reconcile()

    world.edit(serial=2)
    await world.reconcile()

    assert world.jwt() != old
    assert (world.token().status.key_id, world.said()) == (a_key("second").key_id, {"Ready": ("True", "Issued")})


@pytest.mark.parametrize("lose", LOSSES)
async def test_a_secret_that_is_deleted_while_its_key_is_lost_comes_back_with_the_key(world, lose):
    jwt = await world.issue()
    lose(world)
    world.cluster.remove(SECRETS, NAMESPACE, SECRET)
    await world.reconcile()
    gone = world.secret()

    restore(world)
    await world.reconcile()

    assert (gone, world.jwt(), world.said()) == (None, jwt, {"Ready": ("True", "Issued")})


@pytest.mark.parametrize("lose", LOSSES)
async def test_a_master_token_says_that_its_key_is_lost_until_it_is_restored(world, lose):
    await world.replica().redeem(await world.issue())
    await world.reconcile_master()
    lose(world)

    await world.reconcile_master()
    await world.reconcile_master()
    (lost,) = world.masters()
    restore(world)
    await world.reconcile_master()
    (back,) = world.masters()

    message = next(one.message for one in lost.status.conditions if one.type == "Ready")
    assert (lost.status.state, world.ready(lost)) == ("Active", ("False", LOSSES[lose]))
    assert message == SAYS[lose].format(renew=f"raise spec.serial of PairingToken {NAME} to pair again")
    assert world.events.reasons() == [LOSSES[lose]]
    assert world.ready(back) == ("True", "Active")


@pytest.mark.parametrize("lose", LOSSES)
async def test_a_used_token_says_so_while_its_master_token_cannot_be_verified(world, lose):
    await world.replica().redeem(await world.issue())
    await world.reconcile()
    lose(world)

    outcome = await world.reconcile()
    said = world.said()["Ready"]
    world.clock.advance(300)
    await world.reconcile()

    assert (said, outcome.requeue_at) == (("False", LOSSES[lose]), world.token().status.expiration_time)
    assert world.said()["Ready"] == ("False", LOSSES[lose])


@pytest.mark.parametrize("lose", LOSSES)
async def test_the_deletion_of_a_token_is_recorded_without_the_key(world, lose):
    await world.issue()
    world.start_deleting()
    lose(world)

    await world.reconcile()

    assert (world.token().status.state, world.ready(), world.secret()) == ("Revoked", ("False", "Deleted"), None)


@pytest.mark.parametrize("lose", LOSSES)
async def test_q_a_used_token_does_not_report_a_trust_whose_key_is_lost(world, lose):
    await world.replica().redeem(await world.issue())
    world.clock.advance(3600)
    lose(world)
    world.restart()

    outcome = await world.reconcile()
    said = world.ready()
    restore(world)
    world.restart()
    await world.reconcile()

    assert (said, outcome.requeue_at) == (("False", LOSSES[lose]), None)
    assert world.ready() == ("True", "Paired")
