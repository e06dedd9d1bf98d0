"""Issuing a PairingToken: two writes, never twice, never in another's name (decisions.md, costs; D11, S3, S4, S22)."""

from datetime import timedelta

import pytest

from tallystick.api.core import SECRETS
from tallystick.api.pairing_token import PAIRING_TOKENS
from tallystick.crypto.tokens import verify
from tallystick.domain.names import pairing_token_id
from tallystick.services.ports import UnavailableError
from tests.builders import ISSUER, OTHER_UID, REQUESTER, UID, a_key, a_keyring, a_policy, issued_status, used_status
from tests.fakes import NOON
from tests.unit.services.world import NAME, NAMESPACE, SECRET

ISSUE = [("create", "secrets"), ("replace_status", "pairingtokens")]
ONE_STATUS = [("replace_status", "pairingtokens")]


async def test_issuing_costs_two_writes_and_no_read(world):
    world.apply()

    outcome = await world.reconcile()

    assert [(call.verb, call.plural) for call in world.cluster.calls] == ISSUE
    assert outcome.wake_at == world.token().status.expiration_time
    assert outcome.retry_after is None


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

    verified = verify(jwt, a_keyring(), typ="pairing+jwt", issuer=ISSUER, now=NOON)

    assert (verified.token_id, verified.subject, verified.reference.uid) == (pairing_token_id(UID, 1), REQUESTER, UID)


async def test_no_value_of_a_token_is_in_status_audit_or_events(world):
    jwt = await world.issue()

    told = f"{world.token().status.to_json()} {world.audit.lines} {world.events.warnings}"

    assert jwt not in told
    assert jwt.split(".")[2] not in told


async def test_looking_again_writes_nothing_and_asks_nothing(world):
    await world.issue()

    await world.reconcile()

    assert world.cluster.calls == []


async def test_d11_a_restart_writes_nothing_and_asks_nothing(world):
    await world.issue()
    world.clock.advance(60)

    world.restart()
    await world.reconcile()

    assert world.cluster.calls == []


async def test_a_no_op_edit_writes_nothing(world):
    await world.issue()

    world.cluster.edit(PAIRING_TOKENS, NAMESPACE, NAME, lambda body: body["metadata"].update(labels={"team": "a"}))
    await world.reconcile()

    assert world.writes() == []


async def test_an_edit_that_raises_the_generation_costs_one_status_write(world):
    jwt = await world.issue()

    world.edit(description="the press in hall 3")
    await world.reconcile()
    await world.reconcile()

    assert world.writes() == ONE_STATUS
    assert world.token().status.observed_generation == 2
    assert world.jwt() == jwt


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
    assert (after.claim, after.used_time, after.revoked_time) == (None, None, None)
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
    assert (
        verify(world.jwt(), a_keyring(), typ="pairing+jwt", issuer=ISSUER, now=world.clock.now()).reference.uid == UID
    )


async def test_revocations_of_earlier_serials_stay_on_record(world):
    world.apply(status=issued_status(state="Revoked", revokedThrough=1), serial=2, generation=2)

    await world.reconcile()

    assert world.token().status.revoked_through == 1


async def test_d11_a_lost_status_write_adopts_the_very_token_after_a_restart(world):
    world.apply()
    world.cluster.put(SECRETS, await minted_elsewhere(world))
    jwt = world.jwt()

    world.clock.advance(20)
    world.restart()
    await world.reconcile()

    status = world.token().status
    assert world.jwt() == jwt
    assert (status.state, status.issued_time) == ("Active", NOON)
    assert world.writes() == [("create", "secrets"), ("replace_status", "pairingtokens")]


async def minted_elsewhere(world):
    """The Secret that a controller has created before it crashed."""
    other = type(world)(keys=world.keys)
    await other.issue()
    return other.secret()


@pytest.mark.parametrize("damage", ["token", "token-id", "all"])
async def test_s22_what_was_damaged_between_secret_and_status_is_replaced(world, damage):
    world.apply()
    minted = await minted_elsewhere(world)
    minted["data"] = {} if damage == "all" else minted["data"] | {damage: "Zm9yZ2Vk"}
    world.cluster.put(SECRETS, minted)

    world.restart()
    await world.reconcile()
    world.cluster.calls.clear()
    await world.reconcile()

    verified = verify(world.jwt(), a_keyring(), typ="pairing+jwt", issuer=ISSUER, now=NOON)
    assert verified.token_id == world.token().status.token_id == pairing_token_id(UID, 1)
    assert world.cluster.calls == []


async def test_an_unfinished_token_that_has_expired_meanwhile_is_not_minted_again(world):
    world.apply()
    world.cluster.put(SECRETS, await minted_elsewhere(world))

    world.clock.advance(301)
    await world.reconcile()

    assert world.token().status.state == "Expired"
    assert world.secret() is None


@pytest.mark.parametrize(
    "owners",
    [
        pytest.param([], id="nobody's"),
        pytest.param([{"kind": "PairingToken", "uid": OTHER_UID, "controller": True, "name": NAME}], id="another's"),
        pytest.param([{"kind": "PairingToken", "uid": UID, "name": NAME}], id="ours only by a weak reference"),
    ],
)
@pytest.mark.parametrize("labelled", [True, False])
async def test_s22_a_foreign_secret_is_never_touched(world, owners, labelled):
    foreign = {
        "metadata": {
            "name": SECRET,
            "namespace": NAMESPACE,
            "labels": {"tallystick.dev/kind": "PairingToken"} if labelled else {},
            "ownerReferences": owners,
        },
        "data": {"token": "bWluZQ=="},
    }
    before = world.cluster.put(SECRETS, foreign)
    world.apply()

    first = await world.reconcile()
    again = await world.reconcile()

    assert world.secret() == before
    assert (world.token().status.state, world.ready(), world.is_stalled()) == (
        "Pending",
        ("False", "SecretConflict"),
        True,
    )
    assert world.events.reasons() == ["SecretConflict"]
    assert first.retry_after == again.retry_after == 10.0
    assert [write for write in world.writes() if write[0] != "create"] == ONE_STATUS


