"""Work outlives the patience of who asked for it, and the asker's connection."""

import asyncio

import pytest

from tallystick.errors import NotYetError
from tallystick.exchange.finishing import Finishing
from tests.virtual_time import in_virtual_time


@in_virtual_time
async def test_a_caller_waits_only_so_long_and_the_work_goes_on():
    finishing, done = Finishing(patience=8), []

    async def work() -> None:
        await asyncio.sleep(20)
        done.append(asyncio.get_running_loop().time())

    with pytest.raises(NotYetError):
        await finishing.result_of(work())
    waited = asyncio.get_running_loop().time()
    await finishing.drain(60)

    assert (waited, done) == (8, [20])


@in_virtual_time
async def test_a_caller_that_goes_away_does_not_end_the_work():
    finishing, done = Finishing(), []

    async def work() -> None:
        await asyncio.sleep(3)
        done.append("spent and recorded")

    caller = asyncio.create_task(finishing.result_of(work()))
    await asyncio.sleep(1)
    caller.cancel()
    await asyncio.wait({caller})
    await finishing.drain(60)

    assert (caller.cancelled(), done) == (True, ["spent and recorded"])


@in_virtual_time
async def test_an_error_reaches_the_caller_as_it_is():
    async def work() -> None:
        raise NotYetError("clock_unsafe", "the clocks differ")

    with pytest.raises(NotYetError, match="the clocks differ"):
        await Finishing().result_of(work())


@in_virtual_time
async def test_an_error_for_which_nobody_waits_any_more_is_taken_note_of():
    finishing = Finishing(patience=1)

    async def work() -> None:
        await asyncio.sleep(2)
        raise NotYetError("temporarily_unavailable", "no answer")

    with pytest.raises(NotYetError, match="takes too long"):
        await finishing.result_of(work())
    await finishing.drain(60)


@in_virtual_time
async def test_draining_ends_when_its_time_is_over():
    finishing = Finishing(patience=1)

    with pytest.raises(NotYetError):
        await finishing.result_of(asyncio.sleep(100))
    await finishing.drain(5)

    assert asyncio.get_running_loop().time() == 6
