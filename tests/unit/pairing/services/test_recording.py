"""A redemption knows before the swap whether its MasterToken would be refused, and it costs nothing in a storm."""

import asyncio
import base64
import uuid

import pytest

from tallystick.errors import ExchangeRefusedError, NotYetError
from tallystick.objects.ports import ConflictError, NotFoundError, RefusedError, UnavailableError
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS
from tallystick.pairing.services.recording import NO_RECORD, NOT_CONSUMED
from tallystick.schema.builtin import SECRETS
from tests.builders import raw_pairing_token
from tests.worlds.world import NAMESPACE

QUOTA = RefusedError(
    'mastertokens.tallystick.dev "mtok-1" is forbidden: exceeded quota: none, requested: count/mastertokens=1, '
    "used: count/mastertokens=0, limited: count/mastertokens=0"
)
REFUSALS = [
    pytest.param(QUOTA, id="a quota"),
    pytest.param(RefusedError("ValidatingAdmissionPolicy 'x' with binding 'x' denied request: no"), id="a policy"),
    pytest.param(RefusedError('admission webhook "x.example.com" denied the request: no'), id="a webhook"),
    pytest.param(RefusedError('User "x" cannot create resource "mastertokens"'), id="RBAC"),
    pytest.param(NotFoundError("the server could not find the requested resource"), id="no such kind"),
]
DRY_RUN, CREATE = ("dry_run", "mastertokens"), ("create", "mastertokens")


def exhaust(world):
    """Let a quota refuse every MasterToken, until `lift`."""
    world.cluster.refusing |= {DRY_RUN: QUOTA, CREATE: QUOTA}


def lift(world):
    world.cluster.refusing.clear()


async def put_off(redeeming):
    with pytest.raises(NotYetError) as later:
        await redeeming
    return later.value


async def test_a_token_is_not_consumed_for_a_record_that_would_be_refused(world):
    jwt = await world.issue()
    exhaust(world)
    before = world.token()

    problem = await put_off(world.replica().redeem(jwt))

    assert (problem.reason, problem.message, problem.retry_after) == ("temporarily_unavailable", NOT_CONSUMED, 5)
    assert (world.token(), world.masters(), world.writes()) == (before, [], [])


@pytest.mark.parametrize("refusal", REFUSALS)
async def test_whatever_refuses_the_record_is_known_before_the_swap(world, refusal):
    jwt = await world.issue()
    world.cluster.fail_next(*DRY_RUN, refusal)

    await put_off(world.replica().redeem(jwt))

    assert (world.token().status.state, world.token().status.redemption) == ("Active", None)


async def test_the_words_of_the_api_server_go_to_the_audit_log_and_an_event_and_never_to_the_client(world):
    jwt = await world.issue()
    exhaust(world)

    problem = await put_off(world.replica().redeem(jwt))

    line = world.audit.lines[-1]
    (event,) = world.events.warnings
    assert "quota" not in problem.message
    assert (line.action, line.outcome, line.facts["reason"]) == ("redeem", "refused", "MasterTokenRejected")
    assert line.facts["text"] == str(QUOTA)
    assert (event.kind, event.name, event.reason) == ("PairingToken", "press-1", "MasterTokenRejected")
    assert event.message == (
        f"the exchange does not redeem the token now: the API server rejects a request of the operator for this "
        f"object: {QUOTA}; raise the quota, or delete objects that it counts. The pairing token is not consumed."
    )


async def test_the_same_token_is_redeemed_once_the_cause_is_gone(world):
    jwt = await world.issue()
    exhaust(world)
    replica = world.replica()
    await put_off(replica.redeem(jwt, None))

    lift(world)
    world.clock.advance(1.1)
    redeemed = await replica.redeem(jwt, None)

    assert [master.spec.token_id for master in world.masters()] == [redeemed.token_id]


async def test_a_refusal_counts_for_one_second(world):
    jwt = await world.issue()
    exhaust(world)
    replica, asked = world.replica(), []

    for seconds in (0.5, 0.5, 0.1):  # at 0, 0.5 and 1 s, and then at 1.1 s
        await put_off(replica.redeem(jwt))
        asked.append(dry_runs(world))
        world.clock.advance(seconds)
    await put_off(replica.redeem(jwt))

    assert (asked, dry_runs(world)) == ([1, 0, 0], 1)


async def test_an_acceptance_counts_for_ten_seconds(world):
    await world.issue(ttl="1h")
    replica, asked = world.replica(), []

    for serial, seconds in ((1, 9.9), (2, 0.2), (3, 0)):  # at 0, 9.9 and 10.1 s
        await replica.redeem(await token_of(world, serial))
        asked.append(dry_runs(world))
        world.clock.advance(seconds)

    assert asked == [1, 0, 1]


async def test_a_storm_of_redemptions_costs_one_dry_run(world):
    await world.issue()
    jwts = [await another(world, f"device-{number}") for number in range(20)]
    world.cluster.calls.clear()
    replica = world.replica()

    await asyncio.gather(*(replica.redeem(jwt) for jwt in jwts))

    assert (len(world.masters()), len(world.cluster.calls), dry_runs(world)) == (20, 61, 1)


async def test_a_storm_against_a_refusal_costs_one_dry_run_and_consumes_no_token(world):
    await world.issue()
    jwts = [await another(world, f"device-{number}") for number in range(20)]
    exhaust(world)
    replica = world.replica()

    ends = await asyncio.gather(*(replica.redeem(jwt) for jwt in jwts), return_exceptions=True)

    assert {type(end).__name__ for end in ends} == {"RecordRejectedError"}
    assert (dry_runs(world), world.writes()) == (1, [])


