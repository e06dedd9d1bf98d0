"""Parts that must not end: however one of them ends, all of them do, and its name or its error is in the outcome."""

import asyncio

import pytest

from tallystick.runtime.parts import CANCEL_SECONDS, PartEndedError, run_together
from tests.virtual_time import in_virtual_time


class Part:
    """A part that can be ended in each way."""

    def __init__(self) -> None:
        self.begun, self.ended = asyncio.Event(), False
        self._end: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.task: asyncio.Task[object] | None = None

    async def run(self) -> None:
        self.task = asyncio.current_task()
        self.begun.set()
        try:
            await self._end
        finally:
            self.ended = True

    def give_back(self) -> None:
        self._end.set_result(None)

    def fail(self, error: BaseException) -> None:
        self._end.set_exception(error)

    def be_canceled(self) -> None:
        assert self.task is not None
        self.task.cancel()


@pytest.mark.parametrize(
    ("end", "text"),
    [
        pytest.param(lambda part: part.give_back(), "the first has returned", id="returned"),
        pytest.param(lambda part: part.be_canceled(), "the first was canceled", id="canceled by another"),
        pytest.param(lambda part: part.fail(ValueError("a bug")), "a bug", id="raised"),
    ],
)
@in_virtual_time
async def test_the_end_of_one_part_is_the_end_of_all(end, text):
    first, second = Part(), Part()
    both = asyncio.create_task(run_together({"the first": first.run, "the second": second.run}))
    await first.begun.wait()
    await second.begun.wait()

    end(first)

    with pytest.raises((PartEndedError, ValueError), match=text):
        await both
    assert second.ended


@in_virtual_time
async def test_errors_at_once_are_all_reported():
    first, second = Part(), Part()
    both = asyncio.create_task(run_together({"the first": first.run, "the second": second.run}))
    await first.begun.wait()
    await second.begun.wait()

    first.fail(ValueError("one"))
    second.fail(KeyError("two"))

    with pytest.raises(ExceptionGroup) as raised:
        await both
    assert {type(error) for error in raised.value.exceptions} == {ValueError, KeyError}


@in_virtual_time
async def test_a_cancellation_from_outside_cancels_all_parts():
    first, second = Part(), Part()
    both = asyncio.create_task(run_together({"the first": first.run, "the second": second.run}))
    await first.begun.wait()
    await second.begun.wait()

    both.cancel()

    with pytest.raises(asyncio.CancelledError):
        await both
    assert (first.ended, second.ended) == (True, True)


@in_virtual_time
async def test_a_part_that_ignores_its_cancellation_holds_nothing_up():
    released = asyncio.Event()

    async def stubborn() -> None:
        while not released.is_set():
            try:
                await released.wait()
            except asyncio.CancelledError:
                continue

    ending = Part()
    ending.give_back()
    began = asyncio.get_running_loop().time()

    with pytest.raises(PartEndedError, match="the ending one has returned"):
        await run_together({"the stubborn one": stubborn, "the ending one": ending.run})

    assert asyncio.get_running_loop().time() - began == pytest.approx(CANCEL_SECONDS)
    released.set()
