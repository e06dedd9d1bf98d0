"""A change of a Secret with a user's key is noticed by its metadata, for both kinds of keys."""

import pytest

from tallystick.clusterkeys.api.join_key import JOIN_KEYS
from tallystick.clusterkeys.api.master_key import MASTER_KEYS
from tallystick.clusterkeys.domain.keys import Purpose
from tallystick.clusterkeys.domain.master_key_secret import SecretVersion
from tallystick.objects.ports import UnavailableError
from tallystick.schema.builtin import SECRETS
from tests.unit.clusterkeys.vectors import a_join_key, a_master_key
from tests.worlds.master_key_world import NAME, NAMESPACE, PROVIDED, MasterKeyWorld

JOIN_TYPE = Purpose.JOIN.secret_type
MASTER_KEY, JOIN_KEY = (MASTER_KEYS, NAMESPACE, NAME), (JOIN_KEYS, NAMESPACE, "jpd-1")


@pytest.fixture
async def world():
    world = MasterKeyWorld()
    world.apply(secretRef={"name": PROVIDED})
    world.put_join_key("jpd-1")
    world.cluster.edit(JOIN_KEYS, NAMESPACE, "jpd-1", lambda body: body["spec"].update(secretRef={"name": "jk"}))
    await world.look()
    await world.reconcile()
    return world


async def test_a_secret_that_appears_changes_or_goes_reconciles_what_names_it(world):
    world.place(a_master_key())
    appeared = await world.look()
    world.place(a_master_key("other"))
    replaced = await world.look()
    note = {"annotations": {"team": "a"}}
    world.cluster.edit(SECRETS, NAMESPACE, PROVIDED, lambda body: body["metadata"].update(note))
    edited = await world.look()
    unchanged = await world.look()
    world.cluster.remove(SECRETS, NAMESPACE, PROVIDED)
    gone = await world.look()

    assert (appeared, replaced, edited, unchanged, gone) == ([MASTER_KEY], [MASTER_KEY], [MASTER_KEY], [], [MASTER_KEY])


async def test_a_secret_that_was_read_and_is_gone_before_the_next_listing_is_missed(world):
    world.place(a_master_key())
    await world.reconcile()
    world.cluster.remove(SECRETS, NAMESPACE, PROVIDED)

    assert await world.look() == [MASTER_KEY]


async def test_a_secret_that_was_read_before_it_is_listed_reconciles_nothing_again(world):
    world.place(a_master_key())
    await world.reconcile()

    assert await world.look() == []


async def test_a_join_key_follows_its_secret_in_the_same_way(world):
    world.place(a_join_key().to_hex(), name="jk", type_=JOIN_TYPE)

    assert await world.look() == [JOIN_KEY]


async def test_a_secret_that_nothing_names_reconciles_nothing(world):
    world.place(a_master_key(), name="other")

    assert await world.look() == []


async def test_an_object_that_is_gone_is_not_followed_any_more(world):
    world.cluster.remove(MASTER_KEYS, NAMESPACE, NAME)
    world.place(a_master_key())

    assert await world.look() == []


async def test_only_metadata_of_secrets_with_our_types_and_without_our_label_is_listed(world):
    world.cluster.calls.clear()
    world.place(a_master_key())
    world.place(a_master_key(), name="opaque", type_="Opaque")

    await world.look()

    assert [(call.verb, call.plural) for call in world.cluster.calls] == [("list", "secrets")] * 2
    assert world.provided.version(Purpose.MASTER, NAMESPACE, "opaque") is None
    assert world.provided.version(Purpose.JOIN, NAMESPACE, PROVIDED) is None
    meta = world.secret(PROVIDED)["metadata"]
    version = SecretVersion(meta["uid"], meta["resourceVersion"])
    assert world.provided.version(Purpose.MASTER, NAMESPACE, PROVIDED) == version


async def test_a_listing_that_fails_changes_nothing(world):
    world.place(a_master_key())
    await world.look()
    known = world.provided.version(Purpose.MASTER, NAMESPACE, PROVIDED)
    world.cluster.remove(SECRETS, NAMESPACE, PROVIDED)
    world.cluster.fail_next("list", "secrets", UnavailableError("no answer"))

    with pytest.raises(UnavailableError):
        await world.look()

    assert (world.looked_again, world.provided.version(Purpose.MASTER, NAMESPACE, PROVIDED)) == ([], known)
    assert await world.look() == [MASTER_KEY]


async def test_a_type_that_nothing_follows_is_listed_at_the_start_alone():
    world = MasterKeyWorld()
    world.apply(secretRef={"name": PROVIDED})
    await world.look()
    await world.reconcile()
    at_the_start = [call for call in world.cluster.calls if call.verb == "list"]
    world.place(a_master_key())
    world.cluster.calls.clear()

    again = await world.look()

    assert [(call.verb, call.plural) for call in world.cluster.calls] == [("list", "secrets")]
    assert (again, len(at_the_start)) == ([MASTER_KEY], 2)
