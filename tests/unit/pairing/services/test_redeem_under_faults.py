"""One pairing token, one master token: under every fault, every two faults, and every moment of a revocation."""

import pytest

from tallystick.errors import ExchangeRefusedError, NotYetError
from tallystick.objects.ports import ConflictError
from tests.builders import OTHER_THUMBPRINT, THUMBPRINT
from tests.worlds.ends import (
    master_going,
    master_gone,
    master_revoked_by_a_holder,
    master_revoked_in_spec,
    pairing_going,
    pairing_gone,
    pairing_revoked_by_a_holder,
    pairing_revoked_in_spec,
)
from tests.worlds.faults import Fault, double_faults, single_faults
from tests.worlds.world import World

# get, dry run, swap, create, and two reads if the master token is retained; and as many again for what is retried.
CALLS = 11
CALLS_OF_ONE = {"Revoke": 4, "Retain": 6}
POLICIES = pytest.mark.parametrize("policy", CALLS_OF_ONE)
PLANS = [pytest.param(plan, id=str(plan)) for plan in single_faults(CALLS)]


async def issued(world, policy):
    return await world.issue(masterToken={"deletionPolicy": policy})


async def ask_until_answered(world, jwt, key):
    """Ask again after each 503, each time another replica; None when refused."""
    for _ in range(6):
        try:
            return (await world.replica().redeem(jwt, key)).signed_jwt
        except NotYetError:
            continue
        except ExchangeRefusedError:
            return None
    raise AssertionError("no answer, although the faults have ended")


@POLICIES
@pytest.mark.parametrize("plan", PLANS)
async def test_no_fault_burns_the_token_of_a_client_with_a_key(plan, policy):
    world = World()
    jwt = await issued(world, policy)
    world.cluster.plan_from_now(plan)

    answers = {await ask_until_answered(world, jwt, THUMBPRINT) for _ in range(2)}

    assert len(answers) == 1
    assert None not in answers
    assert len(world.masters()) == 1


@POLICIES
async def test_i1_under_two_faults_one_master_token_is_delivered_to_one_key(policy):
    for plan in double_faults(CALLS):
        world = World()
        jwt = await issued(world, policy)
        world.cluster.plan_from_now(dict(plan))

        mine = await ask_until_answered(world, jwt, THUMBPRINT)
        theirs = await ask_until_answered(world, jwt, OTHER_THUMBPRINT)
        again = await ask_until_answered(world, jwt, THUMBPRINT)

        assert (mine, theirs) == (again, None), plan
        assert mine is not None, plan
        assert len(world.masters()) == 1, plan


@POLICIES
@pytest.mark.parametrize("plan", PLANS)
async def test_r84_without_a_key_no_fault_delivers_twice(plan, policy):
    world = World()
    jwt = await issued(world, policy)
    world.cluster.plan_from_now(plan)

    answers = [await ask_until_answered(world, jwt, None) for _ in range(3)]

    assert len([answer for answer in answers if answer]) <= 1
    assert len(world.masters()) <= 1


@pytest.mark.parametrize("fault", [Fault.NO_ANSWER, Fault.LOST_ANSWER])
@pytest.mark.parametrize(
    ("policy", "number"), [(policy, number) for policy, last in CALLS_OF_ONE.items() for number in range(3, last + 1)]
)
async def test_no_single_fault_after_the_dry_run_burns_the_token_of_a_client_without_a_key(policy, number, fault):
    world = World()
    jwt = await issued(world, policy)
    world.cluster.plan_from_now({number: fault})

    redeemed = await world.replica().redeem(jwt, None)

    assert [master.spec.token_id for master in world.masters()] == [redeemed.token_id]
    # The API server was left alone for as long as it had asked, before it was asked again.
    assert world.clock.pauses == [1.0]


async def test_a_quota_that_is_being_written_does_not_burn_the_token_of_a_client_without_a_key():
    world = World()
    jwt = await world.issue()
    world.cluster.fail_next("create", "mastertokens", ConflictError("the resource quota has been modified"))

    redeemed = await world.replica().redeem(jwt, None)

    assert [master.spec.token_id for master in world.masters()] == [redeemed.token_id]


