"""A list and watch whose requests fail, or whose kind is not served, goes on as soon as it can."""

import asyncio
import itertools

import pytest
from structlog.testing import capture_logs

from tallystick.controller.list_watch import LONGEST_PAUSE, PAGE_SIZE
from tallystick.controller.relist import NotSyncedError
from tallystick.fleet.api.device import DEVICES
from tallystick.objects.ports import NotFoundError, RefusedError, UnavailableError
from tests.virtual_time import in_background, in_virtual_time
from tests.worlds.list_watches import SOON, a_world, settle

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
