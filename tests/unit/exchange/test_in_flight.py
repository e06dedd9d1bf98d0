"""The work of a request goes on when its client stops waiting, or closes the connection."""

import asyncio

import pytest
import structlog

from tallystick.errors import NotYetError
from tallystick.exchange.in_flight import InFlight
from tests.virtual_time import in_virtual_time


@in_virtual_time
async def test_a_caller_waits_only_so_long_and_the_work_goes_on():
    in_flight, done = InFlight(patience=8), []

    async def work() -> None:
        await asyncio.sleep(20)
        done.append(asyncio.get_running_loop().time())

    with pytest.raises(NotYetError):
        await in_flight.result_of(work())
    waited = asyncio.get_running_loop().time()
    await in_flight.drain(60)

    assert (waited, done) == (8, [20])


@in_virtual_time
async def test_a_caller_that_goes_away_does_not_end_the_work():
    in_flight, done = InFlight(), []

    async def work() -> None:
        await asyncio.sleep(3)
        done.append("consumed and recorded")

    caller = asyncio.create_task(in_flight.result_of(work()))
    await asyncio.sleep(1)
    caller.cancel()
    await asyncio.wait({caller})
    await in_flight.drain(60)

    assert (caller.cancelled(), done) == (True, ["consumed and recorded"])


@in_virtual_time
async def test_an_error_reaches_the_caller_as_it_is():
    async def work() -> None:
        raise NotYetError("clock_unsafe", "the clocks differ")

    with pytest.raises(NotYetError, match="the clocks differ"):
        await InFlight().result_of(work())


@in_virtual_time
async def test_an_error_of_work_whose_request_has_ended_is_logged():
    in_flight = InFlight(patience=1)

    async def work() -> None:
        await asyncio.sleep(2)
        raise NotYetError("temporarily_unavailable", "no answer")

    with structlog.testing.capture_logs() as lines:
        with pytest.raises(NotYetError, match="takes too long"):
            await in_flight.result_of(work())
        await in_flight.drain(60)

    assert [(line["event"], line["error"]) for line in lines] == [("work ended after its request", "NotYetError")]


@in_virtual_time
async def test_draining_ends_when_its_time_is_over():
    in_flight = InFlight(patience=1)

    with pytest.raises(NotYetError):
        await in_flight.result_of(asyncio.sleep(100))
    await in_flight.drain(5)

    assert asyncio.get_running_loop().time() == 6
