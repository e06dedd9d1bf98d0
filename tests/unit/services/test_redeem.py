"""Redeeming a pairing token: design.md steps 1 to 5, S1, S7, S11, S14, S24, S29, R84, R85, R91-R93."""

from datetime import timedelta

import pytest

from tallystick.api.master_token import MASTER_TOKENS
from tallystick.api.pairing_token import PAIRING_TOKENS
from tallystick.crypto.tokens import verify
from tallystick.domain.errors import ExchangeRefusedError, NotYetError
from tallystick.domain.names import pairing_token_id
from tallystick.domain.targets import Wish
from tallystick.services.ports import ConflictError, RefusedError, UnavailableError
from tests.builders import (
    ISSUER,
    OTHER_THUMBPRINT,
    OTHER_UID,
    REQUESTER,
    THUMBPRINT,
    UID,
    a_claim,
    a_keyring,
    a_policy,
    issued_status,
    raw_master_token,
    raw_pairing_token,
)
from tests.fakes import NOON
from tests.unit.services.faults import Fault
from tests.unit.services.world import NAME, NAMESPACE

TOKEN_ID = pairing_token_id(UID, 1)
USED = f"pairing token {TOKEN_ID} has already been used"
REVOKED = f"pairing token {TOKEN_ID} has been revoked"
EXPIRED = f"pairing token {TOKEN_ID} expired at 2030-01-01T12:05:00Z"
NOT_VALID = "subject_token is not a valid pairing token"
LOST = UnavailableError("the API server did not answer")


async def refused(redeeming):
    with pytest.raises(ExchangeRefusedError) as refusal:
        await redeeming
    return refusal.value.code, refusal.value.description


async def test_a_pairing_token_is_exchanged_for_a_master_token(world):
    jwt = await world.issue()

    redeemed = await world.replica().redeem(jwt)

    verified = verify(redeemed.signed_jwt, a_keyring(), typ="at+jwt", issuer=ISSUER, now=NOON)
    (master,) = world.masters()
    assert (redeemed.scope, redeemed.expires_in, redeemed.key_bound) == (("mission-control:admin",), 31_536_000, True)
    assert verified.token_id == redeemed.token_id == master.spec.token_id
    assert verified.reference.uid == master.metadata.uid
    assert verified.key_thumbprint == THUMBPRINT
    assert verified.expiration_time == NOON + timedelta(days=365)


async def test_redeeming_costs_the_swap_and_the_master_token(world):
    jwt = await world.issue()

    await world.replica().redeem(jwt)

    assert [(call.verb, call.plural) for call in world.cluster.calls] == [
        ("get", "pairingtokens"),
        ("replace_status", "pairingtokens"),
        ("create", "mastertokens"),
        ("get", "pairingtokens"),
        ("get", "mastertokens"),
    ]


async def test_one_write_spends_the_token_and_says_who_redeemed_it(world):
    jwt = await world.issue()

    redeemed = await world.replica().redeem(jwt, wish=Wish(client_id="https://mc.example.net"))

    status = world.token().status
    assert (status.state, status.used_time, world.ready()) == ("Used", NOON, ("True", "Paired"))
    assert (status.claim.client_key_thumbprint, status.claim.client_id) == (THUMBPRINT, "https://mc.example.net")
    assert status.claim.master_token_id == redeemed.token_id


async def test_s11_the_subject_is_that_of_the_pairing_token_whatever_the_client_calls_itself(world):
    jwt = await world.issue()

    redeemed = await world.replica().redeem(jwt, wish=Wish(client_id="system:admin"))

    assert verify(redeemed.signed_jwt, a_keyring(), typ="at+jwt", issuer=ISSUER, now=NOON).subject == REQUESTER


async def test_the_value_of_the_master_token_is_stored_and_told_nowhere(world):
    jwt = await world.issue()

    redeemed = await world.replica().redeem(jwt)

    stored = f"{world.cluster.all(PAIRING_TOKENS)} {world.cluster.all(MASTER_TOKENS)} {world.audit.lines}"
    assert redeemed.signed_jwt not in stored
    assert jwt not in stored


