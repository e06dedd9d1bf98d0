"""The work queue: each key at most once at a time, no key lost, failures retried. Levels: test_work_queue_levels."""

import asyncio
from itertools import pairwise

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from tallystick.controller.work_queue import Level, WorkQueue
from tallystick.errors import NotYetError
from tallystick.objects.ports import ConflictError, UnavailableError
from tests.virtual_time import in_virtual_time
from tests.worlds.work_queues import Worker, a_queue, running


@in_virtual_time
async def test_a_key_that_is_added_many_times_is_worked_on_once():
    queue, worker = a_queue(), Worker()
    for _ in range(10):
        queue.add("a")

    async with running(queue, worker):
        await queue.drain()

    assert worker.times("a") == [0.0]


@in_virtual_time
async def test_a_key_that_is_added_during_its_work_is_worked_on_once_more():
    queue, worker = a_queue(), Worker(seconds=5)
    async with running(queue, worker):
        queue.add("a")
        await asyncio.sleep(1)
        for _ in range(3):
            queue.add("a")
        await queue.drain()

    assert worker.times("a") == [0.0, 5.0]


@in_virtual_time
async def test_workers_work_side_by_side_and_at_most_all_of_them():
    queue, worker = a_queue(), Worker(seconds=1)
    for key in "abcdef":
        queue.add(key)

    async with running(queue, worker, workers=3):
        await queue.drain()

    assert worker.most == 3
    assert asyncio.get_running_loop().time() == pytest.approx(2.0)


@in_virtual_time
async def test_of_several_wishes_for_later_the_earliest_stays():
    queue, worker = a_queue(), Worker()
    async with running(queue, worker):
        queue.add_after("a", 60)
        queue.add_after("a", 5)
        queue.add_after("a", 30)
        await asyncio.sleep(120)

    assert worker.times("a") == [pytest.approx(5.0)]


@in_virtual_time
async def test_work_that_fails_is_tried_again_with_growing_delays_up_to_the_longest():
    queue = a_queue()
    worker = Worker(a=[ConflictError("changed")] * 12)
    async with running(queue, worker):
        queue.add("a")
        await asyncio.sleep(600)

    times = worker.times("a")
    delays = [later - earlier for earlier, later in pairwise(times)]
    assert delays == pytest.approx([0.25, 0.5, 1, 2, 4, 8, 16, 30, 30, 30, 30, 30])


@in_virtual_time
async def test_jitter_at_its_most_doubles_a_delay_and_never_exceeds_the_longest():
    queue, worker = WorkQueue(jitter=lambda: 0.999), Worker(a=[ConflictError("changed")] * 9)
    async with running(queue, worker):
        queue.add("a")
        await asyncio.sleep(600)

    times = worker.times("a")
    assert times[1] == pytest.approx(0.49975)
    assert 59 < times[9] - times[8] < 60


@in_virtual_time
async def test_success_resets_the_backoff():
    queue = a_queue()
    worker = Worker(a=[ConflictError("1"), ConflictError("2"), ConflictError("3"), None, ConflictError("4")])
    async with running(queue, worker):
        queue.add("a")
        await asyncio.sleep(10)
        queue.add("a")
        await asyncio.sleep(10)

    assert worker.times("a")[-2:] == pytest.approx([10.0, 10.25])


@in_virtual_time
async def test_work_may_ask_for_its_own_retry_and_return_and_its_backoff_grows_on():
    queue = a_queue()
    begun = []

    async def work(key: str) -> None:
        begun.append(asyncio.get_running_loop().time())
        if len(begun) < 4:
            queue.retry(key)

    async with running(queue, work):
        queue.add("a")
        await asyncio.sleep(60)

    assert begun == pytest.approx([0, 0.25, 0.75, 1.75])


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(UnavailableError("busy", retry_after=7), id="the API server says when"),
        pytest.param(NotYetError("KeyringMissing", "the keyring is not there yet", retry_after=7), id="we say when"),
    ],
)
@in_virtual_time
async def test_a_retry_waits_as_long_as_the_error_says(error):
    queue, worker = a_queue(), Worker(a=[error])
    async with running(queue, worker):
        queue.add("a")
        await asyncio.sleep(60)

    assert worker.times("a") == pytest.approx([0, 7])


@pytest.mark.parametrize("told_at", [pytest.param(1.0, id="while it is worked on"), pytest.param(3.0, id="afterwards")])
@in_virtual_time
async def test_news_of_a_key_do_not_shorten_the_wait_that_the_api_server_has_asked_for(told_at):
    queue = a_queue()
    begun = []

    async def work(key: str) -> None:
        begun.append(asyncio.get_running_loop().time())
        await asyncio.sleep(2)
        if len(begun) == 1:
            raise UnavailableError("too many requests", retry_after=7)

    async with running(queue, work):
        queue.add("a")
        await asyncio.sleep(told_at)
        queue.add("a")
        await asyncio.sleep(60)

    assert begun[:2] == pytest.approx([0, 9])


