"""Redeeming a pairing token: what it gives, costs and records (design.md steps 1 to 5, S8, S11, S14, R91-R93)."""

from datetime import timedelta

import pytest

from tallystick.crypto.tokens import verify
from tallystick.errors import ExchangeRefusedError
from tallystick.objects.ports import UnavailableError
from tallystick.pairing.api.master_token import MASTER_TOKENS
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS
from tallystick.pairing.domain.grants import RequestedGrant
from tallystick.pairing.domain.tokens import MASTER
from tests.builders import ISSUER, REQUESTER, THUMBPRINT, UID, a_keyring, a_policy
from tests.fakes import NOON
from tests.worlds.world import NAME, NAMESPACE


async def test_a_pairing_token_is_exchanged_for_a_master_token(world):
    jwt = await world.issue()

    redeemed = await world.replica().redeem(jwt)

    verified = verify(redeemed.signed_jwt, a_keyring(), profile=MASTER, issuer=ISSUER, now=NOON)
    (master,) = world.masters()
    assert (redeemed.scope, redeemed.expires_in, redeemed.key_bound) == (("mission-control:admin",), 31_536_000, True)
    assert verified.token_id == redeemed.token_id == master.spec.token_id
    assert verified.reference.uid == master.metadata.uid
    assert verified.key_thumbprint == THUMBPRINT
    assert verified.expiration_time == NOON + timedelta(days=365)


SWAP_AND_CREATE = [("get", "pairingtokens"), ("replace_status", "pairingtokens"), ("create", "mastertokens")]
LAST_READS = [("get", "pairingtokens"), ("get", "mastertokens")]


@pytest.mark.parametrize(
    ("policy", "calls"),
    [
        pytest.param("Revoke", SWAP_AND_CREATE, id="which each use judges by its PairingToken"),
        pytest.param("Retain", SWAP_AND_CREATE + LAST_READS, id="which is retained"),
    ],
)
async def test_redeeming_costs_the_swap_and_the_master_token(world, policy, calls):
    """The first redemption in a namespace also asks whether its record would be accepted; see test_recording.py."""
    jwt = await world.issue(masterToken={"deletionPolicy": policy})

    await world.replica().redeem(jwt)

    called = [(call.verb, call.plural) for call in world.cluster.calls]
    assert called == [calls[0], ("dry_run", "mastertokens"), *calls[1:]]


async def test_a_repeated_request_reads_again_because_its_first_reading_may_be_shared(world):
    jwt = await world.issue()
    await world.replica().redeem(jwt)
    world.cluster.calls.clear()

    await world.replica().redeem(jwt)

    called = [(call.verb, call.plural) for call in world.cluster.calls]
    assert called == [("get", "pairingtokens"), ("create", "mastertokens"), *LAST_READS]


@pytest.mark.parametrize("write", SWAP_AND_CREATE[1:], ids=["the swap", "the create"])
async def test_a_request_that_has_lost_an_answer_reads_again(world, write):
    jwt = await world.issue()
    world.cluster.fail_next(*write, UnavailableError("no answer"), applied=True)

    await world.replica().redeem(jwt)

    assert [(call.verb, call.plural) for call in world.cluster.calls][-2:] == LAST_READS


async def test_s1_a_master_token_that_admission_has_changed_at_its_creation_is_not_signed(world):
    class Mutating(type(world.cluster)):
        async def create(self, resource, body, *, dry_run=False):
            return await super().create(resource, body | {"spec": body["spec"] | {"scope": ["*"]}}, dry_run=dry_run)

    jwt = await world.issue()
    world.cluster.__class__ = Mutating

    with pytest.raises(ExchangeRefusedError):
        await world.replica().redeem(jwt)
    assert world.events.reasons() == ["MasterTokenConflict"]


async def test_one_write_consumes_the_token_and_says_who_redeemed_it(world):
    jwt = await world.issue()

    redeemed = await world.replica().redeem(jwt, requested=RequestedGrant(client_id="https://mc.example.net"))

    status = world.token().status
    assert (status.state, status.used_time, world.ready()) == ("Used", NOON, ("True", "Paired"))
    assert (status.redemption.client_key_thumbprint, status.redemption.client_id) == (
        THUMBPRINT,
        "https://mc.example.net",
    )
    assert status.redemption.master_token_id == redeemed.token_id


async def test_s11_the_subject_is_that_of_the_pairing_token_whatever_the_client_calls_itself(world):
    jwt = await world.issue()

    redeemed = await world.replica().redeem(jwt, requested=RequestedGrant(client_id="system:admin"))

    assert verify(redeemed.signed_jwt, a_keyring(), profile=MASTER, issuer=ISSUER, now=NOON).subject == REQUESTER


async def test_a_narrower_scope_is_what_the_master_token_gets(world):
    world.policy = a_policy(table={"useCases": {"mission-control": {"scope": ["mc:read", "mc:write"]}}})
    jwt = await world.issue()

    redeemed = await world.replica().redeem(jwt, requested=RequestedGrant(scope=("mc:read",)))

    assert redeemed.scope == ("mc:read",)
    assert world.masters()[0].spec.scope == ["mc:read"]


async def test_the_value_of_the_master_token_is_stored_and_logged_nowhere(world):
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


async def test_s14_the_same_key_gets_the_very_same_token_again(world):
    jwt = await world.issue()
    first = await world.replica().redeem(jwt)
    world.clock.advance(90)

    again = await world.replica().redeem(jwt)

    assert again.signed_jwt == first.signed_jwt
    assert again.expires_in == first.expires_in - 90
    assert world.events.reasons() == []
    assert len(world.masters()) == 1


async def test_what_a_replica_has_redeemed_it_does_not_judge_by_an_earlier_reading(world):
    jwt = await world.issue()
    replica = world.replica(max_staleness=3600)
    await replica.reader.get(PAIRING_TOKENS, NAMESPACE, NAME)

    await replica.redeem(jwt)

    body = await replica.reader.get(PAIRING_TOKENS, NAMESPACE, NAME)
    assert body["status"]["state"] == "Used"