async def test_i12_the_decision_is_in_the_audit_log(world):
    jwt = await world.issue()

    redeemed = await world.replica().redeem(jwt)

    line = world.audit.lines[-1]
    assert (line.action, line.outcome) == ("redeem", "ok")
    assert (line.facts["uid"], line.facts["key_thumbprint"], line.facts["master_token_id"]) == (
        UID,
        THUMBPRINT,
        redeemed.token_id,
    )


@pytest.mark.parametrize(("policy", "owned"), [("Revoke", True), ("Retain", False)])
async def test_s8_only_a_retained_master_token_has_no_owner(world, policy, owned):
    jwt = await world.issue(masterToken={"deletionPolicy": policy})

    await world.replica().redeem(jwt)

    (master,) = world.cluster.all(MASTER_TOKENS)
    owners = [owner["uid"] for owner in master["metadata"]["ownerReferences"]]
    assert owners == ([UID] if owned else [])
    assert master["spec"]["deletionPolicy"] == policy


@pytest.mark.parametrize(
    "forged",
    [
        pytest.param("", id="nothing"),
        pytest.param("a.b.c", id="garbage"),
        pytest.param("x" * 9000, id="a long text"),
    ],
)
async def test_a_forged_token_costs_no_api_call(world, forged):
    assert await refused(world.replica().redeem(forged)) == ("invalid_request", NOT_VALID)
    assert world.cluster.calls == []
    assert world.audit.decisions() == [("redeem", "refused")]


async def test_a_token_with_a_changed_signature_costs_no_api_call(world):
    head, payload, signature = (await world.issue()).split(".")
    flipped = ("B" if signature[0] == "A" else "A") + signature[1:]

    assert await refused(world.replica().redeem(f"{head}.{payload}.{flipped}")) == ("invalid_request", NOT_VALID)
    assert world.cluster.calls == []


async def test_a_master_token_is_no_pairing_token(world):
    redeemed = await world.replica().redeem(await world.issue())

    assert await refused(world.replica().redeem(redeemed.signed_jwt)) == ("invalid_request", NOT_VALID)


async def test_r84_a_second_use_is_refused_and_rings_the_bell(world):
    jwt = await world.issue()
    await world.replica().redeem(jwt, None)

    assert await refused(world.replica().redeem(jwt, None)) == ("invalid_request", USED)
    assert world.events.reasons() == ["ReplayDetected"]
    assert len(world.masters()) == 1


async def test_s14_the_same_key_gets_the_very_same_token_again(world):
    jwt = await world.issue()
    first = await world.replica().redeem(jwt)
    world.clock.advance(90)

    again = await world.replica().redeem(jwt)

    assert again.signed_jwt == first.signed_jwt
    assert again.expires_in == first.expires_in - 90
    assert world.events.reasons() == []
    assert len(world.masters()) == 1


@pytest.mark.parametrize("key", [OTHER_THUMBPRINT, None])
async def test_s29_another_key_is_refused_and_cuts_nothing(world, key):
    jwt = await world.issue()
    first = await world.replica().redeem(jwt)
    before = world.token().status
    world.cluster.calls.clear()

    assert await refused(world.replica().redeem(jwt, key)) == ("invalid_request", USED)
    assert world.events.reasons() == ["ReplayDetected"]
    assert (world.token().status, world.writes()) == (before, [])
    assert (await world.replica().redeem(jwt)).signed_jwt == first.signed_jwt


async def test_r85_at_exp_it_is_refused(world):
    jwt = await world.issue()
    world.clock.advance(300)

    assert await refused(world.replica().redeem(jwt)) == ("invalid_request", EXPIRED)
    assert world.cluster.calls == []


async def test_the_same_key_may_not_ask_again_after_exp(world):
    jwt = await world.issue()
    await world.replica().redeem(jwt)
    world.clock.advance(300)

    assert await refused(world.replica().redeem(jwt)) == ("invalid_request", EXPIRED)