@in_virtual_time
async def test_a_change_of_a_key_whose_work_has_failed_is_worked_on_at_once():
    queue, worker = a_queue(), Worker(a=[ValueError("boom")] * 8)
    async with running(queue, worker):
        queue.add("a")
        await asyncio.sleep(20)
        before = len(worker.times("a"))
        queue.add("a")
        await asyncio.sleep(0)
        await asyncio.sleep(0.01)

    assert len(worker.times("a")) == before + 1


@in_virtual_time
async def test_one_failing_key_does_not_keep_the_others_from_their_work():
    queue = a_queue()
    worker = Worker(bad=[ValueError("boom")] * 100)
    async with running(queue, worker, workers=1):
        for key in ("bad", "b", "c"):
            queue.add(key)
        await asyncio.sleep(1)

    assert set(worker.order) == {"bad", "b", "c"}


@in_virtual_time
async def test_work_whose_inner_task_was_cancelled_is_retried_and_its_worker_lives_on():
    queue = a_queue()
    begun = []

    async def work(key: str) -> None:
        begun.append(key)
        if len(begun) == 1:
            inner = asyncio.ensure_future(asyncio.sleep(60))
            inner.cancel()
            await inner

    async with running(queue, work, workers=1):
        queue.add("a")
        await asyncio.sleep(1)

    assert begun == ["a", "a"]


@in_virtual_time
async def test_the_log_has_the_text_of_a_cluster_error_and_of_no_unknown_error():
    queue = a_queue()
    worker = Worker(a=[ConflictError("the object has been modified")], b=[ValueError("the key is hunter2")])
    with structlog.testing.capture_logs() as lines:
        async with running(queue, worker):
            queue.add("a")
            queue.add("b")
            await asyncio.sleep(1)

    told = {line["key"]: line for line in lines}
    assert told["a"]["text"] == "the object has been modified"
    assert told["b"]["error"] == "ValueError"
    assert "work_queues.py" in str(told["b"]["raised_at"])
    assert "hunter2" not in str(lines)


@in_virtual_time
async def test_stop_lets_the_work_in_hand_end_and_begins_no_more():
    queue, worker = a_queue(), Worker(seconds=5)
    task = asyncio.create_task(queue.run(worker, workers=2))
    for key in "abcd":
        queue.add(key)
    queue.add_after("e", 60)
    await asyncio.sleep(2)

    queue.stop()
    await task

    assert worker.order == ["a", "b"]
    assert asyncio.get_running_loop().time() == pytest.approx(5.0)
    assert (queue.depth, queue.delayed) == (2, 0)


@in_virtual_time
async def test_a_queue_that_is_stopped_before_its_run_began_begins_nothing():
    queue, worker = a_queue(), Worker()
    queue.add("a")
    task = asyncio.create_task(queue.run(worker))

    queue.stop()
    await task

    assert worker.begun == []


@in_virtual_time
async def test_keys_that_waited_when_a_run_was_cancelled_are_worked_on_in_the_next():
    queue, worker = a_queue(), Worker(seconds=5)
    async with running(queue, worker, workers=1):
        queue.add("a")
        queue.add("b")
        await asyncio.sleep(1)

    async with running(queue, worker, workers=1):
        await queue.drain()

    assert worker.order == ["a", "b"]
    assert worker.now == 0


@in_virtual_time
async def test_depth_and_age_are_those_of_the_keys_that_wait():
    queue = a_queue()
    assert (queue.depth, queue.oldest_age(), queue.idle) == (0, 0.0, True)

    queue.add("a")
    await asyncio.sleep(3)
    queue.add("b")

    assert (queue.depth, queue.oldest_age(), queue.idle) == (2, 3.0, False)


# Each step: wait so many tenths of a second, then add one of three keys, on a level or later.
DELAYS = st.sampled_from([Level.URGENT, Level.ROUTINE, 3, 11])
STEPS = st.lists(st.tuples(st.integers(0, 15), st.sampled_from("abc"), DELAYS), max_size=25)


@given(steps=STEPS, seconds=st.integers(0, 12), workers=st.integers(1, 3), fail_every=st.integers(2, 5))
@in_virtual_time
async def test_no_key_is_ever_worked_on_twice_at_once_and_no_add_is_lost(steps, seconds, workers, fail_every):
    queue = a_queue()
    loop = asyncio.get_running_loop()
    wanted: dict[str, float] = {}
    finished: dict[str, float] = {}
    active: set[str] = set()
    count = 0

    async def work(key: str) -> None:
        nonlocal count
        assert key not in active
        active.add(key)
        began = loop.time()
        await asyncio.sleep(seconds / 10)
        active.discard(key)
        count += 1
        if count % fail_every == 0:
            raise ConflictError("changed")
        finished[key] = began

    async with running(queue, work, workers) as task:
        for pause, key, how in steps:
            await asyncio.sleep(pause / 10)
            queue.add(key, how) if isinstance(how, Level) else queue.add_after(key, how / 10)
            wanted[key] = loop.time()
        await asyncio.sleep(600)
        assert not task.done()

    # Work that began no earlier than the last wish has seen all that was wished for.
    assert all(finished[key] >= time for key, time in wanted.items())
    assert (queue.depth, queue.delayed, queue.idle) == (0, 0, True)
