"""Kinds that the API server does not serve: they have no objects, and their cache is compared when they are back."""

import asyncio

import pytest

from tallystick.controller.kinds import MissingKinds
from tallystick.controller.relist import Relister
from tallystick.controller.store import Store
from tallystick.objects.ports import NotFoundError
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS
from tests.fakes import FakeCluster
from tests.unit.controller.test_relist import Seen
from tests.virtual_time import in_virtual_time


@in_virtual_time
async def test_a_kind_that_is_back_stays_incomplete_until_its_objects_are_read():
    missing = MissingKinds()
    told = []
    for _ in (missing.update({PAIRING_TOKENS}), missing.update({})):
        pass
    told.append(await missing.next_returned())

    unread = set(missing._returned)
    missing.read(PAIRING_TOKENS)

    assert (told, unread, missing._returned) == ([{PAIRING_TOKENS}], {PAIRING_TOKENS}, set())


@in_virtual_time
async def test_a_missing_kind_has_no_objects_and_delays_nothing():
    cluster, store = FakeCluster(), Store[Seen]()
    store.observe("ADDED", Seen("edge", "a", "uid-1", "1"))
    cluster.fail_next("list", "pairingtokens", NotFoundError("404"), times=2)
    relister = Relister(cluster, PAIRING_TOKENS, store, is_missing=lambda: True)

    listing = await relister.once()
    await relister.wait_until_synced()

    assert (listing.gone, list(store)) == ((("edge", "a"),), [])
    assert asyncio.get_running_loop().time() == 0


@in_virtual_time
async def test_a_404_of_a_kind_that_is_served_drops_nothing():
    cluster, store = FakeCluster(), Store[Seen]()
    store.observe("ADDED", Seen("edge", "a", "uid-1", "1"))
    cluster.fail_next("list", "pairingtokens", NotFoundError("404"))

    with pytest.raises(NotFoundError):
        await Relister(cluster, PAIRING_TOKENS, store).once()

    assert list(store) == [("edge", "a")]
