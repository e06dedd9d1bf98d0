"""Whatever fails at whichever call, a ConnectionConfiguration comes to rest with one token for each slot.

None is minted twice: all that was ever seen in the Secret or on record of a slot is one and the same token.
"""

from collections import defaultdict

import pytest

from tallystick.connections.domain.tokens import CONNECTION, connection_token_id
from tallystick.crypto.tokens import verify
from tallystick.errors import NotYetError
from tallystick.objects.ports import ClusterError
from tallystick.schema.builtin import SECRETS
from tests.builders import ISSUER, UID, a_keyring
from tests.worlds.connection_world import NAMESPACE, SECRET, STANDING, ConnectionWorld
from tests.worlds.faults import double_faults, single_faults

# More calls than any of these paths makes; a fault that is never reached proves nothing and harms nothing.
MINT_CALLS, HEAL_CALLS, END_CALLS = 6, 6, 5
LICENCE = "2030-01-01T13:00:00Z"


def plans(calls):
    return [pytest.param(plan, id=str(plan)) for plan in single_faults(calls)]


class Witness:
    """All tokens that were ever to be seen, by slot: in the Secret and on record."""

    def __init__(self, world):
        self.world = world
        self.stored = defaultdict(set)
        self.recorded = defaultdict(set)

    def look(self):
        for key, value in self.world.values().items():
            if key.startswith("token."):
                self.stored[key.removeprefix("token.")].add(value)
        for slot, serial, _ in self.world.tokens():
            self.recorded[slot].add(serial)


async def until_done(world, *, restarts):
    """Look until it comes to rest; with `restarts` a controller dies of each failure, and the next knows nothing."""
    witness = Witness(world)
    for _ in range(12):
        if restarts:
            world.restart()
        try:
            await world.reconcile()
        except (ClusterError, NotYetError):
            witness.look()
            continue
        witness.look()
        world.cluster.plan_from_now({})
        return witness
    raise AssertionError("it never came to rest")


def assert_one_each(world, witness, serials):
    """Each of these slots has this one Active token, which alone was ever seen for it, and nothing else is in force."""
    active = {slot: serial for slot, serial, state in world.tokens() if state == "Active"}
    assert active == serials
    assert all(state != "Pending" for _, _, state in world.tokens())
    assert world.connection().status.last_serial == max(serials.values())
    values = world.values()
    newest = max(serials, key=lambda slot: serials[slot])
    assert values == {
        **STANDING,
        "token": values[f"token.{newest}"],
        "token-id": connection_token_id(UID, newest, serials[newest]),
        **{f"token.{slot}": values[f"token.{slot}"] for slot in serials},
    }
    for slot, serial in serials.items():
        assert witness.recorded[slot] == {serial}
        assert witness.stored[slot] == {values[f"token.{slot}"]}
        verified = verify(
            values[f"token.{slot}"], a_keyring(), profile=CONNECTION, issuer=ISSUER, now=world.clock.now()
        )
        assert verified.token_id == connection_token_id(UID, slot, serial)
    assert len(world.cluster.all(SECRETS)) == 1
    assert world.said() == {"Ready": ("True", "Issued")}


def issued_ids(world):
    return {facts["token_id"] for facts in world.decisions("issue")}


@pytest.mark.parametrize("restarts", [False, True], ids=["retries", "dies"])
@pytest.mark.parametrize("plan", plans(MINT_CALLS))
async def test_the_first_token_is_issued_once_though_the_controller(plan, restarts):
    world = ConnectionWorld()
    world.apply()
    world.cluster.plan_from_now(plan)

    witness = await until_done(world, restarts=restarts)

    assert_one_each(world, witness, {"default": 1})
    assert issued_ids(world) == {connection_token_id(UID, "default", 1)}


async def test_the_first_token_is_issued_once_whatever_two_things_fail():
    for plan in double_faults(MINT_CALLS):
        world = ConnectionWorld()
        world.apply()
        world.cluster.plan_from_now(dict(plan))

        witness = await until_done(world, restarts=True)

        assert_one_each(world, witness, {"default": 1})


