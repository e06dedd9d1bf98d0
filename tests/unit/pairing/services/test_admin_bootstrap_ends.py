"""The Secret of the first admin token, and the end of both (R99, R100)."""

from datetime import timedelta

import pytest

from tallystick.cli.settings import feature_settings
from tallystick.errors import InvalidSettingError
from tallystick.pairing.domain.admin_token import ADMIN_SECRET
from tallystick.schema.builtin import SECRETS
from tests.fakes import NOON
from tests.worlds.bootstrap_world import HOME, BootstrapWorld


@pytest.fixture
def world() -> BootstrapWorld:
    return BootstrapWorld()


async def test_r99_the_secret_goes_a_minute_after_the_token_was_made(world):
    world.place_trigger()
    await world.start()
    planned = await world.reconcile()
    world.clock.advance(59)
    await world.reconcile()
    before = world.secret

    world.clock.advance(1)
    after = await world.reconcile()

    assert planned.requeue_at == NOON + timedelta(minutes=1)
    assert (before is None, world.secret) == (False, None)
    assert after.requeue_at == NOON + timedelta(minutes=15)
    assert ("bootstrap", "removed") in world.audit.decisions()


async def test_r100_the_token_is_revoked_at_900_seconds_and_not_before(world):
    world.place_trigger()
    await world.start()
    world.clock.advance(899)
    await world.reconcile()
    before = world.masters()[0].status.state

    world.clock.advance(1)
    await world.reconcile()

    (master,) = world.masters()
    assert (before, master.status.state, master.status.revoked_time) == (
        "Active",
        "Revoked",
        NOON + timedelta(minutes=15),
    )
    assert world.events.reasons() == ["Revoked"]


async def test_the_secret_of_a_token_that_is_revoked_goes_at_once(world):
    world.place_trigger()
    await world.start()
    world.edit_master(lambda body: body["spec"].update(revoked=True))

    await world.reconcile()

    assert (world.secret, world.masters()[0].status.state) == (None, "Revoked")


async def test_a_secret_of_others_with_that_name_stays(world):
    world.place_trigger()
    await world.start()
    world.cluster.remove(SECRETS, HOME, ADMIN_SECRET)
    foreign = world.cluster.put(SECRETS, {"metadata": {"name": ADMIN_SECRET, "namespace": HOME}, "data": {}})
    world.clock.advance(60)

    await world.reconcile()

    assert world.secret == foreign


@pytest.mark.parametrize("minutes", [0, 16, -1])
def test_r99_the_delay_has_bounds(minutes):
    with pytest.raises(InvalidSettingError, match=r"--bootstrap-token-delete-in-minutes .*: must be between 1 and 15"):
        feature_settings(bootstrap_token_delete_in_minutes=minutes)