def revoked_in_spec(world):
    world.edit(revoked=True)


def revoked_in_status(world):
    world.cluster.edit(PAIRING_TOKENS, NAMESPACE, NAME, lambda body: body["status"].update(state="Revoked"))


def going(world):
    world.start_deleting()


def at_a_higher_serial(world):
    world.edit(serial=2)


@pytest.mark.parametrize("change", [revoked_in_spec, revoked_in_status, going, at_a_higher_serial])
async def test_s7_the_controller_stopped_it_is_refused_when_the_object_is(world, change):
    jwt = await world.issue()

    change(world)

    assert await refused(world.replica().redeem(jwt)) == ("invalid_request", REVOKED)
    assert world.writes() == []


async def test_a_token_of_an_object_that_is_gone_is_not_valid(world):
    jwt = await world.issue()

    world.cluster.remove(PAIRING_TOKENS, NAMESPACE, NAME)

    assert await refused(world.replica().redeem(jwt)) == ("invalid_request", NOT_VALID)


async def test_s24_a_token_of_an_object_that_was_re_created_is_not_valid(world):
    jwt = await world.issue()

    world.cluster.put(PAIRING_TOKENS, raw_pairing_token(uid=OTHER_UID, status=issued_status(uid=OTHER_UID)))

    assert await refused(world.replica().redeem(jwt)) == ("invalid_request", NOT_VALID)


async def test_a_holder_who_is_faster_than_the_record_is_asked_to_wait(world):
    jwt = await world.issue()
    world.cluster.edit(PAIRING_TOKENS, NAMESPACE, NAME, lambda body: body.pop("status"))

    with pytest.raises(NotYetError) as later:
        await world.replica().redeem(jwt)

    assert (later.value.reason, later.value.retry_after) == ("temporarily_unavailable", 1)


async def test_a_use_case_that_was_removed_is_no_longer_offered(world):
    jwt = await world.issue()
    world.policy = a_policy(table={"useCases": {"other": {"scope": ["x"]}}})

    assert await refused(world.replica().redeem(jwt)) == (
        "invalid_target",
        "use case mission-control is no longer offered by this service",
    )
    assert world.writes() == []


async def test_r92_a_wider_scope_spends_nothing(world):
    jwt = await world.issue()

    assert await refused(world.replica().redeem(jwt, wish=Wish(scope=("cluster:root",)))) == (
        "invalid_scope",
        'scope "cluster:root" is not part of use case mission-control',
    )
    assert (world.writes(), world.token().status.state) == ([], "Active")


async def test_a_narrower_scope_is_what_the_master_token_gets(world):
    world.policy = a_policy(table={"useCases": {"mission-control": {"scope": ["mc:read", "mc:write"]}}})
    jwt = await world.issue()

    redeemed = await world.replica().redeem(jwt, wish=Wish(scope=("mc:read",)))

    assert redeemed.scope == ("mc:read",)
    assert world.masters()[0].spec.scope == ["mc:read"]


@pytest.mark.parametrize(("offset", "safe"), [(30, True), (31, False), (-31, False), (3600, False)])
async def test_a_replica_whose_clock_is_off_does_not_judge(world, offset, safe):
    jwt = await world.issue(ttl="2h")
    replica = world.replica()
    world.clock.advance(600)
    replica.server_clock.observe(world.clock.now() - timedelta(seconds=offset))

    if safe:
        assert (await replica.redeem(jwt)).key_bound
        return
    with pytest.raises(NotYetError) as later:
        await replica.redeem(jwt)
    assert later.value.reason == "clock_unsafe"
    assert world.writes() == []


async def test_a_replica_without_keys_says_so(world):
    jwt = await world.issue()
    world.keys.held = None

    with pytest.raises(NotYetError):
        await world.replica().redeem(jwt)

    assert world.cluster.calls == []


