"""Revocation by possession (RFC 7009): S10, what an acknowledgement means, and whom it ends."""

import pytest

from tallystick.connections.services.issuing import ConnectionIssuer
from tallystick.connections.services.token_use import SHARED
from tallystick.errors import ExchangeRefusedError, NotYetError
from tallystick.objects.ports import ConflictError, RefusedError, UnavailableError
from tallystick.objects.status_swap import MOST_TRIES
from tallystick.pairing.api.master_token import MASTER_TOKENS
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS
from tests.builders import OTHER_UID, issued_status, raw_pairing_token, used_status
from tests.fakes import NOON
from tests.worlds.connected import connected
from tests.worlds.faults import double_faults, single_faults
from tests.worlds.world import NAME, NAMESPACE, World

ONE_STATUS = [("replace_status", "pairingtokens")]


async def revoke(world, jwt):
    await world.replica().revocation.revoke(jwt, source="192.0.2.7")


async def test_s10_the_holder_of_a_pairing_token_may_end_it(world):
    jwt = await world.issue()

    await revoke(world, jwt)

    status = world.token().status
    assert (status.state, status.revoked_through, status.revoked_time) == ("Revoked", 1, NOON)
    assert (world.ready(), world.audit.decisions()[-1]) == (("True", "Revoked"), ("revoke", "ok"))
    with pytest.raises(ExchangeRefusedError):
        await world.replica().redeem(jwt)


async def test_rfc_7009_writes_status_and_never_spec(world):
    jwt = await world.issue()
    spec = world.token().spec

    await revoke(world, jwt)

    assert world.writes() == ONE_STATUS
    assert world.token().spec == spec


async def test_revoking_a_used_token_ends_the_trust_that_it_made(world):
    jwt = await world.issue()
    await world.replica().redeem(jwt)
    redemption = world.token().status.redemption

    await revoke(world, jwt)

    status = world.token().status
    assert (status.state, status.revoked_through, status.redemption) == ("Revoked", 1, redemption)


async def test_s29_a_used_pairing_token_that_leaks_after_its_expiry_is_no_kill_switch(world):
    jwt = await world.issue()
    await world.replica().redeem(jwt)
    world.clock.advance(3600)
    before = world.token()

    await revoke(world, jwt)

    assert world.token() == before
    assert world.audit.decisions()[-1] == ("revoke", "ignored")


async def test_s8_a_retained_master_token_is_revoked_in_its_own_record_before_the_answer(world):
    jwt = await world.issue(masterToken={"deletionPolicy": "Retain"})
    redeemed = await world.replica().redeem(jwt)

    await revoke(world, jwt)
    world.cluster.remove(PAIRING_TOKENS, NAMESPACE, NAME)

    (master,) = world.masters()
    assert (master.metadata.name, master.status.state) == (f"mtok-{redeemed.token_id}", "Revoked")


async def test_a_revocation_whose_tombstone_cannot_be_written_is_not_acknowledged(world):
    jwt = await world.issue(masterToken={"deletionPolicy": "Retain"})
    await world.replica().redeem(jwt)
    world.cluster.fail_next("replace_status", "mastertokens", UnavailableError("no answer"), times=MOST_TRIES)

    with pytest.raises(NotYetError):
        await revoke(world, jwt)

    assert world.token().status.state == "Used"


async def retained_and_recorded_during_the_revocation(world):
    """A redemption has consumed the token, and creates its record right before the revocation is stored."""
    jwt = await world.issue(masterToken={"deletionPolicy": "Retain"})
    await world.replica().redeem(jwt)
    (late,) = world.cluster.all(MASTER_TOKENS)
    world.cluster.remove(MASTER_TOKENS, NAMESPACE, late["metadata"]["name"])
    world.cluster.before_next("replace_status", "pairingtokens", lambda: world.cluster.put(MASTER_TOKENS, late))
    return jwt


