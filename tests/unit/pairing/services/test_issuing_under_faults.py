"""Whatever fails at whichever call, the controller converges and nothing is issued twice (I17, D11)."""

import pytest

from tallystick.objects.ports import ClusterError
from tallystick.pairing.domain.tokens import pairing_token_id
from tallystick.schema.builtin import SECRETS
from tests.builders import UID
from tests.worlds.faults import double_faults, single_faults
from tests.worlds.world import NAMESPACE, SECRET, World

# More calls than any of these paths makes; a fault that is never reached proves nothing and harms nothing.
ISSUE_CALLS, HEAL_CALLS, END_CALLS = 5, 5, 4


def plans(calls):
    return [pytest.param(plan, id=str(plan)) for plan in single_faults(calls)]


async def restart_until_done(world):
    """A controller that dies of each failure, and one after it that knows nothing."""
    tokens = set()
    for _ in range(8):
        world.restart()
        try:
            await world.reconcile()
        except ClusterError:
            tokens |= {world.jwt()} if world.secret() else set()
            continue
        return tokens | ({world.jwt()} if world.secret() else set())
    raise AssertionError("it never came to rest")


@pytest.mark.parametrize("plan", plans(ISSUE_CALLS))
async def test_one_token_is_issued_if_the_controller_retries_after(plan):
    world = World()
    world.apply()
    world.cluster.plan_from_now(plan)

    await world.reconcile_until_done()

    assert_issued_once(world, {world.jwt()})


@pytest.mark.parametrize("plan", plans(ISSUE_CALLS))
async def test_one_token_is_issued_if_the_controller_crashes_at(plan):
    world = World()
    world.apply()
    world.cluster.plan_from_now(plan)

    tokens = await restart_until_done(world)

    assert_issued_once(world, tokens)


async def test_one_token_is_issued_whatever_two_things_fail():
    for plan in double_faults(ISSUE_CALLS):
        world = World()
        world.apply()
        world.cluster.plan_from_now(dict(plan))

        tokens = await restart_until_done(world)

        assert_issued_once(world, tokens)


def assert_issued_once(world, tokens):
    status = world.token().status
    assert tokens == {world.jwt()}
    assert (status.state, status.token_id, world.ready()) == ("Active", pairing_token_id(UID, 1), ("True", "Issued"))
    assert len(world.cluster.all(SECRETS)) == 1
    world.cluster.plan_from_now({})


@pytest.mark.parametrize("immutable", [False, True])
@pytest.mark.parametrize("plan", plans(HEAL_CALLS))
async def test_the_same_token_is_healed_if_the_controller_crashes_at(plan, immutable):
    world = World()
    jwt = await world.issue()
    damage = {"data": {"token": "Zm9yZ2Vk"}, "immutable": immutable}
    world.cluster.edit(SECRETS, NAMESPACE, SECRET, lambda body: body.update(damage))
    world.cluster.plan_from_now(plan)

    await restart_until_done(world)

    assert world.jwt() == jwt
    assert world.token().status.state == "Active"


@pytest.mark.parametrize("plan", plans(END_CALLS))
async def test_a_revocation_is_carried_out_if_the_controller_crashes_at(plan):
    world = World()
    await world.issue()
    world.edit(revoked=True)
    world.cluster.plan_from_now(plan)

    await restart_until_done(world)

    assert (world.token().status.state, world.token().status.revoked_through, world.secret()) == ("Revoked", 1, None)


@pytest.mark.parametrize("plan", plans(END_CALLS))
async def test_an_expiry_is_carried_out_if_the_controller_crashes_at(plan):
    world = World()
    await world.issue()
    world.clock.advance(300)
    world.cluster.plan_from_now(plan)

    await restart_until_done(world)

    assert (world.token().status.state, world.secret()) == ("Expired", None)


@pytest.mark.parametrize("plan", plans(ISSUE_CALLS))
async def test_a_raised_serial_is_issued_once_if_the_controller_crashes_at(plan):
    world = World()
    old = await world.issue()
    world.edit(serial=2)
    world.cluster.plan_from_now(plan)

    tokens = await restart_until_done(world)

    assert tokens - {old} == {world.jwt()}
    assert world.token().status.token_id == pairing_token_id(UID, 2)
