"""A look at a join key of the user reads his Secret only if it may have changed."""

import pytest

from tallystick.clusterkeys.api.join_key import JOIN_KEYS
from tallystick.clusterkeys.domain.keys import Purpose
from tests.unit.clusterkeys.vectors import a_join_key
from tests.worlds.join_key_world import NAME, NAMESPACE, PROVIDED, SEALED, JoinKeyWorld

FIRST, SECOND = a_join_key("first"), a_join_key("second")
GET_PROVIDED = ("get", "secrets", NAMESPACE, PROVIDED)


@pytest.fixture
async def world():
    """A join key of the user that is shared, and a listing that has seen his Secret."""
    world = JoinKeyWorld()
    world.provide(FIRST)
    await world.issue(secretRef={"name": PROVIDED}, overlap="0s")
    world.provided.follow(Purpose.JOIN, NAMESPACE, PROVIDED, (JOIN_KEYS, NAMESPACE, NAME))
    await world.provided.look()
    await world.reconcile()
    world.cluster.calls.clear()
    return world


async def test_a_secret_that_is_the_same_is_not_read_again(world):
    await world.reconcile()

    assert world.cluster.calls == []


async def test_a_changed_secret_is_read_after_the_listing_and_its_key_taken_over(world):
    world.provide(SECOND)
    await world.reconcile()
    before = world.object().status.key_version
    await world.provided.look()
    await world.reconcile()

    assert (before, world.object().status.key_version) == (1, 2)
    assert world.object().status.fingerprint == SECOND.fingerprint


async def test_a_secret_that_cannot_be_used_is_reported_by_every_look(world):
    world.provide("0" * 64)
    await world.provided.look()
    await world.reconcile()
    first = world.said()["Ready"]
    world.cluster.calls.clear()

    await world.reconcile()

    assert first == world.said()["Ready"] == ("False", "WeakKey")
    assert world.cluster.calls == []


async def test_an_edit_of_the_spec_reads_the_secret_again(world):
    world.provide(SECOND, name="other")
    world.edit(secretRef={"name": "other"})

    await world.reconcile()

    assert world.object().status.fingerprint == SECOND.fingerprint


async def test_a_size_that_the_key_does_not_have_is_found_though_the_secret_is_the_same(world):
    world.edit(keySize=128)

    await world.reconcile()

    assert world.said()["Ready"] == ("False", "KeySizeMismatch")


async def test_the_key_is_read_again_when_a_secret_has_to_be_restored(world):
    world.delete_secret(NAMESPACE, SEALED)

    await world.reconcile()

    assert GET_PROVIDED in world.cluster.calls
    assert world.opened() == FIRST


async def test_a_deleted_secret_changes_nothing_and_is_looked_for_at_each_look(world):
    world.provide(None)
    await world.provided.look()

    await world.reconcile()

    assert world.cluster.calls[-1] == GET_PROVIDED
    assert world.said()["Ready"] == ("True", "Shared")


async def test_no_key_stays_in_memory(world):
    remembered = repr(vars(world.controller._provided))

    assert FIRST.fingerprint in remembered
    assert "ClusterKey" not in remembered


async def test_a_join_key_that_is_gone_is_forgotten(world):
    world.start_deleting()
    world.collect()

    await world.reconcile()

    assert world.controller._provided._read == {}