async def test_what_is_refused_to_one_use_case_or_namespace_is_not_refused_to_another(world):
    await world.issue()
    here, there = await another(world, "here"), await another(world, "there", namespace="west")
    world.cluster.fail_next(*DRY_RUN, QUOTA)
    replica = world.replica()

    await put_off(replica.redeem(here))

    assert (await replica.redeem(there)).token_id


@pytest.mark.parametrize("silence", [UnavailableError("down", retry_after=7), ConflictError("the quota was modified")])
async def test_without_an_answer_nothing_is_consumed_and_the_next_request_asks_again(world, silence):
    jwt = await world.issue()
    replica = world.replica()
    world.cluster.fail_next(*DRY_RUN, silence)

    problem = await put_off(replica.redeem(jwt))
    consumed = world.token().status.redemption
    await replica.redeem(jwt)

    assert (problem.retry_after, consumed) == (int(getattr(silence, "retry_after", 1)), None)
    assert (dry_runs(world), world.events.warnings) == (2, [])


async def test_a_client_that_goes_away_does_not_take_the_answer_along(world):
    jwt = await world.issue()
    replica = world.replica()
    first = asyncio.create_task(replica.redeem(jwt))
    await asyncio.sleep(0)
    first.cancel()

    assert (await replica.redeem(jwt)).token_id


async def test_in_a_namespace_that_is_being_deleted_there_is_no_event(world):
    jwt = await world.issue()
    world.cluster.terminating.add(NAMESPACE)

    await put_off(world.replica().redeem(jwt))

    assert (world.events.warnings, world.token().status.state) == ([], "Active")


async def test_a_swap_that_is_rejected_is_reported_and_consumes_nothing(world):
    jwt = await world.issue()
    world.cluster.refusing["replace_status", "pairingtokens"] = RefusedError("denied request: no")

    problem = await put_off(world.replica().redeem(jwt))

    (event,) = world.events.warnings
    assert (problem.message, world.token().status.state) == (NOT_CONSUMED, "Active")
    assert (event.kind, event.reason, "denied request: no" in event.message) == ("PairingToken", "WriteRejected", True)
    assert world.audit.lines[-1].facts["reason"] == "WriteRejected"


# A quota that fills up within the ten seconds.


async def test_a_record_that_is_refused_after_the_swap_is_said_as_it_is(world):
    jwt = await world.issue()
    world.cluster.fail_next(*CREATE, QUOTA)

    problem = await put_off(world.replica().redeem(jwt, None))

    (event,) = world.events.warnings
    assert (problem.message, world.token().status.state) == (NO_RECORD, "Used")
    assert (event.kind, event.reason) == ("PairingToken", "MasterTokenRejected")
    assert event.message.startswith("the token was redeemed, but no MasterToken records it: ")
    assert event.message.endswith("or delete objects that it counts. Then raise spec.serial to 2 to pair again.")


async def test_the_next_redemption_asks_again_at_once(world):
    jwt = await world.issue()
    replica = world.replica()
    world.cluster.fail_next(*CREATE, QUOTA)
    await put_off(replica.redeem(jwt))
    asked = dry_runs(world)

    await replica.redeem(await token_of(world, 2))

    assert (asked, dry_runs(world)) == (1, 1)


async def test_the_same_key_gets_its_token_once_the_cause_is_gone(world):
    jwt = await world.issue()
    world.cluster.fail_next(*CREATE, QUOTA)
    await put_off(world.replica().redeem(jwt))

    redeemed = await world.replica().redeem(jwt)

    assert [master.spec.token_id for master in world.masters()] == [redeemed.token_id]


async def test_the_same_key_gets_its_token_although_the_record_has_exhausted_the_quota(world):
    jwt = await world.issue()
    first = await world.replica().redeem(jwt)
    exhaust(world)

    again = await world.replica().redeem(jwt)

    assert again.signed_jwt == first.signed_jwt


async def test_a_token_that_was_never_recorded_is_not_called_revoked(world):
    jwt = await world.issue()
    world.cluster.fail_next(*CREATE, QUOTA)
    await put_off(world.replica().redeem(jwt))
    world.clock.advance(61)

    with pytest.raises(ExchangeRefusedError, match="has no master token any more; request a new pairing token"):
        await world.replica().redeem(jwt)


def dry_runs(world):
    """How many there were since the last look."""
    made = [call[:2] for call in world.cluster.calls]
    world.cluster.calls.clear()
    return made.count(DRY_RUN)


async def token_of(world, serial):
    """The token of a serial, which is issued if it is not the present one."""
    if serial > 1:
        world.edit(serial=serial)
        await world.reconcile()
    return world.jwt()


async def another(world, name, namespace=NAMESPACE):
    """The token of one more PairingToken."""
    uid = str(uuid.uuid5(uuid.NAMESPACE_DNS, name))
    world.cluster.put(PAIRING_TOKENS, raw_pairing_token(name=name, namespace=namespace, uid=uid))
    world.watch()
    await world._controller.reconcile(namespace, name)
    secret = world.cluster.peek(SECRETS, namespace, f"{name}-pairing-token")
    return base64.b64decode(secret["data"]["token"]).decode()
