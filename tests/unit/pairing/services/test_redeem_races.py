"""What happens while a pairing token is redeemed: lost answers, other replicas, and a user who revokes it meanwhile.

design.md steps 2 to 5, S1, S8.
"""

import pytest

from tallystick.errors import NotYetError
from tallystick.objects.ports import ConflictError, RefusedError, UnavailableError
from tallystick.pairing.api.master_token import MASTER_TOKENS
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS
from tallystick.pairing.services.consuming import MOST_TRIES
from tests.builders import OTHER_THUMBPRINT, THUMBPRINT, issued_status, raw_master_token
from tests.worlds.ends import (
    master_going,
    master_gone,
    master_revoked_by_a_holder,
    master_revoked_in_spec,
    orphan,
    pairing_going,
    pairing_gone,
    pairing_re_created,
    pairing_redeemed_again,
    pairing_revoked_by_a_holder,
    pairing_revoked_in_spec,
    revoked_in_status,
)
from tests.worlds.faults import Fault
from tests.worlds.redeeming import NO_MASTER, NOT_VALID, REVOKED, USED, refused
from tests.worlds.world import NAME, NAMESPACE

LOST = UnavailableError("the API server did not respond")


# The swap and the create, and what answers them.


@pytest.mark.parametrize("applied", [True, False])
@pytest.mark.parametrize("key", [THUMBPRINT, None])
async def test_a_lost_answer_of_the_swap_is_found_out_by_reading(world, applied, key):
    jwt = await world.issue()
    world.cluster.fail_next("replace_status", "pairingtokens", LOST, applied=applied)

    redeemed = await world.replica().redeem(jwt, key)

    assert [master.spec.token_id for master in world.masters()] == [redeemed.token_id]
    assert world.token().status.redemption.master_token_id == redeemed.token_id


@pytest.mark.parametrize("applied", [True, False])
async def test_a_lost_answer_of_the_create_is_found_out_by_creating_again(world, applied):
    jwt = await world.issue()
    world.cluster.fail_next("create", "mastertokens", LOST, applied=applied)

    redeemed = await world.replica().redeem(jwt, None)

    assert [master.spec.token_id for master in world.masters()] == [redeemed.token_id]


async def test_a_swap_that_lands_late_is_our_own_and_not_another(world):
    jwt = await world.issue()
    world.cluster.plan_from_now({3: Fault.LATE})

    redeemed = await world.replica().redeem(jwt, None)

    assert [master.spec.token_id for master in world.masters()] == [redeemed.token_id]
    assert world.token().status.redemption.master_token_id == redeemed.token_id


async def test_a_swap_that_landed_at_the_last_of_many_lost_answers_is_recognised(world):
    jwt = await world.issue()
    for applied in (False, False, False, True):
        world.cluster.fail_next("replace_status", "pairingtokens", UnavailableError("no answer"), applied=applied)

    redeemed = await world.replica().redeem(jwt, key=None)

    assert [master.spec.token_id for master in world.masters()] == [redeemed.token_id]


def set_status(world, status):
    world.cluster.edit(PAIRING_TOKENS, NAMESPACE, NAME, lambda body: body.update(status=status))


@pytest.mark.parametrize(("key", "resumes"), [(THUMBPRINT, True), (OTHER_THUMBPRINT, False), (None, False)])
async def test_when_another_replica_wins_the_swap_only_the_same_key_gets_its_token(world, key, resumes):
    jwt = await world.issue()
    winner = await world.replica().redeem(jwt)
    used = world.cluster.peek(PAIRING_TOKENS, NAMESPACE, NAME)["status"]
    set_status(world, issued_status())
    world.cluster.before_next("replace_status", "pairingtokens", lambda: set_status(world, used))

    redeeming = world.replica().redeem(jwt, key)

    if resumes:
        assert (await redeeming).signed_jwt == winner.signed_jwt
    else:
        assert await refused(redeeming) == ("invalid_request", USED)
    assert len(world.masters()) == 1


async def test_s1_a_forged_master_token_in_our_place_is_never_signed(world):
    jwt = await world.issue()

    def forge():
        redemption = world.token().status.redemption
        forged = {"metadata": {"name": f"mtok-{redemption.master_token_id}", "namespace": NAMESPACE}}
        world.cluster.put(MASTER_TOKENS, forged | {"spec": forged_spec(world)})

    world.cluster.before_next("create", "mastertokens", forge)

    assert await refused(world.replica().redeem(jwt)) == ("invalid_request", NOT_VALID)
    assert world.events.reasons() == ["MasterTokenConflict"]


