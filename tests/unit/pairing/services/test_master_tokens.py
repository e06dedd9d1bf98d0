"""The record of a MasterToken: one write for each thing that happens, and never Revoked by what a watch has missed."""

from datetime import timedelta

import pytest

from tallystick.objects.context import Context
from tallystick.objects.ports import UnavailableError
from tallystick.pairing.api.master_token import MASTER_TOKENS
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS
from tallystick.pairing.services.master_tokens import MasterTokens
from tests.fakes import NOON
from tests.worlds import ends
from tests.worlds.world import NAME, NAMESPACE

ONE_STATUS = [("replace_status", "mastertokens")]


async def redeemed(world, **spec):
    await world.replica().redeem(await world.issue(**spec))
    world.cluster.calls.clear()
    return world.masters()[0].metadata.name


async def test_a_new_master_token_is_recorded_once(world):
    await redeemed(world)

    outcome = await world.reconcile_master()
    await world.reconcile_master()

    (master,) = world.masters()
    assert world.writes() == ONE_STATUS
    assert (master.status.state, world.ready(master)) == ("Active", ("True", "Active"))
    assert outcome.requeue_at == NOON + timedelta(days=365)


async def test_recording_a_healthy_one_reads_nothing(world):
    await redeemed(world)

    await world.reconcile_master()

    assert [call.verb for call in world.cluster.calls] == ["replace_status"]


@pytest.mark.parametrize(
    "end",
    [
        ends.pairing_revoked_in_spec,
        ends.pairing_revoked_by_a_holder,
        ends.pairing_going,
        ends.pairing_gone,
        ends.pairing_re_created,
        ends.master_revoked_in_spec,
    ],
)
async def test_a_token_that_was_revoked_is_recorded_as_such(world, end):
    await redeemed(world)
    await world.reconcile_master()
    world.writes()

    end(world)
    outcome = await world.reconcile_master()
    await world.reconcile_master()

    (master,) = world.masters()
    assert (master.status.state, master.status.revoked_time) == ("Revoked", NOON)
    assert world.writes() == ONE_STATUS
    assert (outcome.requeue_at, world.events.reasons()) == (None, ["Revoked"])


@pytest.mark.parametrize("end", [ends.pairing_gone, ends.pairing_going, ends.pairing_re_created])
async def test_s8_a_retained_one_stays_active(world, end):
    await redeemed(world, masterToken={"deletionPolicy": "Retain"})

    end(world)
    await world.reconcile_master()

    assert world.masters()[0].status.state == "Active"


async def test_a_pairing_token_that_the_watch_has_missed_does_not_revoke(world):
    name = await redeemed(world)
    cache = world._seen()
    cache.forget(PAIRING_TOKENS, NAMESPACE, NAME, world.token().metadata.uid)
    controller = MasterTokens(
        world.cluster, cache, world.signer, Context(world.clock, world.server_clock, world.audit, world.events)
    )

    await controller.reconcile(NAMESPACE, name)

    assert world.masters()[0].status.state == "Active"


async def test_what_cannot_be_read_does_not_revoke(world):
    await redeemed(world)
    ends.pairing_gone(world)
    world.cluster.fail_next("get", "pairingtokens", UnavailableError("down"))

    with pytest.raises(UnavailableError):
        await world.reconcile_master()

    assert world.masters()[0].status.state is None


@pytest.mark.parametrize(("seconds", "state"), [(3599, "Active"), (3600, "Expired")])
async def test_it_expires_at_exp(world, seconds, state):
    await redeemed(world, masterToken={"ttl": "1h"})

    world.clock.advance(seconds)
    await world.reconcile_master()

    assert world.masters()[0].status.state == state


async def test_a_clock_that_is_set_back_revives_nothing(world):
    await redeemed(world, masterToken={"ttl": "1h"})
    world.clock.advance(3600)
    await world.reconcile_master()
    world.writes()

    world.clock.jump(-7200)
    await world.reconcile_master()

    assert (world.masters()[0].status.state, world.writes()) == ("Expired", [])


async def test_an_expired_one_may_still_be_revoked(world):
    await redeemed(world, masterToken={"ttl": "1h"})
    world.clock.advance(3600)
    await world.reconcile_master()

    ends.master_revoked_in_spec(world)
    await world.reconcile_master()

    assert world.masters()[0].status.state == "Revoked"


async def test_the_time_of_revocation_stays(world):
    name = await redeemed(world)
    ends.master_revoked_in_spec(world)
    await world.reconcile_master()

    world.clock.advance(60)
    world.cluster.edit(MASTER_TOKENS, NAMESPACE, name, lambda body: body["metadata"].update(generation=9))
    await world.reconcile_master()

    (master,) = world.masters()
    assert (master.status.revoked_time, master.status.observed_generation) == (NOON, 9)


async def test_one_that_a_finalizer_holds_is_recorded_as_revoked(world):
    await redeemed(world)

    ends.master_going(world)
    await world.reconcile_master()
    await world.reconcile_master()

    (master,) = world.masters()
    assert world.writes() == ONE_STATUS
    assert (master.status.state, world.ready(master)) == ("Revoked", ("False", "Deleted"))