@pytest.mark.parametrize(
    ("policy", "number"), [(policy, number) for policy, last in CALLS_OF_ONE.items() for number in range(1, last + 1)]
)
async def test_an_api_server_that_falls_silent_gives_503_and_no_half_answer(policy, number):
    world = World()
    jwt = await issued(world, policy)
    world.cluster.plan_from_now(dict.fromkeys(range(number, 60), Fault.NO_ANSWER))

    with pytest.raises(NotYetError) as later:
        await world.replica().redeem(jwt)

    assert later.value.retry_after >= 1
    assert len(world.masters()) <= 1


REVOCATIONS = [
    pairing_revoked_in_spec,
    pairing_revoked_by_a_holder,
    pairing_going,
    pairing_gone,
    master_revoked_in_spec,
    master_revoked_by_a_holder,
    master_going,
    master_gone,
]


@pytest.mark.parametrize(
    ("number", "revoke"),
    [
        (number, revoke)
        for number in range(1, 8)
        for revoke in REVOCATIONS
        if number > 4 or revoke.__name__.startswith("pairing")  # there is no master token before
    ],
)
async def test_i4_there_is_no_answer_after_a_revocation_of_what_is_retained(number, revoke):
    """Before each call of a redemption; number 7 is the second request, after the first was answered."""
    world = World()
    jwt = await issued(world, "Retain")
    world.cluster.plan_from_now({})
    world.cluster.hooks = {number: lambda: revoke(world)}

    first = await ask_until_answered(world, jwt, THUMBPRINT)
    second = await ask_until_answered(world, jwt, THUMBPRINT)

    # The pairing token is read before the master token: a revocation between the two is seen by the next reader.
    seen_by_the_next = number == 6 and revoke.__name__.startswith("pairing")
    assert (first is None) is (number < 7 and not seen_by_the_next)
    # A deleted record can be made again from its redemption, until the pairing token's own expiry.
    if revoke is not master_gone:
        assert second is None


@pytest.mark.parametrize(
    ("number", "revoke"),
    [
        (number, revoke)
        for number in range(1, 10)
        for revoke in REVOCATIONS
        if number > 4 or revoke.__name__.startswith("pairing")
    ],
)
async def test_i4_there_is_no_valid_answer_after_a_revocation(number, revoke):
    """Before each of get, dry run, swap, create; of get, create, get, get of the second request; and after both."""
    world = World()
    jwt = await issued(world, "Revoke")
    world.cluster.plan_from_now({})
    world.cluster.hooks = {number: lambda: revoke(world)}

    first = await ask_until_answered(world, jwt, THUMBPRINT)
    second = await ask_until_answered(world, jwt, THUMBPRINT)
    for late in world.cluster.hooks.values():
        late()

    assert (first is None) is (number < 4)
    assert not await is_valid(world, first)
    # A deleted record can be made again from its redemption, until the pairing token's own expiry.
    if revoke is not master_gone or number > 6:
        assert not await is_valid(world, second)


@POLICIES
async def test_revocations_and_faults_together_leave_no_valid_answer(policy):
    for plan in single_faults(CALLS):
        for number in range(1, 6):
            world = World()
            jwt = await issued(world, policy)
            world.cluster.plan_from_now(dict(plan))
            world.cluster.hooks = {number: lambda world=world: pairing_revoked_by_a_holder(world)}

            answer = await ask_until_answered(world, jwt, THUMBPRINT)

            assert answer is None or policy == "Revoke", (plan, number)
            for late in world.cluster.hooks.values():
                late()
            assert not await is_valid(world, answer), (plan, number)


async def is_valid(world, jwt):
    """Whether an answer holds a master token that is good for anything."""
    world.cluster.plan_from_now({})
    world.cluster.hooks = {}
    return jwt is not None and await world.replica().is_valid(jwt, world.clock.now())