@pytest.mark.parametrize("applied", [True, False])
@pytest.mark.parametrize("key", [THUMBPRINT, None])
async def test_a_lost_answer_of_the_swap_is_found_out_by_reading(world, applied, key):
    jwt = await world.issue()
    world.cluster.fail_next("replace_status", "pairingtokens", LOST, applied=applied)

    redeemed = await world.replica().redeem(jwt, key)

    assert [master.spec.token_id for master in world.masters()] == [redeemed.token_id]
    assert world.token().status.claim.master_token_id == redeemed.token_id


@pytest.mark.parametrize("applied", [True, False])
async def test_a_lost_answer_of_the_create_is_found_out_by_creating_again(world, applied):
    jwt = await world.issue()
    world.cluster.fail_next("create", "mastertokens", LOST, applied=applied)

    redeemed = await world.replica().redeem(jwt, None)

    assert [master.spec.token_id for master in world.masters()] == [redeemed.token_id]


async def test_a_swap_that_lands_late_is_our_own_and_not_another(world):
    jwt = await world.issue()
    world.cluster.plan_from_now({2: Fault.LATE})

    redeemed = await world.replica().redeem(jwt, None)

    assert [master.spec.token_id for master in world.masters()] == [redeemed.token_id]
    assert world.token().status.claim.master_token_id == redeemed.token_id


def set_status(world, status):
    world.cluster.edit(PAIRING_TOKENS, NAMESPACE, NAME, lambda body: body.update(status=status))


@pytest.mark.parametrize(("key", "resumes"), [(THUMBPRINT, True), (OTHER_THUMBPRINT, False), (None, False)])
async def test_when_another_replica_wins_the_swap_only_the_same_key_gets_its_token(world, key, resumes):
    jwt = await world.issue()
    winner = await world.replica().redeem(jwt)
    spent = world.cluster.peek(PAIRING_TOKENS, NAMESPACE, NAME)["status"]
    set_status(world, issued_status())
    world.cluster.before_next("replace_status", "pairingtokens", lambda: set_status(world, spent))

    redeeming = world.replica().redeem(jwt, key)

    if resumes:
        assert (await redeeming).signed_jwt == winner.signed_jwt
    else:
        assert await refused(redeeming) == ("invalid_request", USED)
    assert len(world.masters()) == 1


async def test_s1_a_forged_master_token_in_our_place_is_never_signed(world):
    jwt = await world.issue()

    def forge():
        claim = world.token().status.claim
        forged = {"metadata": {"name": f"mtok-{claim.master_token_id}", "namespace": NAMESPACE}}
        world.cluster.put(MASTER_TOKENS, forged | {"spec": forged_spec(world)})

    world.cluster.before_next("create", "mastertokens", forge)

    assert await refused(world.replica().redeem(jwt)) == ("invalid_request", NOT_VALID)
    assert world.events.reasons() == ["MasterTokenConflict"]


def forged_spec(world):
    """What the claim yields, but for the subject."""
    claim = world.token().status.claim
    return raw_master_token(
        claimID=claim.claim_id, tokenID=claim.master_token_id, kid=claim.key_id, subject="system:admin"
    )["spec"]


def pairing_revoked_in_spec(world):
    world.edit(revoked=True)


def pairing_revoked_by_a_holder(world):
    changes = {"state": "Revoked", "revokedThrough": 1}
    world.cluster.edit(PAIRING_TOKENS, NAMESPACE, NAME, lambda body: body["status"].update(changes))


def pairing_going(world):
    world.start_deleting()


def pairing_gone(world):
    world.cluster.remove(PAIRING_TOKENS, NAMESPACE, NAME)


def pairing_re_created(world):
    world.cluster.put(PAIRING_TOKENS, raw_pairing_token(uid=OTHER_UID, status=issued_status(uid=OTHER_UID)))


def pairing_redeemed_anew(world):
    spent = {"state": "Used", "serial": 2, "claim": a_claim()}
    world.edit(serial=2)
    world.cluster.edit(PAIRING_TOKENS, NAMESPACE, NAME, lambda body: body["status"].update(spent))


def master_revoked_in_spec(world):
    world.edit(MASTER_TOKENS, world.masters()[0].metadata.name, revoked=True)


