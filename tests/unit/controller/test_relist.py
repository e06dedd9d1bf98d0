"""The re-list: finds missed deletions, never drops what the listing could not know, reports when all is there."""

import asyncio
from dataclasses import dataclass, field

import pytest

from tallystick.controller.relist import Listing, NotSyncedError, Relister
from tallystick.controller.store import Store
from tallystick.objects.ports import Json, UnavailableError
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS
from tallystick.schema.meta import Resource
from tests.fakes import FakeCluster
from tests.virtual_time import in_virtual_time


@dataclass(frozen=True, slots=True)
class Seen:
    namespace: str
    name: str
    uid: str
    resource_version: str = field(compare=False)


@dataclass
class World:
    """A cluster, and a store that a watch would fill."""

    cluster: FakeCluster = field(default_factory=FakeCluster)
    store: Store[Seen] = field(default_factory=Store)

    def relister(self, **options) -> Relister[Seen]:
        return Relister(self.cluster, PAIRING_TOKENS, self.store, **options)

    def create(self, name: str, namespace: str = "edge", **meta) -> Json:
        return self.cluster.put(PAIRING_TOKENS, {"metadata": {"name": name, "namespace": namespace, **meta}})

    def deliver(self, body: Json, event_type: str = "ADDED") -> None:
        meta = body["metadata"]
        self.store.observe(event_type, Seen(meta["namespace"], meta["name"], meta["uid"], meta["resourceVersion"]))

    def delete(self, name: str) -> None:
        self.cluster.remove(PAIRING_TOKENS, "edge", name)


@in_virtual_time
async def test_a_deletion_that_the_watch_missed_is_found():
    world = World()
    for name in ("a", "b"):
        world.deliver(world.create(name))
    world.delete("a")

    listing = await world.relister().once()

    assert listing == Listing(listed=1, gone=(("edge", "a"),), missing=(), outdated=())
    assert list(world.store) == [("edge", "b")]


@in_virtual_time
async def test_an_object_that_was_observed_after_the_listing_began_is_not_dropped():
    world = World()
    world.cluster.after_next("list", "pairingtokens", lambda: world.deliver(world.create("new")))

    listing = await world.relister().once()

    assert listing == Listing(listed=0, gone=(), missing=(), outdated=())
    assert list(world.store) == [("edge", "new")]


@in_virtual_time
async def test_an_object_that_was_re_created_while_the_watch_was_down_is_gone_and_missing():
    world = World()
    world.deliver(world.create("a"))
    world.delete("a")
    world.create("a")

    listing = await world.relister().once()

    assert listing == Listing(listed=1, gone=(("edge", "a"),), missing=(("edge", "a"),), outdated=())
    assert world.store.get(("edge", "a")) is None


@in_virtual_time
async def test_what_the_watch_has_not_delivered_is_reported():
    world = World()
    world.deliver(world.create("a"))
    world.create("b")
    world.cluster.edit(PAIRING_TOKENS, "edge", "a", lambda body: body.update(spec={"serial": 2}))

    listing = await world.relister().once()

    assert (listing.missing, listing.outdated) == ((("edge", "b"),), (("edge", "a"),))


@in_virtual_time
async def test_a_listing_that_fails_drops_nothing():
    world = World()
    world.deliver(world.create("a"))
    world.delete("a")
    world.cluster.fail_next("list", "pairingtokens", UnavailableError("busy"))
    relister = world.relister()

    with pytest.raises(UnavailableError):
        await relister.once()

    assert list(world.store) == [("edge", "a")]


@in_virtual_time
async def test_only_the_namespaces_and_labels_of_the_watch_are_listed():
    world = World()
    for namespace in ("edge", "core", "other"):
        world.create("a", namespace, labels={"ours": "yes"})
    world.create("unlabelled")

    listing = await world.relister(namespaces=("edge", "core"), label_selector="ours=yes").once()

    assert sorted(listing.missing) == [("core", "a"), ("edge", "a")]


@in_virtual_time
async def test_it_lists_every_interval_give_or_take_a_tenth_and_survives_a_failure():
    world = World()
    world.cluster.fail_next("list", "pairingtokens", UnavailableError("busy"))
    listings = []
    loop = asyncio.get_running_loop()

    async def note(resource: Resource, _: Listing) -> None:
        listings.append((resource, loop.time()))

    running = asyncio.create_task(world.relister(jitter=lambda: 0.0).run(note, interval=600))
    await asyncio.sleep(2000)
    running.cancel()

    assert [resource for resource, _ in listings] == [PAIRING_TOKENS] * 2
    assert [time for _, time in listings] == pytest.approx([1080, 1620])


@in_virtual_time
async def test_it_is_synced_as_soon_as_the_watch_has_delivered_all():
    world = World()
    bodies = [world.create(name) for name in ("a", "b")]
    loop = asyncio.get_running_loop()
    loop.call_later(1, world.deliver, bodies[0])
    loop.call_later(3, world.deliver, bodies[1])

    await world.relister().wait_until_synced()

    assert loop.time() == pytest.approx(3.0, abs=0.2)
    assert len(world.cluster.calls) == 1


@in_virtual_time
async def test_an_object_that_is_deleted_before_it_was_delivered_does_not_hold_up_the_start():
    world = World()
    world.create("a")
    asyncio.get_running_loop().call_later(1, world.delete, "a")

    await world.relister().wait_until_synced()

    assert world.cluster.all(PAIRING_TOKENS) == []


@in_virtual_time
async def test_a_server_that_is_busy_at_first_does_not_hold_up_the_start_for_long():
    world = World()
    world.cluster.fail_next("list", "pairingtokens", UnavailableError("busy"), times=3)

    await world.relister().wait_until_synced()

    assert asyncio.get_running_loop().time() == pytest.approx(3.0, abs=0.2)


@in_virtual_time
async def test_a_watch_that_never_delivers_is_reported_after_the_deadline():
    world = World()
    world.create("a")

    with pytest.raises(NotSyncedError, match="the watch of pairingtokens did not deliver all objects within 30 s"):
        await world.relister().wait_until_synced(deadline_seconds=30)


@in_virtual_time
async def test_a_watch_that_goes_on_delivering_may_take_longer_than_the_deadline_and_is_listed_once():
    world = World()
    bodies = [world.create(f"token-{number}") for number in range(20)]
    loop = asyncio.get_running_loop()
    for number, body in enumerate(bodies):
        loop.call_later(4 * (number + 1), world.deliver, body)

    await world.relister().wait_until_synced(deadline_seconds=30)

    assert loop.time() == pytest.approx(80.0, abs=0.2)
    assert len(world.cluster.calls) == 1