async def test_s8_a_retained_master_token_that_is_recorded_during_its_revocation_is_revoked_before_the_answer(world):
    jwt = await retained_and_recorded_during_the_revocation(world)

    await revoke(world, jwt)

    assert [master.status.state for master in world.masters()] == ["Revoked"]


async def test_s8_what_was_left_of_a_revocation_is_done_before_it_is_answered_as_done_already(world):
    jwt = await retained_and_recorded_during_the_revocation(world)
    world.cluster.fail_next("replace_status", "mastertokens", UnavailableError("no answer"), times=MOST_TRIES)
    with pytest.raises(NotYetError):
        await revoke(world, jwt)

    await revoke(world, jwt)

    assert world.audit.decisions()[-1] == ("revoke", "already")
    assert [master.status.state for master in world.masters()] == ["Revoked"]


async def test_a_tombstone_meets_the_controllers_record_and_is_written_all_the_same(world):
    jwt = await world.issue(masterToken={"deletionPolicy": "Retain"})
    await world.replica().redeem(jwt)
    world.cluster.fail_next("replace_status", "mastertokens", ConflictError("changed"))

    await revoke(world, jwt)

    assert [master.status.state for master in world.masters()] == ["Revoked"]


async def test_a_token_that_is_not_recorded_yet_can_be_revoked(world):
    jwt = await world.issue()
    world.cluster.edit(PAIRING_TOKENS, NAMESPACE, NAME, lambda body: body.pop("status"))

    await revoke(world, jwt)
    await world.reconcile()

    assert (world.token().status.state, world.token().status.serial, world.secret()) == ("Revoked", 1, None)


async def test_a_serial_that_is_not_recorded_yet_does_not_inherit_the_facts_of_the_one_before(world):
    await world.issue()
    world.edit(serial=2)
    await world.reconcile()
    jwt = world.jwt()
    world.cluster.edit(PAIRING_TOKENS, NAMESPACE, NAME, lambda body: body.update(status=used_status()))

    await revoke(world, jwt)

    status = world.token().status
    assert (status.state, status.serial, status.revoked_through) == ("Revoked", 2, 2)
    assert (status.redemption, status.token_id) == (None, None)


async def test_s10_the_holder_of_a_master_token_may_end_it(world):
    redeemed = await world.replica().redeem(await world.issue())

    await revoke(world, redeemed.signed_jwt)

    (master,) = world.masters()
    assert (master.status.state, master.status.revoked_time, world.ready(master)) == (
        "Revoked",
        NOON,
        ("True", "Revoked"),
    )
    assert (master.spec.revoked, world.token().status.state) == (False, "Used")


async def test_revoking_twice_writes_once(world):
    jwt = await world.issue()

    await revoke(world, jwt)
    await revoke(world, jwt)

    assert world.writes() == ONE_STATUS


@pytest.mark.parametrize("change", [{"revoked": True}, {"serial": 2}])
async def test_what_is_over_by_its_spec_is_not_written_again(world, change):
    jwt = await world.issue()
    world.edit(**change)

    await revoke(world, jwt)

    assert world.writes() == []


@pytest.mark.parametrize("garbage", ["", "a.b.c", "x" * 9000])
async def test_rfc_7009_an_unknown_token_is_no_error_and_costs_no_api_call(world, garbage):
    await revoke(world, garbage)

    assert world.cluster.calls == []
    assert world.audit.decisions() == [("revoke", "ignored")]


async def test_s24_a_token_of_an_object_that_was_re_created_revokes_nothing(world):
    jwt = await world.issue()
    world.cluster.put(PAIRING_TOKENS, raw_pairing_token(uid=OTHER_UID, status=issued_status(uid=OTHER_UID)))

    await revoke(world, jwt)

    assert world.writes() == []
    assert world.token().status.state == "Active"


