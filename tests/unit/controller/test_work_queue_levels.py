"""The levels of the work queue: urgent keys first, in turns with routine ones, and workers free for the next change."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.controller.work_queue import MOST_PASSED_OVER, Level, most_routine
from tallystick.objects.ports import UnavailableError
from tests.virtual_time import in_virtual_time
from tests.worlds.work_queues import Worker, a_queue, running


@in_virtual_time
async def test_a_change_goes_before_ten_thousand_routine_looks():
    queue, worker = a_queue(), Worker()
    for number in range(10_000):
        queue.add(f"routine-{number}", Level.ROUTINE)
    queue.add("change")

    async with running(queue, worker):
        await queue.drain()

    assert worker.order == ["change", *(f"routine-{number}" for number in range(10_000))]


@in_virtual_time
async def test_a_routine_key_that_changes_moves_up_and_is_worked_on_once():
    queue, worker = a_queue(), Worker()
    for key in "abcd":
        queue.add(key, Level.ROUTINE)
    queue.add("c")
    queue.add("c", Level.ROUTINE)
    assert (queue.depth, queue.ready(Level.URGENT), queue.ready(Level.ROUTINE)) == (4, 1, 3)

    async with running(queue, worker, workers=1):
        await queue.drain()

    assert worker.order == ["c", "a", "b", "d"]


@in_virtual_time
async def test_a_key_that_moves_up_waits_behind_those_that_were_urgent_before():
    queue, worker = a_queue(), Worker()
    queue.add("a", Level.ROUTINE)
    queue.add("b")
    queue.add("a")

    async with running(queue, worker, workers=1):
        await queue.drain()

    assert worker.order == ["b", "a"]


@in_virtual_time
async def test_while_both_levels_wait_one_take_in_four_is_routine():
    queue, worker = a_queue(), Worker()
    for number in range(9):
        queue.add(f"urgent-{number}")
    for number in range(4):
        queue.add(f"routine-{number}", Level.ROUTINE)

    async with running(queue, worker, workers=1):
        await queue.drain()

    levels = "".join(key[0] for key in worker.order)
    assert levels == "uuur" * 3 + "r"
    assert MOST_PASSED_OVER == 3


@in_virtual_time
async def test_urgent_takes_while_no_routine_key_waited_do_not_count_against_the_next_change():
    queue, worker = a_queue(), Worker(seconds=1)
    for key in ("a", "b", "c", "d"):
        queue.add(key)
    async with running(queue, worker, workers=1):
        await queue.drain()
        queue.add("routine", Level.ROUTINE)
        queue.add("change")
        await queue.drain()

    assert worker.order[-2:] == ["change", "routine"]


@in_virtual_time
async def test_an_endless_storm_of_changes_starves_no_routine_key():
    queue = a_queue()
    begun: list[str] = []

    async def work(key: str) -> None:
        begun.append(key)
        if key.startswith("storm"):
            queue.add(key)  # it changes again while it is worked on
        await asyncio.sleep(0.1)

    for number in range(10):
        queue.add(f"storm-{number}")
        queue.add(f"routine-{number}", Level.ROUTINE)
    async with running(queue, work, workers=2):
        await asyncio.sleep(2.05)

    assert len(begun) == 42
    assert [begun.count(f"routine-{number}") for number in range(10)] == [1] * 10


@pytest.mark.parametrize(("workers", "most"), [(1, 1), (2, 1), (3, 1), (4, 2), (32, 16)])
@in_virtual_time
async def test_half_of_the_workers_at_most_and_one_at_least_work_on_routine_keys(workers, most):
    queue, worker = a_queue(), Worker(seconds=1)
    for number in range(100):
        queue.add(f"routine-{number}", Level.ROUTINE)
    async with running(queue, worker, workers=workers):
        await queue.drain()

    assert worker.most == most
    assert len(worker.begun) == 100


@in_virtual_time
async def test_a_change_begins_at_once_however_long_the_routine_work_is():
    queue, worker = a_queue(), Worker(seconds=60)
    for number in range(10):
        queue.add(f"routine-{number}", Level.ROUTINE)
    async with running(queue, worker, workers=4):
        await asyncio.sleep(1)
        queue.add("change")
        await asyncio.sleep(1)
        queue.add("routine-9")
        await queue.drain()

    assert (worker.times("change"), worker.times("routine-9")) == ([1.0], [2.0])


@in_virtual_time
async def test_routine_work_whose_key_changes_counts_as_routine_until_it_ends():
    queue, worker = a_queue(), Worker(seconds=10)
    for key in ("a", "b"):
        queue.add(key, Level.ROUTINE)
    async with running(queue, worker, workers=2):
        await asyncio.sleep(1)
        queue.add("a")
        await queue.drain()

    assert sorted(worker.begun) == [("a", 0.0), ("a", 10.0), ("b", 10.0)]


@in_virtual_time
async def test_routine_work_that_fails_or_is_cancelled_leaves_its_worker_to_the_next():
    queue, worker = a_queue(), Worker(seconds=1, a=[UnavailableError("busy", retry_after=60)])
    for key in "abcd":
        queue.add(key, Level.ROUTINE)
    async with running(queue, worker, workers=2):
        await asyncio.sleep(1.5)
    async with running(queue, worker, workers=2):
        await queue.drain()

    assert worker.begun == [("a", 0.0), ("b", 1.0), ("c", 1.5), ("d", 2.5)]


@in_virtual_time
async def test_changes_that_take_long_and_never_end_starve_no_routine_key():
    queue, begun = a_queue(), list[str]()

    async def work(key: str) -> None:
        begun.append(key)
        if key.startswith("storm"):
            queue.add(key)  # it changes again while it is worked on
            await asyncio.sleep(10)

    for number in range(20):
        queue.add(f"storm-{number}")
    for number in range(10):
        queue.add(f"routine-{number}", Level.ROUTINE)
    async with running(queue, work, workers=4):
        await asyncio.sleep(75)

    assert [begun.count(f"routine-{number}") for number in range(10)] == [1] * 10


# Each step: add a key on the level that its name says, and let some seconds pass.
FIXED = st.lists(st.tuples(st.sampled_from(Level), st.integers(0, 9), st.integers(0, 3)), max_size=60)


@given(steps=FIXED, seconds=st.integers(1, 5), workers=st.integers(1, 6))
@in_virtual_time
async def test_a_worker_is_free_only_while_no_key_may_begin(steps, seconds, workers):
    queue, under_way = a_queue(), list[str]()

    async def work(key: str) -> None:
        under_way.append(key)
        await asyncio.sleep(seconds)
        under_way.remove(key)

    async with running(queue, work, workers):
        for level, number, pause in steps:
            queue.add(f"{level}-{number}", level)
            await asyncio.sleep(pause + 0.5)  # work begins and ends at whole seconds
            routine = sum(key.startswith(Level.ROUTINE) for key in under_way)
            assert len(under_way) <= workers
            assert routine <= most_routine(workers)
            if len(under_way) < workers:
                assert queue.ready(Level.URGENT) == 0
                assert queue.ready(Level.ROUTINE) == 0 or routine == most_routine(workers)
            await asyncio.sleep(0.5)
        await queue.drain()


@in_virtual_time
async def test_each_level_reports_the_age_of_its_first_key():
    queue = a_queue()
    queue.add("a", Level.ROUTINE)
    await asyncio.sleep(3)
    queue.add("b")
    await asyncio.sleep(1)

    assert [queue.oldest_ready_age(level) for level in (Level.URGENT, Level.ROUTINE)] == [1.0, 4.0]
    queue.add("a")
    assert [queue.oldest_ready_age(level) for level in (Level.URGENT, Level.ROUTINE)] == [1.0, 0.0]
    assert queue.oldest_age() == 4.0


@in_virtual_time
async def test_work_that_awaits_nothing_leaves_the_loop_to_others_between_two_keys():
    """A thousand looks at objects at rest must not keep a watch event, or the Lease, waiting until the last."""
    queue = a_queue()
    begun: list[str] = []

    async def work(key: str) -> None:
        begun.append(key)

    async def change() -> None:
        for _ in range(10):  # as many turns of the loop as an event takes to come in
            await asyncio.sleep(0)
        queue.add("change")

    for number in range(1000):
        queue.add(f"routine-{number}", Level.ROUTINE)
    async with running(queue, work, workers=32):
        await change()
        await queue.drain()

    assert len(begun) == 1001
    assert begun.index("change") < 20


class Reference:
    """Two lists and one worker: the order in which a queue of one worker has to begin its work."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self._urgent: list[str] = []
        self._routine: list[str] = []
        self._now: str | None = None
        self._now_is_urgent = False
        self._again: bool | None = None  # whether the key in hand is wanted again, and urgently
        self._in_a_row = 0

    def add(self, key: str, level: Level) -> None:
        urgent = level is Level.URGENT
        if key == self._now:
            self._again = urgent or self._again or self._now_is_urgent
        elif urgent and key not in self._urgent:
            self._routine = [other for other in self._routine if other != key]
            self._urgent.append(key)
        elif not urgent and key not in [*self._urgent, *self._routine]:
            self._routine.append(key)
        self._begin()

    def finish(self) -> None:
        if self._now is not None and self._again is not None:
            (self._urgent if self._again else self._routine).append(self._now)
        self._now = self._again = None
        self._begin()

    def _begin(self) -> None:
        if self._now is not None or not (self._urgent or self._routine):
            return
        self._now_is_urgent = bool(self._urgent) and not (self._routine and self._in_a_row == MOST_PASSED_OVER)
        self._in_a_row = self._in_a_row + 1 if self._now_is_urgent and self._routine else 0
        self._now = (self._urgent if self._now_is_urgent else self._routine).pop(0)
        self.begun.append(self._now)


ADD = st.tuples(st.sampled_from("abcdefgh"), st.sampled_from(Level))


@given(steps=st.lists(st.one_of(ADD, st.none()), max_size=80))
@in_virtual_time
async def test_one_worker_takes_the_keys_in_the_order_of_two_plain_lists(steps):
    queue, reference = a_queue(), Reference()
    begun: list[str] = []
    may_end = asyncio.Semaphore(0)

    async def work(key: str) -> None:
        begun.append(key)
        await may_end.acquire()

    async with running(queue, work, workers=1) as task:
        for step in steps:
            if step:
                queue.add(*step)
                reference.add(*step)
            elif not queue.idle:
                may_end.release()
                reference.finish()
            await asyncio.sleep(0.001)
            assert begun == reference.begun
        for _ in range(len(steps) + 1):
            may_end.release()
            reference.finish()
        await queue.drain()
        await asyncio.sleep(1)
        assert not task.done()

    assert begun == reference.begun