async def test_a_secret_conflict_ends_when_the_foreign_secret_is_gone(world):
    world.cluster.put(SECRETS, {"metadata": {"name": SECRET, "namespace": NAMESPACE}})
    world.apply()
    await world.reconcile()

    world.cluster.remove(SECRETS, NAMESPACE, SECRET)
    await world.reconcile()

    assert (world.token().status.state, world.ready(), world.is_stalled()) == ("Active", ("True", "Issued"), False)


@pytest.mark.parametrize(
    "status",
    [
        pytest.param(used_status(), id="Used"),
        pytest.param(issued_status(), id="Active"),
        pytest.param(issued_status(state="Expired"), id="Expired"),
    ],
)
async def test_a_conflict_at_a_raised_serial_does_not_wake_for_the_expiry_of_the_one_before(world, status):
    world.cluster.put(SECRETS, {"metadata": {"name": SECRET, "namespace": NAMESPACE}})
    world.apply(status=status, serial=2, generation=2)
    world.clock.advance(600)

    outcome = await world.reconcile()

    assert (outcome.wake_at, outcome.retry_after) == (None, 10.0)


async def test_s4_nothing_is_minted_while_the_requester_is_not_protected(world):
    world.guard.protected = False
    world.apply()

    outcome = await world.reconcile()
    await world.reconcile()

    assert world.writes() == ONE_STATUS
    assert (world.token().status.state, world.ready()) == ("Pending", ("False", "RequesterPolicyMissing"))
    assert (world.secret(), outcome.retry_after) == (None, 5.0)


async def test_s4_while_the_probe_is_not_answered_nothing_is_minted_and_nothing_written(world):
    world.cluster.fail_next("create", "pairingtokens", UnavailableError("down"))
    await world.guard.probe()
    world.apply()
    world.cluster.calls.clear()

    outcome = await world.reconcile()

    assert (world.writes(), world.secret(), outcome.retry_after) == ([], None, 5.0)


async def test_s4_what_waited_is_issued_once_the_requester_is_protected(world):
    world.guard.protected = False
    world.apply()
    await world.reconcile()

    world.guard.protected = True
    await world.reconcile()

    assert (world.token().status.state, world.ready()) == ("Active", ("True", "Issued"))


async def test_s4_an_object_without_a_requester_is_not_issued(world):
    world.apply(requestedBy=None)

    await world.reconcile()

    assert (world.ready(), world.secret()) == (("False", "RequesterMissing"), None)


async def test_r82_an_unknown_use_case_is_told_once_and_costs_one_write(world):
    world.apply(useCase="mission-contrl")

    await world.reconcile()
    await world.reconcile()

    assert world.writes() == ONE_STATUS
    assert (world.token().status.state, world.ready(), world.is_stalled()) == (
        "Pending",
        ("False", "UnknownUseCase"),
        True,
    )
    assert world.events.reasons() == ["UnknownUseCase"]
    assert world.audit.decisions() == [("refuse", "stalled")]


async def test_an_unknown_use_case_is_put_right_by_the_edit_that_raises_the_serial(world):
    world.apply(useCase="mission-contrl")
    await world.reconcile()

    world.edit(useCase="mission-control", serial=2)
    await world.reconcile()

    assert (world.token().status.serial, world.ready(), world.is_stalled()) == (2, ("True", "Issued"), False)


async def test_the_secret_of_the_serial_before_a_refused_one_does_not_lie_about(world):
    await world.issue()

    world.edit(useCase="mission-contrl", serial=2)
    await world.reconcile()

    assert (world.secret(), world.token().status.state) == (None, "Pending")


async def test_s12_a_foreign_url_is_not_issued(world):
    world.apply(baseURL="https://evil.example.org")

    await world.reconcile()

    assert (world.ready(), world.secret()) == (("False", "ForeignURL"), None)


async def test_an_object_that_is_gone_or_going_costs_nothing(world):
    world.apply(deleting=True)
    await world.reconcile()

    world.cluster.remove(PAIRING_TOKENS, NAMESPACE, NAME)
    await world.reconcile()

    assert world.cluster.calls == []


async def test_s3_changed_settings_leave_an_issued_token_alone(world):
    jwt = await world.issue()

    world.policy = a_policy(table={"useCases": {"other": {"scope": ["x"]}}})
    world.restart()
    outcome = await world.reconcile()

    assert world.writes() == []
    assert (world.jwt(), world.ready()) == (jwt, ("True", "Issued"))
    assert outcome.wake_at == world.token().status.expiration_time


async def test_s3_an_edit_after_the_settings_changed_is_still_observed(world):
    await world.issue()
    world.policy = a_policy(table={"useCases": {"other": {"scope": ["x"]}}})
    world.restart()

    world.edit(description="the press in hall 3")
    await world.reconcile()

    assert world.token().status.observed_generation == 2


async def test_nothing_is_minted_while_the_clock_is_too_far_from_the_api_servers(world):
    world.server_clock.observe(NOON + timedelta(seconds=31))
    world.apply()

    outcome = await world.reconcile()
    waiting = (world.secret(), world.ready(), outcome.retry_after)
    world.server_clock.observe(NOON + timedelta(seconds=30))
    await world.reconcile()

    assert waiting == (None, ("False", "ClockUnsafe"), 30)
    assert world.token().status.state == "Active"
