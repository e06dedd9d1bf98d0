"""The list and watch of a kind with many objects: whatever goes wrong, the cache has all objects in the end, no other.

Each fault is made at a page, at the begin of a watch, or in the middle of its events.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from structlog.testing import capture_logs

from tallystick.controller.cache import ObjectCache
from tallystick.controller.kinds import MissingKinds
from tallystick.controller.list_watch import LONGEST_PAUSE, PAGE_SIZE, ListWatch
from tallystick.controller.relist import NotSyncedError
from tallystick.fleet.api.device import DEVICES
from tallystick.fleet.feature import KINDS
from tallystick.objects.ports import ExpiredError, Json, NotFoundError, RefusedError, UnavailableError, WatchEvent
from tallystick.schema.meta import Resource
from tests.fakes import FakeFeed
from tests.virtual_time import in_background, in_virtual_time

KIND = tuple(kind for kind in KINDS if kind.resource == DEVICES)
SOON = 60.0  # virtual seconds, in which each recovery ends


@dataclass
class World:
    """A feed, a cache that the list and watch fills, and what it reported."""

    namespace: str = ""
    feed: FakeFeed = field(default_factory=FakeFeed)
    cache: ObjectCache = field(default_factory=lambda: ObjectCache(KIND))
    missing: MissingKinds = field(default_factory=MissingKinds)
    observed: list[tuple[str | None, str]] = field(default_factory=list)

    def is_news(self, resource: Resource, event_type: str | None, body: Json) -> bool:
        return event_type == "DELETED" or not self.cache.has(resource, body["metadata"])

    def observe(self, resource: Resource, event_type: str | None, body: Json) -> None:
        self.observed.append((event_type, body["metadata"]["name"]))
        self.cache.observe(resource, event_type, body)

    @property
    def cached(self) -> dict[tuple[str, str], str]:
        """The version of each cached object."""
        store = self.cache.stores[DEVICES]
        found = {key: store.get(key) for key in store}
        return {key: record.resource_version for key, record in found.items() if record}

    def list_watch(self, **options: Any) -> ListWatch:
        return ListWatch(
            feed=self.feed,
            resource=DEVICES,
            namespace=self.namespace,
            cache=self.cache,
            observer=self,
            missing=self.missing,
            page_size=2,
            jitter=lambda: 0.5,
            **options,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[ListWatch]:
        """List and watch beside the block, from the end of the first listing on."""
        watch = self.list_watch()
        async with in_background(watch.run()):
            await watch.wait_until_synced()
            await settle()
            yield watch

    def assert_current(self) -> None:
        assert self.cached == self.feed.objects


async def settle(seconds: float = 0.001) -> None:
    await asyncio.sleep(seconds)


def a_world(*names: str, **options: Any) -> World:
    world = World(**options)
    for name in names:
        world.feed.put(name)
    return world


# The way without a fault.


@in_virtual_time
async def test_all_pages_are_listed_and_then_each_change_is_taken():
    world = a_world("a", "b", "c", "d", "e")
    async with world.running():
        listed = dict(world.cached), list(world.feed.calls)
        world.feed.put("f")
        world.feed.put("a", serial=2)
        world.feed.remove("b")
        await settle()

        world.assert_current()

    assert (len(listed[0]), listed[1]) == (5, ["list", "rest", "rest", "watch"])
    assert world.observed[5:] == [("ADDED", "f"), ("MODIFIED", "a"), ("DELETED", "b")]


@in_virtual_time
async def test_a_change_is_taken_without_another_request():
    world = a_world("a")
    async with world.running():
        world.feed.calls.clear()
        for number in range(50):
            world.feed.put("a", serial=number)
            await settle()

    assert (len(world.observed), world.feed.calls) == (51, [])


@in_virtual_time
async def test_an_echo_of_a_write_of_this_process_is_not_observed():
    world = a_world("a")
    async with world.running():
        world.cache.remember(DEVICES, world.feed.put("a", serial=2))
        await settle()

        world.assert_current()

    assert world.observed == [(None, "a")]


@in_virtual_time
async def test_an_idle_watch_is_renewed_from_its_bookmark_and_survives_a_compaction():
    world = a_world("a")
    async with world.running():
        world.feed.bookmark()
        await settle()
        world.feed.compact()
        await settle(SOON)
        world.feed.put("a", serial=2)
        await settle()

        world.assert_current()

    assert world.feed.calls.count("list") == 1
    assert world.feed.calls.count("watch") > SOON / 20


@in_virtual_time
async def test_a_watched_namespace_alone_is_listed_and_cleared():
    world = a_world("a", namespace="edge")
    world.feed.put("b", "core")
    world.cache.observe(DEVICES, "ADDED", world.feed.put("c", "core"))
    world.cache.observe(DEVICES, "ADDED", world.feed.put("gone"))
    world.feed.remove("gone")
    async with world.running():
        world.feed.put("d", "core")
        world.feed.put("e")
        await settle()

    assert set(world.cached) == {("edge", "a"), ("edge", "e"), ("core", "c")}


# A version or the rest of a listing that has expired.


@in_virtual_time
async def test_after_a_410_the_kind_is_listed_again_and_missed_deletions_are_found():
    world = a_world("a", "b", "c", "d")
    async with world.running():
        world.feed.remove("a")
        world.feed.put("b", serial=2)
        world.feed.put("e")
        world.feed.compact()
        await settle(SOON)

        world.assert_current()

    assert sorted(world.observed[4:], key=str) == [("DELETED", "a"), (None, "b"), (None, "e")]


@in_virtual_time
async def test_a_410_in_the_middle_of_the_events_loses_none():
    world = a_world("a", "b")
    world.feed.cuts.append((1, ExpiredError("too old")))
    async with world.running():
        world.feed.put("a", serial=2)
        world.feed.remove("b")
        await settle(SOON)

        world.assert_current()

    assert world.feed.calls.count("list") == 2


@in_virtual_time
async def test_a_page_that_expires_begins_the_listing_again_with_larger_pages():
    world = a_world("a", "b", "c", "d", "e")
    world.cache.observe(DEVICES, "ADDED", world.feed.put("gone"))
    world.feed.remove("gone")
    world.feed.fail("rest", world.feed.compact, world.feed.compact)
    async with world.running():
        world.assert_current()
        world.feed.put("f")
        world.feed.compact()
        await settle(SOON)

        world.assert_current()

    # The third listing succeeds. The next one begins with small pages again.
    assert world.feed.sizes == [2, 2, 4, 4, 8, 2, 2, 2]


@in_virtual_time
async def test_a_listing_that_fails_in_the_middle_removes_nothing():
    world = a_world("a", "b", "c")
    async with world.running():
        world.feed.remove("c")
        world.feed.put("d")
        world.feed.put("e")
        world.feed.compact()
        world.feed.fail("rest", *[RefusedError("no")] * 3)
        await settle(2.0)
        during = set(world.cached)
        await settle(SOON)

        world.assert_current()

    assert ("edge", "c") in during


@in_virtual_time
async def test_what_is_deleted_while_it_is_listed_again_is_removed():
    world = a_world("a", "b", "c")
    async with world.running():
        world.feed.put("d")
        world.feed.compact()
        world.feed.fail("rest", lambda: world.feed.remove("a"))  # it was on the first page
        await settle(SOON)

        world.assert_current()

    assert world.observed[-1] == ("DELETED", "a")


@in_virtual_time
async def test_what_was_created_again_meanwhile_is_reported_as_deleted_and_new():
    world = a_world("a")
    async with world.running():
        world.feed.remove("a")
        world.feed.put("a")
        world.feed.compact()
        await settle(SOON)

        world.assert_current()

    assert world.observed == [(None, "a"), ("DELETED", "a"), (None, "a")]


@in_virtual_time
async def test_what_this_process_creates_again_while_it_is_listed_is_kept():
    world = a_world("a", "b", "c")

    def create_again() -> None:
        world.cache.remember(DEVICES, world.feed.put("a"))

    async with world.running():
        world.feed.remove("a")
        world.feed.compact()
        world.feed.put("d")
        world.feed.fail("rest", create_again)
        await settle(SOON)

        world.assert_current()

    assert ("DELETED", "a") not in world.observed


# Events that come twice, late, or not at all.


@in_virtual_time
async def test_an_event_that_comes_twice_is_taken_once():
    world = a_world("a", "b")
    async with world.running():
        changed = world.feed.put("a", serial=2)
        world.feed.send(WatchEvent("MODIFIED", changed))
        await settle()

        world.assert_current()

    assert (world.observed[2:], world.feed.calls.count("list")) == ([("MODIFIED", "a")], 1)


@in_virtual_time
async def test_events_in_the_wrong_order_are_not_trusted():
    world = a_world("a", "b")
    async with world.running():
        old = world.feed.put("a", serial=2)
        world.feed.remove("a")
        world.feed.send(WatchEvent("MODIFIED", old))  # would bring the object back
        await settle(SOON)

        world.assert_current()

    assert world.feed.calls.count("list") == 2


# Failures.


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(UnavailableError("connection lost"), id="a lost connection"),
        pytest.param(UnavailableError("the API server returned 500", is_failure=True), id="500"),
    ],
)
@pytest.mark.parametrize("events", [0, 1])
@in_virtual_time
async def test_a_lost_watch_continues_from_its_version(error, events):
    world = a_world("a")
    world.feed.cuts.append((events, error))
    async with world.running():
        world.feed.put("b")
        world.feed.put("c")
        await settle(SOON)

        world.assert_current()

    assert world.feed.calls.count("list") == 1
    assert [name for _, name in world.observed] == ["a", "b", "c"]


@in_virtual_time
async def test_a_page_that_fails_is_read_again_and_no_other():
    world = a_world("a", "b", "c", "d", "e")
    world.feed.fail("rest", UnavailableError("busy"), UnavailableError("busy"))
    async with world.running():
        world.assert_current()

    assert world.feed.calls == ["list", "rest", "rest", "rest", "rest", "watch"]


@in_virtual_time
async def test_it_waits_as_long_as_the_api_server_requests():
    world, loop = a_world("a"), asyncio.get_running_loop()
    world.feed.fail("list", UnavailableError("too many requests", retry_after=17.0))
    async with world.running():
        assert loop.time() == pytest.approx(17.0, abs=0.2)


@in_virtual_time
async def test_pauses_grow_to_a_bound_and_start_again_after_a_watch_that_ended_in_time():
    world, loop = a_world("a"), asyncio.get_running_loop()
    times: list[float] = []

    def fail() -> None:
        times.append(loop.time())
        raise UnavailableError("away")

    world.feed.fail("watch", *[fail] * 8)
    async with world.running():
        await settle(600)
        assert [round(later - time) for time, later in itertools.pairwise(times)] == [1, 2, 4, 8, 16, 30, 30]
        world.feed.fail("watch", fail, fail)
        await settle(600)
        assert times[-1] - times[-2] == pytest.approx(1.0)
        assert LONGEST_PAUSE == 30.0


@in_virtual_time
async def test_a_server_that_ends_each_watch_at_once_is_not_asked_without_a_pause():
    world = a_world("a")
    world.feed.cuts.extend([(0, None)] * 1000)
    async with world.running():
        await settle(SOON)

    assert world.feed.calls.count("watch") < 10


@in_virtual_time
async def test_a_missing_right_is_logged_and_tried_again_and_ends_the_start_in_time():
    world = a_world("a")
    world.feed.fail("list", *[RefusedError('devices is forbidden: User "x" cannot list')] * 100)
    watch = world.list_watch()
    with capture_logs() as lines:
        async with in_background(watch.run()):
            with pytest.raises(NotSyncedError, match="no page of devices was listed within 120 s: devices is f"):
                await watch.wait_until_synced()

    assert {(line["log_level"], line["kind"], line["error"]) for line in lines} == {
        ("warning", "Device", "RefusedError")
    }
    assert 5 < len(lines) < 20


@in_virtual_time
async def test_a_version_that_the_api_server_does_not_understand_is_replaced_by_a_listing():
    world = a_world("a")
    world.feed.fail("watch", RefusedError("invalid resource version"))
    async with world.running():
        await settle(SOON)

    assert world.feed.calls[:4] == ["list", "watch", "list", "watch"]


@in_virtual_time
async def test_failures_with_an_event_between_them_cause_no_longer_pause():
    world = a_world("a")
    world.feed.cuts.extend([(1, UnavailableError("cut"))] * 8)
    async with world.running():
        for number in range(8):
            world.feed.put("a", serial=number)
            await settle(1.5)

            world.assert_current()


@in_virtual_time
async def test_a_right_that_is_taken_away_and_given_back_leaves_nothing_behind():
    world = a_world("a", "b")
    async with world.running():
        world.feed.fail("watch", *[RefusedError("devices is forbidden")] * 2)
        world.feed.remove("a")
        world.feed.put("c")
        world.feed.compact()
        await settle(SOON)

        world.assert_current()


@in_virtual_time
async def test_a_listing_that_goes_on_may_take_longer_than_the_deadline():
    world, loop = a_world(*"abcdefghij"), asyncio.get_running_loop()
    slow = UnavailableError("slow", retry_after=25.0)
    world.feed.fail("rest", slow, None, slow, None, slow, None, slow, None)
    watch = world.list_watch()
    async with in_background(watch.run()):
        await watch.wait_until_synced(deadline_seconds=30)
        assert loop.time() == pytest.approx(100.0, abs=0.3)


# Kinds that are not served.


@in_virtual_time
async def test_a_missing_kind_is_waited_for_and_delays_nothing():
    world, loop = a_world(), asyncio.get_running_loop()
    world.feed.fail("list", NotFoundError("404"))
    watch = world.list_watch()
    async with in_background(watch.run()):
        await asyncio.wait_for(world.missing.suspected.wait(), SOON)
        world.missing.update({DEVICES})
        await watch.wait_until_synced()
        waited = loop.time()
        world.feed.put("a")
        await settle(SOON)
        before = dict(world.cached)
        world.missing.update(())
        # It is back, and its objects are not all in the cache yet.
        await watch.wait_until_synced()

        world.assert_current()

    assert (waited, before) == (0.0, {})
    assert world.feed.calls.count("list") == 2


@in_virtual_time
async def test_the_objects_of_a_kind_that_was_deleted_are_removed():
    world = a_world("a", "b")
    async with world.running():
        world.feed.fail("watch", NotFoundError("404"))
        world.feed.compact()
        await settle()
        assert await world.missing.next_returned() == {DEVICES}
        world.missing.update({DEVICES})
        await settle(5)

        assert world.cached == {}

    assert world.observed[2:] == [("DELETED", "a"), ("DELETED", "b")]


@in_virtual_time
async def test_a_kind_that_was_away_for_a_moment_is_listed_again():
    world = a_world("a", "b")
    async with world.running() as watch:
        world.missing.update({DEVICES})
        await settle(20)
        away = dict(world.cached)
        world.missing.update(())
        await watch.wait_until_synced()

        world.assert_current()

    assert (away, world.feed.calls.count("list")) == ({}, 2)


@in_virtual_time
async def test_a_kind_that_may_have_been_replaced_is_synced_after_a_new_listing():
    world, loop = a_world("a", "b"), asyncio.get_running_loop()
    async with world.running() as watch:
        world.feed.fail("watch", NotFoundError("404"))
        world.feed.remove("a")
        world.feed.compact()
        world.feed.fail("list", UnavailableError("busy", retry_after=20.0))
        await asyncio.wait_for(world.missing.suspected.wait(), SOON)
        began = loop.time()
        await watch.wait_until_synced()

        world.assert_current()
        assert loop.time() - began > 20


@in_virtual_time
async def test_a_404_of_a_kind_that_is_served_removes_nothing():
    world = a_world("a", "b")
    async with world.running():
        world.feed.fail("watch", NotFoundError("404"))
        world.feed.fail("list", *[NotFoundError("404")] * 3)
        world.feed.compact()
        await settle(2.5)
        during = set(world.cached)
        await settle(SOON)

        world.assert_current()

    assert during == {("edge", "a"), ("edge", "b")}


def test_a_page_is_small_enough_to_be_held_whole():
    assert PAGE_SIZE <= 500
