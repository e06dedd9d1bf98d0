"""Issuing a PairingToken: two writes, never twice, never in another's name (decisions.md, costs; D11, S3, S22)."""

import pytest

from tallystick.crypto.tokens import verify
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS
from tallystick.pairing.domain.tokens import PAIRING, pairing_token_id
from tallystick.schema.builtin import SECRETS
from tests.builders import ISSUER, OTHER_UID, REQUESTER, UID, a_key, a_keyring, a_policy, issued_status, used_status
from tests.fakes import NOON
from tests.worlds.world import NAME, NAMESPACE

ISSUE = [("create", "secrets"), ("replace_status", "pairingtokens")]


async def test_issuing_costs_two_writes_and_no_read(world):
    world.apply()

    outcome = await world.reconcile()

    assert [(call.verb, call.plural) for call in world.cluster.calls] == ISSUE
    assert outcome.requeue_at == world.token().status.expiration_time
    assert outcome.requeue_after is None


async def test_an_issued_token_is_on_record(world):
    world.apply()

    await world.reconcile()

    status = world.token().status
    assert (status.state, status.serial, status.token_id) == ("Active", 1, pairing_token_id(UID, 1))
    assert (status.subject, status.key_id, status.issued_time, status.expires_in) == (
        REQUESTER,
        a_key().key_id,
        NOON,
        300,
    )
    assert (status.observed_generation, world.ready()) == (1, ("True", "Issued"))
    assert world.audit.decisions() == [("issue", "ok")]
    assert world.events.warnings == []


async def test_the_secret_holds_a_token_that_verifies(world):
    jwt = await world.issue()

    verified = verify(jwt, a_keyring(), profile=PAIRING, issuer=ISSUER, now=NOON)

    assert (verified.token_id, verified.subject, verified.reference.uid) == (pairing_token_id(UID, 1), REQUESTER, UID)


async def test_no_value_of_a_token_is_in_status_audit_or_events(world):
    jwt = await world.issue()

    reported = f"{world.token().status.to_json()} {world.audit.lines} {world.events.warnings}"

    assert jwt not in reported
    assert jwt.split(".")[2] not in reported


@pytest.mark.parametrize(
    ("status", "spec"),
    [
        pytest.param(used_status(), {}, id="Used"),
        pytest.param(issued_status(state="Expired"), {}, id="Expired"),
        pytest.param(issued_status(state="Revoked", revokedThrough=1), {"revoked": False}, id="Revoked"),
        pytest.param(issued_status(), {}, id="Active"),
    ],
)
async def test_a_raised_serial_issues_a_fresh_token_after(world, status, spec):
    world.apply(status=status, serial=2, generation=2, **spec)

    await world.reconcile()

    after = world.token().status
    assert (after.state, after.serial, after.token_id) == ("Active", 2, pairing_token_id(UID, 2))
    assert (after.redemption, after.used_time, after.revoked_time) == (None, None, None)
    assert world.writes() == ISSUE


async def test_a_raised_serial_replaces_the_secret_of_the_one_before(world):
    old = await world.issue()
    world.clock.advance(100)

    world.edit(serial=2)
    await world.reconcile()

    assert world.jwt() != old
    assert (world.token().status.serial, world.token().status.issued_time) == (2, world.clock.now())
    assert len(world.cluster.all(SECRETS)) == 1


async def test_s22_a_token_of_ours_that_is_another_objects_is_not_adopted(world):
    other = type(world)(keys=world.keys)
    await other.issue(uid=OTHER_UID)
    copied = other.secret()
    copied["metadata"]["ownerReferences"][0]["uid"] = UID
    world.apply()
    world.cluster.put(SECRETS, copied)
    world.clock.advance(100)

    await world.reconcile()

    assert world.token().status.issued_time == world.clock.now()
    assert verify(world.jwt(), a_keyring(), profile=PAIRING, issuer=ISSUER, now=world.clock.now()).reference.uid == UID


async def test_revocations_of_earlier_serials_stay_on_record(world):
    world.apply(status=issued_status(state="Revoked", revokedThrough=1), serial=2, generation=2)

    await world.reconcile()

    assert world.token().status.revoked_through == 1


async def test_d11_a_lost_status_write_adopts_the_very_token_after_a_restart(world):
    world.apply()
    world.cluster.put(SECRETS, await issued_elsewhere(world))
    jwt = world.jwt()

    world.clock.advance(20)
    world.restart()
    await world.reconcile()

    status = world.token().status
    assert world.jwt() == jwt
    assert (status.state, status.issued_time) == ("Active", NOON)
    assert world.writes() == [("create", "secrets"), ("replace_status", "pairingtokens")]


async def issued_elsewhere(world):
    """The Secret that a controller has created before it crashed."""
    other = type(world)(keys=world.keys)
    await other.issue()
    return other.secret()


@pytest.mark.parametrize("damage", ["token", "token-id", "all"])
async def test_s22_what_was_damaged_between_secret_and_status_is_replaced(world, damage):
    world.apply()
    issued = await issued_elsewhere(world)
    issued["data"] = {} if damage == "all" else issued["data"] | {damage: "Zm9yZ2Vk"}
    world.cluster.put(SECRETS, issued)

    world.restart()
    await world.reconcile()
    world.cluster.calls.clear()
    await world.reconcile()

    verified = verify(world.jwt(), a_keyring(), profile=PAIRING, issuer=ISSUER, now=NOON)
    assert verified.token_id == world.token().status.token_id == pairing_token_id(UID, 1)
    assert world.cluster.calls == []


async def test_an_unfinished_token_that_has_expired_meanwhile_is_not_issued_again(world):
    world.apply()
    world.cluster.put(SECRETS, await issued_elsewhere(world))

    world.clock.advance(301)
    await world.reconcile()

    assert world.token().status.state == "Expired"
    assert world.secret() is None


async def test_an_object_that_is_gone_costs_nothing(world):
    world.apply()
    world.cluster.remove(PAIRING_TOKENS, NAMESPACE, NAME)
    await world.reconcile()

    assert world.cluster.calls == []


async def test_s3_changed_settings_leave_an_issued_token_alone_and_say_that_it_cannot_be_redeemed(world):
    jwt = await world.issue()

    world.policy = a_policy(table={"useCases": {"other": {"scope": ["x"]}}})
    world.restart()
    await world.reconcile()
    outcome = await world.reconcile()

    assert world.writes() == [("replace_status", "pairingtokens")]
    assert (world.jwt(), world.ready()) == (jwt, ("False", "UnknownUseCase"))
    assert outcome.requeue_at == world.token().status.expiration_time


async def test_s3_an_edit_after_the_settings_changed_is_still_observed(world):
    await world.issue()
    world.policy = a_policy(table={"useCases": {"other": {"scope": ["x"]}}})
    world.restart()

    world.edit(description="the press in hall 3")
    await world.reconcile()

    assert world.token().status.observed_generation == 2