@pytest.mark.parametrize("restarts", [False, True], ids=["retries", "dies"])
@pytest.mark.parametrize("plan", plans(MINT_CALLS))
async def test_a_second_token_is_issued_once_beside_the_first_though_the_controller(plan, restarts):
    world = ConnectionWorld()
    first = await world.issue("old")
    world.set_slots("old", "new")
    world.cluster.plan_from_now(plan)

    witness = await until_done(world, restarts=restarts)

    assert_one_each(world, witness, {"old": 1, "new": 2})
    assert world.values()["token.old"] == first["token"]


@pytest.mark.parametrize("restarts", [False, True], ids=["retries", "dies"])
@pytest.mark.parametrize("plan", plans(MINT_CALLS))
async def test_one_edit_that_revokes_and_generates_is_carried_out_though_the_controller(plan, restarts):
    world = ConnectionWorld()
    await world.issue("old", "keep")
    world.set_slots("keep", "new")
    world.cluster.plan_from_now(plan)

    witness = await until_done(world, restarts=restarts)

    assert_one_each(world, witness, {"keep": 2, "new": 3})
    assert (world.token_of("old").state, world.token_of("old").reason) == ("Revoked", "Manual")


@pytest.mark.parametrize("restarts", [False, True], ids=["retries", "dies"])
@pytest.mark.parametrize("plan", plans(END_CALLS))
async def test_a_revocation_is_carried_out_though_the_controller(plan, restarts):
    world = ConnectionWorld()
    await world.issue("old", "keep")
    world.set_slots("keep")
    world.cluster.plan_from_now(plan)

    witness = await until_done(world, restarts=restarts)

    assert_one_each(world, witness, {"keep": 2})
    assert (world.token_of("old").state, world.token_of("old").reason) == ("Revoked", "Manual")


@pytest.mark.parametrize("restarts", [False, True], ids=["retries", "dies"])
@pytest.mark.parametrize("plan", plans(END_CALLS))
async def test_a_license_ends_all_tokens_though_the_controller(plan, restarts):
    world = ConnectionWorld()
    await world.issue("blue", "green", licenseExpiresAt=LICENCE)
    world.clock.advance(3600)
    world.cluster.plan_from_now(plan)

    await until_done(world, restarts=restarts)

    assert {token.reason for token in world.connection().status.tokens} == {"LicenseExpired"}
    assert (world.values(), world.said()["Ready"]) == (STANDING, ("False", "LicenseExpired"))


@pytest.mark.parametrize("restarts", [False, True], ids=["retries", "dies"])
@pytest.mark.parametrize("plan", plans(MINT_CALLS))
async def test_a_renewed_license_issues_one_token_though_the_controller(plan, restarts):
    world = ConnectionWorld()
    await world.issue("blue", "green", licenseExpiresAt=LICENCE)
    world.clock.advance(3600)
    await world.reconcile()
    world.edit(licenseExpiresAt="2031-01-01T00:00:00Z")
    world.cluster.plan_from_now(plan)

    await until_done(world, restarts=restarts)

    assert world.tokens() == [("green", 3, "Active"), ("green", 2, "Revoked"), ("blue", 1, "Revoked")]
    assert world.connection().status.vacant_slots == ["blue"]
    assert world.values().keys() == {*STANDING, "token", "token-id", "token.green"}


@pytest.mark.parametrize("immutable", [False, True], ids=["edited", "made immutable"])
@pytest.mark.parametrize("plan", plans(HEAL_CALLS))
async def test_the_same_tokens_are_healed_if_the_controller_dies_at(plan, immutable):
    world = ConnectionWorld()
    values = await world.issue("blue", "green")
    damage = {"data": {"token": "Zm9yZ2Vk"}, "immutable": immutable}
    world.cluster.edit(SECRETS, NAMESPACE, SECRET, lambda body: body.update(damage))
    world.cluster.plan_from_now(plan)

    await until_done(world, restarts=True)

    assert world.values() == values
    assert world.tokens() == [("green", 2, "Active"), ("blue", 1, "Active")]


@pytest.mark.parametrize("number", range(1, 4))
async def test_an_edit_right_before_one_of_the_three_calls_of_an_issuance_is_carried_out_too(number):
    world = ConnectionWorld()
    world.apply(tokens=[{"name": "old"}])
    world.cluster.plan_from_now({})
    world.cluster.hooks[number] = lambda: world.set_slots("old", "new")

    witness = await until_done(world, restarts=True)
    await world.reconcile()
    witness.look()

    assert not world.cluster.hooks
    assert_one_each(world, witness, {"old": 1, "new": 2})