async def test_s24_a_token_of_a_master_token_that_was_re_created_revokes_nothing(world):
    redeemed = await world.replica().redeem(await world.issue())
    (master,) = world.cluster.all(MASTER_TOKENS)
    master["metadata"]["uid"] = OTHER_UID
    world.cluster.put(MASTER_TOKENS, master)
    world.writes()

    await revoke(world, redeemed.signed_jwt)

    assert world.writes() == []


async def test_a_token_of_an_object_that_is_gone_is_over(world):
    jwt = await world.issue()
    world.cluster.remove(PAIRING_TOKENS, NAMESPACE, NAME)

    await revoke(world, jwt)

    assert world.writes() == []


@pytest.mark.parametrize("error", [ConflictError("modified"), RefusedError("CEL"), UnavailableError("down")])
async def test_what_is_not_stored_is_not_acknowledged(world, error):
    jwt = await world.issue()
    world.cluster.fail_next("replace_status", "pairingtokens", error, times=10)

    with pytest.raises(NotYetError):
        await revoke(world, jwt)

    assert world.token().status.state == "Active"


async def test_what_cannot_be_read_is_not_acknowledged(world):
    jwt = await world.issue()
    world.cluster.fail_next("get", "pairingtokens", UnavailableError("down"))

    with pytest.raises(NotYetError):
        await revoke(world, jwt)


@pytest.mark.parametrize("plan", single_faults(6) + double_faults(4), ids=str)
async def test_an_acknowledged_revocation_is_stored_whatever_fails(plan):
    world = World()
    jwt = await world.issue()
    world.cluster.plan_from_now(plan)

    try:
        await revoke(world, jwt)
    except NotYetError:
        world.cluster.plan_from_now({})
        await revoke(world, jwt)

    assert world.token().status.state == "Revoked"


async def test_a_redemption_that_was_faster_is_revoked_with_its_master_token(world):
    jwt = await world.issue()
    world.cluster.before_next(
        "replace_status",
        "pairingtokens",
        lambda: world.cluster.edit(PAIRING_TOKENS, NAMESPACE, NAME, lambda body: body.update(status=used_status())),
    )

    await revoke(world, jwt)

    status = world.token().status
    assert (status.state, status.revoked_through, status.redemption is not None) == ("Revoked", 1, True)


async def test_an_object_that_goes_while_it_is_being_revoked_is_over(world):
    jwt = await world.issue()
    world.cluster.before_next(
        "replace_status", "pairingtokens", lambda: world.cluster.remove(PAIRING_TOKENS, NAMESPACE, NAME)
    )

    await revoke(world, jwt)

    assert world.audit.decisions()[-1] == ("revoke", "already")


async def test_an_expired_master_token_is_over(world):
    redeemed = await world.replica().redeem(await world.issue(masterToken={"ttl": "1h"}))
    world.clock.advance(3600)

    await revoke(world, redeemed.signed_jwt)

    assert "status" not in world.cluster.all(MASTER_TOKENS)[0]


async def test_s10_the_holder_of_a_connection_token_may_not_end_it(world):
    """All instances share it: any one of them could cut off the others."""
    made = connected(world.cluster, ConnectionIssuer(world.signer, world.issuer), world.clock.now())
    world.cluster.calls.clear()

    with pytest.raises(ExchangeRefusedError) as refusal:
        await revoke(world, made.jwts["default"])

    assert (refusal.value.code, refusal.value.description) == ("unsupported_token_type", SHARED)
    assert world.cluster.calls == []
    (line,) = world.audit.lines
    assert (line.action, line.outcome) == ("revoke", "refused")
    assert (line.facts["reason"], line.facts["token_id"]) == ("Shared", made.token_ids["default"])


async def test_a_forged_connection_token_is_over_already_as_whatever_is_none_of_ours(world):
    made = connected(world.cluster, ConnectionIssuer(world.signer, world.issuer), NOON)
    header, payload, _ = made.jwts["default"].split(".")

    await revoke(world, f"{header}.{payload}.{'A' * 86}")

    assert world.audit.decisions() == [("revoke", "ignored")]
