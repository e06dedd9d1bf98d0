"""The list and watch of a kind with many objects: whatever goes wrong, the cache has all objects in the end, no other.

Each fault is made at a page, at the begin of a watch, or in the middle of its events.
"""

from tallystick.fleet.api.device import DEVICES
from tallystick.objects.labels import SECRET_SELECTOR
from tallystick.objects.ports import ExpiredError, RefusedError, WatchEvent
from tallystick.schema.builtin import SECRETS
from tests.fakes import FakeFeed
from tests.virtual_time import in_virtual_time
from tests.worlds.list_watches import SOON, a_world, settle

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
async def test_a_secret_that_this_process_creates_again_while_they_are_listed_is_kept():
    world = a_world("a", "b", "c", resource=SECRETS, feed=FakeFeed(of_secrets=True))

    def create_again() -> None:
        world.cache.remember(SECRETS, world.feed.put("a"))

    async with world.running():
        world.feed.remove("a")
        world.feed.compact()
        world.feed.put("d")
        world.feed.fail("rest", create_again)
        await settle(SOON)

        world.assert_current()

    assert ("DELETED", "a") not in world.observed


# Our Secrets.


@in_virtual_time
async def test_every_request_selects_our_secrets():
    world = a_world("a", "b", "c", resource=SECRETS, feed=FakeFeed(of_secrets=True))
    async with world.running(label_selector=SECRET_SELECTOR):
        world.feed.put("d")
        await settle()

        world.assert_current()

    assert (world.feed.calls, world.feed.selectors) == (["list", "rest", "watch"], [SECRET_SELECTOR] * 3)


@in_virtual_time
async def test_a_secret_that_was_deleted_while_the_watch_was_down_is_reported():
    world = a_world("a", "b", resource=SECRETS, feed=FakeFeed(of_secrets=True))
    async with world.running():
        world.feed.remove("a")
        world.feed.put("c")
        world.feed.compact()
        await settle(SOON)

        world.assert_current()

    assert world.observed[-1] == ("DELETED", "a")


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
