"""The work queue: each key at most once at a time, no key lost or starved, urgent keys first."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from itertools import pairwise

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from tallystick.controller.work_queue import MOST_PASSED_OVER, Level, WorkQueue
from tallystick.errors import NotYetError
from tallystick.objects.ports import ConflictError, UnavailableError
from tests.virtual_time import in_virtual_time


def a_queue(**options) -> WorkQueue[str]:
    return WorkQueue(jitter=lambda: 0.0, **options)


@asynccontextmanager
async def running(queue: WorkQueue[str], work: Callable[[str], Awaitable[None]], workers: int = 4):
    task = asyncio.create_task(queue.run(work, workers=workers))
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


class Worker:
    """Notes when each key was worked on; `scripts` holds what a key raises, call by call."""

    def __init__(self, seconds: float = 0.0, **scripts: list[Exception | None]) -> None:
        self.seconds = seconds
        self.scripts = scripts
        self.begun: list[tuple[str, float]] = []
        self.now = 0
        self.most = 0

    async def __call__(self, key: str) -> None:
        self.begun.append((key, asyncio.get_running_loop().time()))
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.now -= 1
        error = self.scripts[key].pop(0) if self.scripts.get(key) else None
        if error:
            raise error

    def times(self, key: str) -> list[float]:
        return [time for begun, time in self.begun if begun == key]


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
async def test_at_most_as_many_workers_as_configured_work_side_by_side():
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


@pytest.mark.parametrize(
    "retry_at", [pytest.param(1.0, id="while it is worked on"), pytest.param(3.0, id="afterwards")]
)
@in_virtual_time
async def test_news_of_a_key_do_not_shorten_the_wait_that_the_api_server_has_asked_for(retry_at):
    queue = a_queue()
    begun = []

    async def work(key: str) -> None:
        begun.append(asyncio.get_running_loop().time())
        await asyncio.sleep(2)
        if len(begun) == 1:
            raise UnavailableError("too many requests", retry_after=7)

    async with running(queue, work):
        queue.add("a")
        await asyncio.sleep(retry_at)
        queue.add("a")
        await asyncio.sleep(60)

    assert begun[:2] == pytest.approx([0, 9])


@in_virtual_time
async def test_news_of_a_key_that_has_failed_without_a_retry_after_are_worked_on_at_once():
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

    assert {key for key, _ in worker.begun} == {"bad", "b", "c"}


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

    reported = {line["key"]: line for line in lines}
    assert reported["a"]["text"] == "the object has been modified"
    assert reported["b"]["error"] == "ValueError"
    assert "test_work_queue.py" in str(reported["b"]["raised_at"])
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

    assert [key for key, _ in worker.begun] == ["a", "b"]
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

    assert [key for key, _ in worker.begun] == ["a", "b"]
    assert worker.now == 0


@in_virtual_time
async def test_depth_and_age_are_those_of_the_keys_that_wait():
    queue = a_queue()
    assert (queue.depth, queue.oldest_age(), queue.idle) == (0, 0.0, True)

    queue.add("a")
    await asyncio.sleep(3)
    queue.add("b")

    assert (queue.depth, queue.oldest_age(), queue.idle) == (2, 3.0, False)


# Levels ---------------------------------------------------------------------------------------------------------------


def an_order_of(worker: Worker) -> list[str]:
    return [key for key, _ in worker.begun]


@in_virtual_time
async def test_a_change_goes_before_ten_thousand_routine_looks():
    queue, worker = a_queue(), Worker()
    for number in range(10_000):
        queue.add(f"routine-{number}", Level.ROUTINE)
    queue.add("change")

    async with running(queue, worker):
        await queue.drain()

    assert an_order_of(worker) == ["change", *(f"routine-{number}" for number in range(10_000))]


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

    assert an_order_of(worker) == ["c", "a", "b", "d"]


@in_virtual_time
async def test_a_key_that_moves_up_waits_behind_those_that_were_urgent_before():
    queue, worker = a_queue(), Worker()
    queue.add("a", Level.ROUTINE)
    queue.add("b")
    queue.add("a")

    async with running(queue, worker, workers=1):
        await queue.drain()

    assert an_order_of(worker) == ["b", "a"]


@in_virtual_time
async def test_while_both_levels_wait_one_take_in_four_is_routine():
    queue, worker = a_queue(), Worker()
    for number in range(9):
        queue.add(f"urgent-{number}")
    for number in range(4):
        queue.add(f"routine-{number}", Level.ROUTINE)

    async with running(queue, worker, workers=1):
        await queue.drain()

    levels = "".join(key[0] for key in an_order_of(worker))
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

    assert an_order_of(worker)[-2:] == ["change", "routine"]


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


@pytest.mark.parametrize(
    ("level", "order"),
    [
        pytest.param(Level.URGENT, ["again", "other"], id="urgent"),
        pytest.param(Level.ROUTINE, ["other", "again"], id="routine"),
    ],
)
@pytest.mark.parametrize("how", ["failure", "retry", "delay", "Retry-After"])
@in_virtual_time
async def test_a_key_that_comes_back_has_the_level_that_it_had(how, level, order):
    queue = a_queue()
    begun: list[str] = []

    async def work(key: str) -> None:
        begun.append(key)
        if key == "blocker":
            await asyncio.sleep(10)
        elif begun == ["again"]:
            come_back(key)

    def come_back(key: str) -> None:
        match how:
            case "failure":
                raise ConflictError("changed")
            case "Retry-After":
                raise UnavailableError("busy", retry_after=1)
            case "retry":
                queue.retry(key)
            case "delay":
                queue.add_after(key, 1)

    async with running(queue, work, workers=1):
        queue.add("again", level)
        await queue.drain()
        queue.add("blocker")
        await asyncio.sleep(0.1)
        queue.add("other", Level.ROUTINE)
        # "again" comes due while the only worker is busy and "other" waits already.
        await asyncio.sleep(5)
        await queue.drain()

    assert begun == ["again", "blocker", *order]


@in_virtual_time
async def test_a_routine_key_that_failed_and_then_changes_moves_up():
    queue, worker = a_queue(), Worker(seconds=1, failed=[ConflictError("changed")])
    async with running(queue, worker, workers=1):
        queue.add("failed", Level.ROUTINE)
        await asyncio.sleep(1.1)
        queue.add("blocker")
        queue.add("other", Level.ROUTINE)
        await asyncio.sleep(0.1)
        queue.add("failed")
        await queue.drain()

    assert an_order_of(worker)[:4] == ["failed", "blocker", "failed", "other"]


@in_virtual_time
async def test_a_key_at_rest_forgets_its_level():
    queue, worker = a_queue(), Worker()
    async with running(queue, worker, workers=1):
        queue.add("a")
        queue.add("b", Level.ROUTINE)
        await queue.drain()
    queue.add("a", Level.ROUTINE)
    queue.add("b")

    assert (queue.ready(Level.URGENT), queue.ready(Level.ROUTINE)) == (1, 1)
    async with running(queue, worker, workers=1):
        await queue.drain()
    assert an_order_of(worker) == ["a", "b", "b", "a"]


@in_virtual_time
async def test_what_is_left_of_a_key_at_rest_gives_it_no_level():
    queue, worker = a_queue(), Worker(seconds=5)
    async with running(queue, worker, workers=1):
        queue.add("rested", Level.ROUTINE)
        await queue.drain()
        queue.add("blocker")
        queue.add_after("rested", 1)
        await asyncio.sleep(2)

        assert (queue.ready(Level.URGENT), queue.ready(Level.ROUTINE)) == (1, 0)


@in_virtual_time
async def test_what_is_left_of_a_plan_that_ended_with_its_run_gives_no_level():
    queue, worker = a_queue(), Worker()
    async with running(queue, worker):
        queue.add("planned", Level.ROUTINE)
        queue.add_after("planned", 60)
        await queue.drain()
    queue.add_after("planned", 1)
    await asyncio.sleep(2)

    assert (queue.ready(Level.URGENT), queue.ready(Level.ROUTINE)) == (1, 0)


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