def forged_spec(world):
    """What the redemption yields, but for the subject."""
    redemption = world.token().status.redemption
    return raw_master_token(
        redemptionID=redemption.redemption_id,
        tokenID=redemption.master_token_id,
        kid=redemption.key_id,
        subject="system:admin",
    )["spec"]


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


# What ends between the swap and the last read.


ENDS = [
    pairing_revoked_in_spec,
    pairing_revoked_by_a_holder,
    pairing_going,
    pairing_gone,
    pairing_re_created,
    master_revoked_in_spec,
    master_revoked_by_a_holder,
    master_going,
    master_gone,
]


@pytest.mark.parametrize("change", [*ENDS, pairing_redeemed_again, revoked_in_status])
async def test_what_ends_between_the_swap_and_the_last_read_is_refused_if_it_is_retained(world, change):
    jwt = await world.issue(masterToken={"deletionPolicy": "Retain"})
    world.cluster.after_next("create", "mastertokens", lambda: change(world))

    text = NO_MASTER if change is master_gone else REVOKED
    assert await refused(world.replica().redeem(jwt)) == ("invalid_request", text)


@pytest.mark.parametrize(
    ("moment", "change"),
    [
        *(("before_next", change) for change in ENDS if change.__name__.startswith("pairing")),
        *(("after_next", change) for change in (*ENDS, orphan)),
    ],
)
async def test_what_ends_between_the_swap_and_the_answer_is_invalid_from_its_first_use_on(world, moment, change):
    """S8: what the redemption recorded of deletion counts, and no ownerReference."""
    jwt = await world.issue()
    getattr(world.cluster, moment)("create", "mastertokens", lambda: change(world))
    replica = world.replica()

    redeemed = await replica.redeem(jwt)

    assert await replica.is_valid(redeemed.signed_jwt, world.clock.now()) is False


async def test_a_master_token_that_the_garbage_collector_deletes_in_the_middle_comes_back_under_its_id_and_invalid(
    world,
):
    """Two replicas may then return different bytes, with one `jti`, and none of them is valid."""
    jwt = await world.issue()
    deleted = []

    def collect_garbage():
        deleted.extend(world.masters())
        master_gone(world)
        pairing_gone(world)

    world.cluster.fail_next("create", "mastertokens", LOST, applied=True)
    world.cluster.before_next("create", "mastertokens", collect_garbage)
    replica = world.replica()

    redeemed = await replica.redeem(jwt)

    assert [master.spec.token_id for master in deleted] == [redeemed.token_id]
    assert deleted[0].metadata.uid != world.masters()[0].metadata.uid
    assert await replica.is_valid(redeemed.signed_jwt, world.clock.now()) is False


@pytest.mark.parametrize("change", [pairing_revoked_in_spec, master_revoked_in_spec])
async def test_the_last_reads_are_never_shared(world, change):
    jwt = await world.issue()
    replica = world.replica(max_staleness=3600)
    await replica.redeem(jwt)
    await replica.reader.get(PAIRING_TOKENS, NAMESPACE, NAME)
    await replica.reader.get(MASTER_TOKENS, NAMESPACE, world.masters()[0].metadata.name)

    change(world)

    assert await refused(replica.redeem(jwt)) == ("invalid_request", REVOKED)


@pytest.mark.parametrize("change", [pairing_revoked_in_spec, pairing_revoked_by_a_holder, pairing_going])
async def test_a_request_that_finishes_the_redemption_of_another_reads_again(world, change):
    """The first replica ended between the swap and the create. The reading of the second one is behind."""
    jwt = await world.issue()
    world.cluster.fail_next("create", "mastertokens", LOST, times=MOST_TRIES)
    with pytest.raises(NotYetError):
        await world.replica().redeem(jwt)
    second = world.replica(max_staleness=3600)
    await second.reader.get(PAIRING_TOKENS, NAMESPACE, NAME)

    change(world)

    assert await refused(second.redeem(jwt)) == ("invalid_request", REVOKED)
    assert len(world.masters()) == 1
