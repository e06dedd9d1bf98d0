"""Which pairing tokens are not redeemed, what that costs and where it is reported: S7, S24, S29, R84, R85, R92, R94."""

from datetime import timedelta

import pytest

from tallystick.errors import ExchangeRefusedError, NotYetError
from tallystick.pairing.api.master_token import MASTER_TOKENS
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS
from tallystick.pairing.domain.grants import RequestedGrant
from tests.builders import OTHER_THUMBPRINT, OTHER_UID, a_policy, issued_status, raw_pairing_token
from tests.worlds.ends import at_a_higher_serial, going, revoked_in_spec, revoked_in_status
from tests.worlds.redeeming import EXPIRED, NOT_VALID, REVOKED, USED, refused
from tests.worlds.world import NAME, NAMESPACE


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


async def test_r94_a_master_token_that_was_deleted_does_not_come_back_when_its_client_asks_again(world):
    jwt = await world.issue()
    redeemed = await world.replica().redeem(jwt)
    world.cluster.remove(MASTER_TOKENS, NAMESPACE, f"mtok-{redeemed.token_id}")
    world.clock.advance(61)

    with pytest.raises(ExchangeRefusedError, match="has no master token any more; request a new pairing token"):
        await world.replica().redeem(jwt)

    assert world.masters() == []


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


async def test_r92_a_wider_scope_consumes_nothing(world):
    jwt = await world.issue()

    assert await refused(world.replica().redeem(jwt, requested=RequestedGrant(scope=("cluster:root",)))) == (
        "invalid_scope",
        'scope "cluster:root" is not part of use case mission-control',
    )
    assert (world.writes(), world.token().status.state) == ([], "Active")


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
