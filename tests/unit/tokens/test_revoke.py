"""Revocation by possession (RFC 7009): S10, what an acknowledgement means, and whom it ends."""

import pytest

from tallystick.connections.services.issuing import ConnectionIssuer
from tallystick.connections.services.token_use import SHARED
from tallystick.crypto.dpop import make_proof
from tallystick.crypto.keys import SigningKey
from tallystick.errors import ExchangeRefusedError, NotYetError
from tallystick.objects.ports import ConflictError, RefusedError, UnavailableError
from tallystick.pairing.api.master_token import MASTER_TOKENS
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS
from tests.builders import ISSUER, OTHER_UID, issued_status, raw_pairing_token, used_status
from tests.fakes import NOON
from tests.worlds.connected import connected
from tests.worlds.faults import double_faults, single_faults
from tests.worlds.world import NAME, NAMESPACE, World

ONE_STATUS = [("replace_status", "pairingtokens")]


async def revoke(world, jwt, proofs=()):
    await world.replica().revocation.revoke(jwt, unverified_proofs=proofs, source="192.0.2.7")


async def test_s10_the_holder_of_a_pairing_token_may_end_it(world):
    jwt = await world.issue()

    await revoke(world, jwt)

    status = world.token().status
    assert (status.state, status.revoked_through, status.revoked_time) == ("Revoked", 1, NOON)
    assert (world.ready(), world.audit.decisions()[-1]) == (("Ended", "Revoked"), ("revoke", "ok"))
    with pytest.raises(ExchangeRefusedError):
        await world.replica().redeem(jwt, None)


async def test_rfc_7009_writes_status_and_never_spec(world):
    jwt = await world.issue()
    spec = world.token().spec

    await revoke(world, jwt)

    assert world.writes() == ONE_STATUS
    assert world.token().spec == spec


@pytest.mark.parametrize("policy", ["Revoke", "Retain"])
async def test_s29_a_used_pairing_token_revokes_nothing(world, policy):
    jwt = await world.issue(masterToken={"deletionPolicy": policy})
    redeemed = await world.replica().redeem(jwt, None)
    before = (world.token(), world.masters())
    world.writes()

    await revoke(world, jwt)

    assert (world.token(), world.masters(), world.writes()) == (*before, [])
    assert (world.audit.decisions()[-1], world.events.reasons()) == (("revoke", "already"), [])
    await revoke(world, redeemed.signed_jwt)
    assert world.masters()[0].status.state == "Revoked"


@pytest.mark.parametrize("kind", ["pairing", "master"])
async def test_n_each_revocation_over_http_is_reported_in_one_event(world, kind):
    jwt = await world.issue()
    token = jwt if kind == "pairing" else (await world.replica().redeem(jwt, None)).signed_jwt

    await revoke(world, token)
    await revoke(world, token)

    assert world.events.reasons() == ["RevokedByHolder"]


KEY, URL = SigningKey.generate("ES256"), f"{ISSUER}/oauth2/revoke"


def a_proof(world, jwt, key=KEY, url=URL, method="POST"):
    return make_proof(key, method=method, url=url, now=world.clock.now(), proof_id="p", access_token=jwt)


async def a_bound_master(world):
    jwt = await world.issue()
    return (await world.replica().redeem(jwt, KEY.key_id)).signed_jwt


@pytest.mark.parametrize(
    ("proofs", "reason"),
    [
        pytest.param(lambda _, __: [], "ProofMissing", id="none"),
        pytest.param(lambda w, jwt: [a_proof(w, jwt, SigningKey.generate("ES256"))], "ProofOfOtherKey", id="other key"),
        pytest.param(lambda w, _: [a_proof(w, None)], "ProofClaims", id="for no token"),
        pytest.param(lambda w, _: [a_proof(w, "other")], "ProofAccessToken", id="for another token"),
        pytest.param(lambda w, jwt: [a_proof(w, jwt, url=f"{ISSUER}/oauth2/token")], "ProofRequest", id="other url"),
        pytest.param(lambda w, jwt: [a_proof(w, jwt, method="PUT")], "ProofRequest", id="other method"),
        pytest.param(lambda w, jwt: [a_proof(w, jwt)] * 2, "ProofRepeated", id="two"),
        pytest.param(lambda _, jwt: [jwt], "ProofHeader", id="the token itself"),
    ],
)
async def test_s10_a_key_bound_master_token_is_not_revoked_without_a_proof_of_its_key(world, proofs, reason):
    jwt = await a_bound_master(world)
    world.cluster.calls.clear()

    with pytest.raises(ExchangeRefusedError) as refusal:
        await revoke(world, jwt, proofs(world, jwt))

    assert refusal.value.code == "invalid_dpop_proof"
    assert (world.cluster.calls, world.audit.lines[-1].facts["reason"]) == ([], reason)


async def test_s10_a_key_bound_master_token_is_revoked_with_a_proof_of_its_key(world):
    jwt = await a_bound_master(world)

    await revoke(world, jwt, [a_proof(world, jwt)])

    assert [master.status.state for master in world.masters()] == ["Revoked"]


async def test_s29_a_used_pairing_token_that_leaks_after_its_expiry_is_no_kill_switch(world):
    jwt = await world.issue()
    await world.replica().redeem(jwt, None)
    world.clock.advance(3600)
    before = world.token()

    await revoke(world, jwt)

    assert world.token() == before
    assert world.audit.decisions()[-1] == ("revoke", "ignored")


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
    redeemed = await world.replica().redeem(await world.issue(), None)

    await revoke(world, redeemed.signed_jwt)

    (master,) = world.masters()
    assert (master.status.state, master.status.revoked_time, world.ready(master)) == (
        "Revoked",
        NOON,
        ("Ended", "Revoked"),
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
    redeemed = await world.replica().redeem(await world.issue(), None)
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


async def test_a_revocation_that_the_api_server_rejects_is_audited_with_its_words(world):
    jwt = await world.issue()
    world.cluster.refusing["replace_status", "pairingtokens"] = RefusedError("denied request: no")

    with pytest.raises(NotYetError):
        await revoke(world, jwt)

    line = world.audit.lines[-1]
    assert (line.action, line.outcome) == ("revoke", "refused")
    assert (line.facts["reason"], line.facts["text"]) == ("WriteRejected", "denied request: no")
    (event,) = world.events.warnings
    assert (event.kind, event.name, event.reason) == ("PairingToken", "press-1", "WriteRejected")
    assert event.message.startswith("the holder of the token requested its revocation, and it is not stored: ")


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


async def test_s29_a_redemption_that_was_faster_stays(world):
    jwt = await world.issue()
    world.cluster.before_next(
        "replace_status",
        "pairingtokens",
        lambda: world.cluster.edit(PAIRING_TOKENS, NAMESPACE, NAME, lambda body: body.update(status=used_status())),
    )

    await revoke(world, jwt)

    status = world.token().status
    assert (status.state, status.revoked_through, status.redemption is not None) == ("Used", None, True)
    assert world.audit.decisions()[-1] == ("revoke", "already")


async def test_an_object_that_goes_while_it_is_being_revoked_is_over(world):
    jwt = await world.issue()
    world.cluster.before_next(
        "replace_status", "pairingtokens", lambda: world.cluster.remove(PAIRING_TOKENS, NAMESPACE, NAME)
    )

    await revoke(world, jwt)

    assert world.audit.decisions()[-1] == ("revoke", "already")


async def test_an_expired_master_token_is_over(world):
    redeemed = await world.replica().redeem(await world.issue(masterToken={"ttl": "1h"}), None)
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
