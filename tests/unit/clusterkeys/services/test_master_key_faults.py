"""Whatever fails at whichever call, a MasterKey comes to rest with one key for each serial, and none is lost.

In every state between, a key that is on record is in its Secret or in memory: what is sealed with it can be opened.
"""

from contextlib import suppress

import pytest

from tallystick.clusterkeys.services.master_keyring import MasterKeys
from tallystick.errors import NotYetError
from tallystick.objects.ports import ClusterError
from tests.unit.clusterkeys.vectors import a_master_key
from tests.worlds.faults import double_faults, single_faults
from tests.worlds.master_key_world import PROVIDED, SECRET, MasterKeyWorld

REF = {"name": PROVIDED}
KEY, OTHER = a_master_key("first"), a_master_key("second")
# More calls than any of these paths makes; a fault that is never reached proves nothing and harms nothing.
GENERATE_CALLS, ROTATE_CALLS, FORGET_CALLS, LOAD_CALLS = 6, 7, 7, 9

RESTARTS = pytest.mark.parametrize("restarts", [False, True], ids=["retries", "dies"])


def plans(calls):
    return [pytest.param(plan, id=str(plan)) for plan in single_faults(calls)]


class Witness:
    """All keys that were ever on record, by serial, and whether one of them was ever lost."""

    def __init__(self, world, secret=SECRET):
        self.world, self.secret = world, secret
        self.recorded = {}
        self.lost = []

    def look(self):
        status = self.world.status()
        if status.fingerprint is None:
            return
        self.recorded.setdefault(status.serial, set()).add(status.fingerprint)
        memory = self.world.keyring.memory(self.world.object())
        there = {*self.world.keys(self.secret).values(), memory.newest.fingerprint if memory else ""}
        if status.fingerprint not in there:
            self.lost.append(status.fingerprint)


async def until_done(world, *, restarts, secret=SECRET):
    """Look until it comes to rest; with `restarts` a controller dies of each failure, and the next knows nothing."""
    witness = Witness(world, secret)
    for _ in range(14):
        world.clock.advance(1)
        try:
            await world.reconcile()
        except (ClusterError, NotYetError):
            witness.look()
            if restarts:
                world.restart()
            continue
        witness.look()
        if not world.cluster.plan and not world.cluster.in_flight:
            return witness
        world.cluster.plan = {}
        for late in list(world.cluster.in_flight.values()):
            with suppress(ClusterError):
                late()
        world.cluster.in_flight.clear()
    raise AssertionError("it never came to rest")


@RESTARTS
@pytest.mark.parametrize("plan", plans(GENERATE_CALLS))
async def test_one_key_is_generated_though_the_controller(plan, restarts):
    world = MasterKeyWorld()
    world.apply()
    world.cluster.plan_from_now(plan)

    witness = await until_done(world, restarts=restarts)

    key = world.status().fingerprint
    assert (witness.recorded, witness.lost) == ({1: {key}}, [])
    assert world.keys() == {"master-key": key}
    assert world.said() == {"Ready": ("True", "KeyStored")}


async def test_one_key_is_generated_whatever_two_things_fail():
    for plan in double_faults(GENERATE_CALLS):
        world = MasterKeyWorld()
        world.apply()
        world.cluster.plan_from_now(dict(plan))

        witness = await until_done(world, restarts=True)

        assert (witness.recorded, witness.lost) == ({1: {world.status().fingerprint}}, [])


@RESTARTS
@pytest.mark.parametrize("plan", plans(ROTATE_CALLS))
async def test_a_rotation_makes_one_key_and_keeps_the_old_one_though_the_controller(plan, restarts):
    world = MasterKeyWorld()
    first = await world.issue()
    world.put_join_key("jpd-1", sealed_with=first)
    world.rotate()
    world.cluster.plan_from_now(plan)

    witness = await until_done(world, restarts=restarts)

    new = world.status().fingerprint
    assert (witness.recorded.get(2), witness.lost) == ({new}, [])
    assert world.keys() == {"master-key": new, "master-key-previous": first}


async def test_a_rotation_makes_one_key_whatever_two_things_fail():
    for plan in double_faults(ROTATE_CALLS):
        world = MasterKeyWorld()
        first = await world.issue()
        world.put_join_key("jpd-1", sealed_with=first)
        world.rotate()
        world.cluster.plan_from_now(dict(plan))

        witness = await until_done(world, restarts=True)

        new = world.status().fingerprint
        assert (witness.recorded.get(2), witness.lost) == ({new}, [])
        assert world.keys() == {"master-key": new, "master-key-previous": first}


@RESTARTS
@pytest.mark.parametrize("plan", plans(FORGET_CALLS))
async def test_the_previous_key_goes_once_though_the_controller(plan, restarts):
    world = MasterKeyWorld()
    first = await world.issue()
    world.put_join_key("jpd-1", sealed_with=first)
    world.rotate()
    await world.reconcile()
    world.seal_all()
    world.cluster.plan_from_now(plan)

    witness = await until_done(world, restarts=restarts)

    assert (world.keys(), witness.lost) == ({"master-key": world.status().fingerprint}, [])
    assert world.status().previous_fingerprint is None


@RESTARTS
@pytest.mark.parametrize("plan", plans(ROTATE_CALLS))
async def test_a_provided_key_is_recorded_and_rotated_though_the_controller(plan, restarts):
    world = MasterKeyWorld()
    world.place(KEY)
    world.apply(secretRef=REF)
    world.cluster.plan_from_now(plan)
    taken = await until_done(world, restarts=restarts, secret=PROVIDED)
    world.put_join_key("jpd-1", sealed_with=KEY.fingerprint)
    world.place(OTHER, previous=KEY)
    world.rotate()
    world.cluster.plan_from_now(plan)

    rotated = await until_done(world, restarts=restarts, secret=PROVIDED)

    assert (taken.recorded, rotated.recorded.get(2)) == ({1: {KEY.fingerprint}}, {OTHER.fingerprint})
    assert world.keys(PROVIDED) == {"master-key": OTHER.fingerprint, "master-key-previous": KEY.fingerprint}


@pytest.mark.parametrize("plan", plans(LOAD_CALLS))
async def test_an_external_key_is_removed_only_when_it_is_on_record_though_the_controller(plan):
    world = MasterKeyWorld()
    world.place(KEY)
    world.apply(external=True, secretRef=REF)
    world.put_join_key("jpd-1", sealed_with=KEY.fingerprint)
    world.cluster.plan_from_now(plan)

    witness = await until_done(world, restarts=False, secret=PROVIDED)

    assert (witness.recorded, witness.lost) == ({1: {KEY.fingerprint}}, [])
    assert (world.secret(PROVIDED), world.said()) == (None, {"Ready": ("True", "KeyInMemory")})


@pytest.mark.parametrize("plan", plans(LOAD_CALLS))
async def test_after_a_crash_an_external_key_is_in_its_secret_or_asked_for_by_its_fingerprint(plan):
    world = MasterKeyWorld()
    world.place(KEY)
    world.apply(external=True, secretRef=REF)
    world.cluster.plan_from_now(plan)

    await until_done(world, restarts=True, secret=PROVIDED)
    if world.said()["Ready"][0] == "False":
        named = KEY.fingerprint in world.message()
        world.place(KEY)
        await world.reconcile()
    else:
        named = True
    keys = await world.keys_of()

    assert (named, isinstance(keys, MasterKeys) and keys.newest == KEY) == (True, True)
    assert world.secret(PROVIDED) is None
