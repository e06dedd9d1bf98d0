"""A PairingToken that the exchange made goes an hour after it expired unused; no other one ever does."""

from datetime import timedelta

import pytest

from tallystick.objects.ports import ConflictError
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS
from tallystick.pairing.domain.pairing_request import MADE_BY
from tests.fakes import NOON
from tests.worlds.world import NAME, NAMESPACE

ENDS = NOON + timedelta(minutes=5)


async def issued(world, made_by="exchange"):
    world.apply()
    mark = {} if made_by is None else {MADE_BY: made_by}
    world.cluster.edit(PAIRING_TOKENS, NAMESPACE, NAME, lambda body: body["metadata"].update(annotations=mark))
    await world.reconcile()


def is_there(world):
    return world.cluster.peek(PAIRING_TOKENS, NAMESPACE, NAME) is not None


async def test_it_goes_an_hour_after_its_expiry_and_not_before(world):
    await issued(world)
    world.clock.advance(300)
    planned = await world.reconcile()
    world.clock.advance(3599)
    await world.reconcile()
    before = is_there(world)

    world.clock.advance(1)
    await world.reconcile()

    assert (planned.requeue_at, before, is_there(world)) == (ENDS + timedelta(hours=1), True, False)
    assert world.audit.decisions()[-1] == ("discard", "ok")


@pytest.mark.parametrize("made_by", [None, "", "Exchange", "somebody"])
async def test_an_object_that_a_user_made_stays(world, made_by):
    await issued(world, made_by)
    for seconds in (300, 7200):
        world.clock.advance(seconds)
        await world.reconcile()

    assert is_there(world)


async def test_one_whose_token_was_used_stays(world):
    await issued(world)
    await world.replica().redeem(world.jwt())
    for seconds in (300, 7200):
        world.clock.advance(seconds)
        await world.reconcile()

    assert (is_there(world), world.token().status.state) == (True, "Used")


async def test_one_that_was_revoked_stays(world):
    await issued(world)
    world.edit(revoked=True)
    await world.reconcile()
    world.clock.advance(7200)
    await world.reconcile()

    assert is_there(world)


async def test_one_whose_serial_a_user_raised_stays_and_so_do_its_master_tokens(world):
    await issued(world)
    await world.replica().redeem(world.jwt())
    world.reissue()
    await world.reconcile()
    for seconds in (300, 7200):
        world.clock.advance(seconds)
        await world.reconcile()

    assert (is_there(world), world.token().status.state) == (True, "Expired")


async def test_an_edit_in_the_same_instant_keeps_it(world):
    await issued(world)
    world.clock.advance(300)
    await world.reconcile()
    world.clock.advance(3600)
    world.cluster.before_next("delete", PAIRING_TOKENS.plural, world.reissue)

    with pytest.raises(ConflictError):
        await world.reconcile()
    await world.reconcile()

    assert (is_there(world), world.token().status.state) == (True, "Active")
