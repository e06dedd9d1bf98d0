"""The keys that a JoinKey gets from its MasterKey, or why it has to wait."""

import pytest

from tallystick.clusterkeys.services.master_keyring import MasterKeys, NoMasterKey
from tallystick.objects.ports import ConflictError
from tallystick.schema.builtin import SECRETS
from tests.unit.clusterkeys.vectors import a_master_key
from tests.worlds.master_key_world import NAMESPACE, PROVIDED, SECRET, MasterKeyWorld

KEY, OTHER = a_master_key("first"), a_master_key("second")


@pytest.fixture
def world():
    return MasterKeyWorld()


async def test_a_master_key_that_does_not_exist_is_waited_for(world):
    assert await world.keys_of() == NoMasterKey(
        "WaitingForMasterKey",
        'MasterKey edge/artifactory does not exist; apply one ("spec: {}" generates its key)',
        temporary=True,
    )


async def test_a_master_key_without_a_key_is_waited_for_by_its_reason(world):
    world.apply(secretRef={"name": PROVIDED})
    world.watch()
    before = await world.keys_of()
    await world.reconcile()

    after = await world.keys_of()

    assert before.message == "MasterKey edge/artifactory is not ready (not reconciled yet); its message says why"
    assert after == NoMasterKey(
        "WaitingForMasterKey",
        "MasterKey edge/artifactory is not ready (WaitingForKey); its message says why",
        temporary=True,
    )


async def test_the_key_on_record_is_read_once_for_each_version_of_its_secret(world):
    await world.issue()
    world.restart()
    world.watch()
    world.cluster.calls.clear()

    keys = [await world.keys_of() for _ in range(3)]

    assert {key.newest.fingerprint for key in keys} == {world.status().fingerprint}
    assert [call.verb for call in world.cluster.calls] == ["get"]


async def test_a_key_that_is_not_the_one_on_record_is_not_given_to_a_join_key(world):
    world.place(KEY)
    await world.issue(secretRef={"name": PROVIDED})
    await world.look()
    world.place(OTHER)
    await world.look()

    assert isinstance(await world.keys_of(), NoMasterKey)


async def test_a_key_whose_secret_is_gone_is_not_given_to_a_join_key(world):
    await world.issue()
    world.cluster.remove(SECRETS, NAMESPACE, SECRET)
    world.watch()

    assert isinstance(await world.keys_of(), NoMasterKey)


async def test_a_previous_key_that_no_join_key_needs_is_not_given(world):
    world.place(KEY, previous=OTHER)
    await world.issue(secretRef={"name": PROVIDED})

    assert await world.keys_of() == MasterKeys(KEY, None)


async def test_between_the_two_writes_of_a_rotation_a_join_key_waits(world):
    await world.issue()
    world.rotate()
    world.cluster.fail_next("replace_status", "masterkeys", ConflictError("modified"))
    with pytest.raises(ConflictError):
        await world.reconcile()
    world.restart()
    world.watch()

    during = await world.keys_of()
    await world.reconcile()

    assert isinstance(during, NoMasterKey)
    assert (await world.keys_of()).newest.fingerprint == world.status().fingerprint
