"""The level of a key that comes back to the work queue: after a failure, a delay, a change, or a rest."""

import asyncio

import pytest

from tallystick.controller.work_queue import Level
from tallystick.objects.ports import ConflictError, UnavailableError
from tests.virtual_time import in_virtual_time
from tests.worlds.work_queues import Worker, a_queue, running


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

    assert worker.order[:4] == ["failed", "blocker", "failed", "other"]


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
    assert worker.order == ["a", "b", "b", "a"]


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