def master_revoked_by_a_holder(world):
    name = world.masters()[0].metadata.name
    world.cluster.edit(MASTER_TOKENS, NAMESPACE, name, lambda body: body.update(status={"state": "Revoked"}))


def master_going(world):
    world.start_deleting(MASTER_TOKENS, world.masters()[0].metadata.name)


def master_gone(world):
    world.cluster.remove(MASTER_TOKENS, NAMESPACE, world.masters()[0].metadata.name)


@pytest.mark.parametrize("policy", ["Revoke", "Retain"])
@pytest.mark.parametrize(
    "change",
    [
        pairing_revoked_in_spec,
        pairing_revoked_by_a_holder,
        pairing_going,
        pairing_gone,
        pairing_re_created,
        pairing_redeemed_anew,
        revoked_in_status,
        master_revoked_in_spec,
        master_revoked_by_a_holder,
        master_going,
        master_gone,
    ],
)
async def test_what_ends_between_the_swap_and_the_last_read_is_refused(world, change, policy):
    jwt = await world.issue(masterToken={"deletionPolicy": policy})
    world.cluster.after_next("create", "mastertokens", lambda: change(world))

    assert await refused(world.replica().redeem(jwt)) == ("invalid_request", REVOKED)


async def test_s8_what_the_claim_said_of_deletion_counts_and_no_owner_reference(world):
    jwt = await world.issue()
    world.cluster.after_next("create", "mastertokens", lambda: orphan(world))

    assert await refused(world.replica().redeem(jwt)) == ("invalid_request", REVOKED)


def orphan(world):
    name = world.masters()[0].metadata.name
    world.cluster.edit(MASTER_TOKENS, NAMESPACE, name, lambda body: body["metadata"].pop("ownerReferences"))
    pairing_gone(world)


@pytest.mark.parametrize("change", [pairing_revoked_in_spec, master_revoked_in_spec])
async def test_the_last_reads_are_never_shared(world, change):
    jwt = await world.issue()
    replica = world.replica(max_staleness=3600)
    await replica.redeem(jwt)
    await replica.reader.get(PAIRING_TOKENS, NAMESPACE, NAME)
    await replica.reader.get(MASTER_TOKENS, NAMESPACE, world.masters()[0].metadata.name)

    change(world)

    assert await refused(replica.redeem(jwt)) == ("invalid_request", REVOKED)


@pytest.mark.parametrize(("verb", "plural"), [("replace_status", "pairingtokens"), ("create", "mastertokens")])
async def test_a_refusal_by_the_api_server_is_not_an_answer(world, verb, plural):
    jwt = await world.issue()
    world.cluster.fail_next(verb, plural, RefusedError("namespace is being terminated"))

    with pytest.raises(NotYetError):
        await world.replica().redeem(jwt)

    assert world.masters() == []


async def test_a_storm_of_conflicts_ends_in_a_503(world):
    jwt = await world.issue()
    world.cluster.fail_next("replace_status", "pairingtokens", ConflictError("modified"), times=10)

    with pytest.raises(NotYetError):
        await world.replica().redeem(jwt)

    assert world.token().status.state == "Active"


async def test_r94_a_master_token_that_was_deleted_does_not_come_back_when_its_client_asks_again(world):
    jwt = await world.issue()
    redeemed = await world.replica().redeem(jwt)
    world.cluster.remove(MASTER_TOKENS, NAMESPACE, f"mtok-{redeemed.token_id}")
    world.clock.advance(61)

    with pytest.raises(ExchangeRefusedError, match="has been revoked"):
        await world.replica().redeem(jwt)

    assert world.masters() == []


async def test_a_swap_that_landed_at_the_last_of_many_lost_answers_is_recognised(world):
    jwt = await world.issue()
    for applied in (False, False, False, True):
        world.cluster.fail_next("replace_status", "pairingtokens", UnavailableError("no answer"), applied=applied)

    redeemed = await world.replica().redeem(jwt, key=None)

    assert [master.spec.token_id for master in world.masters()] == [redeemed.token_id]
