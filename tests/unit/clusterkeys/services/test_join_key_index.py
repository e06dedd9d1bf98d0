"""The index counts the join keys of each MasterKey, and lets one kind look at the other."""

import pytest

from tallystick.clusterkeys.api.join_key import JOIN_KEYS
from tallystick.clusterkeys.api.master_key import MASTER_KEYS
from tallystick.objects.result import Result
from tests.worlds.master_key_world import NAME, NAMESPACE, MasterKeyWorld

MASTER_KEY = (MASTER_KEYS, NAMESPACE, NAME)


@pytest.fixture
def world():
    return MasterKeyWorld()


async def followed(world):
    """Let the index follow all join keys, and return what is reconciled again."""
    world.watch()
    world.looked_again.clear()
    await world.follow_join_keys()
    return list(world.looked_again)


def test_the_join_keys_that_were_there_at_the_start_are_counted(world):
    world.put_join_key("jpd-1", sealed_with="mk-a")
    world.put_join_key("jpd-2", sealed_with="mk-b", ready=False, reason="KeyLost")
    world.put_join_key("jpd-3", ready=False, reason="WaitingForKey")
    world.watch()

    summary = world.index.summary(NAMESPACE, NAME)

    assert (summary.total, dict(summary.sealed_with)) == (3, {"mk-a": 1, "mk-b": 1})
    assert (summary.not_ready.name, summary.not_ready.reason) == ("jpd-2", "KeyLost")
    assert (summary.outdated("mk-a"), summary.outdated(None)) == (1, 2)


async def test_each_change_that_its_status_shows_reconciles_the_master_key(world):
    world.put_join_key("jpd-1", ready=False, reason="Propagating")
    new = await followed(world)
    world.put_join_key("jpd-1", sealed_with="mk-a")
    ready = await followed(world)
    unchanged = await followed(world)
    world.cluster.remove(JOIN_KEYS, NAMESPACE, "jpd-1")
    gone = await followed(world)

    # At its first use the index has read the cache, so the first one is not news.
    assert (new, ready, unchanged, gone) == ([], [MASTER_KEY], [], [MASTER_KEY])
    assert world.index.summary(NAMESPACE, NAME).total == 0


async def test_a_join_key_that_names_another_master_key_reconciles_both(world):
    world.put_join_key("jpd-1", sealed_with="mk-a")
    await followed(world)
    other = {"masterKeyRef": {"name": "other"}}
    world.cluster.edit(JOIN_KEYS, NAMESPACE, "jpd-1", lambda body: body["spec"].update(other))

    again = await followed(world)

    assert sorted(again, key=str) == sorted([MASTER_KEY, (MASTER_KEYS, NAMESPACE, "other")], key=str)
    assert world.index.summary(NAMESPACE, NAME).total == 0
    assert world.index.summary(NAMESPACE, "other").total == 1


async def test_a_master_key_that_gets_its_key_during_the_first_run_of_a_join_key_looks_at_it_again(world):
    await followed(world)  # the index has read the cache before the object exists
    world.put_join_key("jpd-1", ready=False, reason="WaitingForMasterKey")
    world.watch()
    world.looked_again.clear()

    class WhileTheKeyIsRecorded:
        async def reconcile(self, namespace, name):
            world.index.look_at_all_again(NAMESPACE, NAME)
            return Result()

    await world.index.following(WhileTheKeyIsRecorded()).reconcile(NAMESPACE, "jpd-1")

    assert (JOIN_KEYS, NAMESPACE, "jpd-1") in world.looked_again


def test_a_condition_of_an_older_spec_is_not_ready(world):
    world.put_join_key("jpd-1", sealed_with="mk-a")
    world.cluster.edit(JOIN_KEYS, NAMESPACE, "jpd-1", lambda body: body["spec"].update(serial=2))
    world.watch()

    assert world.index.summary(NAMESPACE, NAME).not_ready.name == "jpd-1"


def test_a_join_key_without_a_reference_names_the_default(world):
    world.put_join_key("jpd-1")
    world.cluster.edit(JOIN_KEYS, NAMESPACE, "jpd-1", lambda body: body["spec"].pop("masterKeyRef"))
    world.watch()

    assert world.index.summary(NAMESPACE, "default").total == 1


def test_every_join_key_of_a_master_key_is_reconciled_again(world):
    world.put_join_key("jpd-2")
    world.put_join_key("jpd-1")
    world.watch()

    world.index.look_at_all_again(NAMESPACE, NAME)
    world.index.look_at_all_again(NAMESPACE, "other")

    assert world.looked_again == [(JOIN_KEYS, NAMESPACE, "jpd-1"), (JOIN_KEYS, NAMESPACE, "jpd-2")]


async def test_outdated_join_keys_are_counted_for_the_metric(world):
    newest = await world.issue()
    world.put_join_key("jpd-1", sealed_with=newest)
    world.put_join_key("jpd-2", sealed_with="mk-a")
    await followed(world)

    assert (world.index.outdated(), world.index.count("Active")) == (1, 0)


async def test_join_keys_are_counted_by_state_for_the_metric(world):
    for name in ("jpd-1", "jpd-2", "jpd-3"):
        world.put_join_key(name)
        world.cluster.edit(JOIN_KEYS, NAMESPACE, name, lambda body: body["status"].update(state="Active"))
    await followed(world)
    world.cluster.edit(JOIN_KEYS, NAMESPACE, "jpd-2", lambda body: body["status"].update(state="Replacing"))
    world.cluster.remove(JOIN_KEYS, NAMESPACE, "jpd-3")

    await followed(world)

    assert [world.index.count(state) for state in ("Active", "Replacing", "Pending")] == [1, 1, 0]


async def test_a_reconciliation_that_fails_is_over_and_followed(world):
    world.put_join_key("jpd-1")
    await followed(world)
    world.put_join_key("jpd-1", sealed_with="mk-a")
    world.watch()

    class Failing:
        async def reconcile(self, namespace, name):
            raise ConnectionError

    with pytest.raises(ConnectionError):
        await world.index.following(Failing()).reconcile(NAMESPACE, "jpd-1")

    assert world.index.is_done_until(world.index.last_run())
    assert world.looked_again == [MASTER_KEY]
