"""The life of a process: however a part ends, and in whatever state a signal arrives, the process ends."""

import asyncio
import os
import resource
import signal
import threading
from contextlib import suppress

import pytest
from structlog.testing import capture_logs

from tallystick.cli.lifetime import Deadline, Lifetime, run_process
from tallystick.controller.relist import NotSyncedError
from tallystick.crypto.keyring import KeyringError
from tallystick.errors import InvalidSettingError
from tallystick.objects.ports import UnavailableError


async def returned() -> None:
    await asyncio.sleep(0)


async def canceled() -> None:
    raise asyncio.CancelledError


def raising(error: Exception):
    async def work() -> None:
        await asyncio.sleep(0)
        raise error

    return work


@pytest.mark.parametrize(
    ("work", "logged"),
    [
        pytest.param(returned, {"event": "stopped", "reason": "the part has returned"}, id="it returns"),
        pytest.param(canceled, {"event": "stopped", "reason": "the part was canceled"}, id="another cancels it"),
        pytest.param(raising(KeyringError("damaged")), {"event": "stopped", "reason": "damaged"}, id="a lost keyring"),
        pytest.param(raising(InvalidSettingError("no")), {"event": "stopped", "reason": "no"}, id="a setting"),
        pytest.param(raising(UnavailableError("away")), {"event": "stopped", "reason": "away"}, id="the API server"),
        pytest.param(raising(NotSyncedError("slow")), {"event": "stopped", "reason": "slow"}, id="a watch"),
        pytest.param(
            raising(ExceptionGroup("two", [KeyringError("damaged"), NotSyncedError("slow")])),
            {"event": "stopped", "reason": "damaged; slow"},
            id="several at once",
        ),
        pytest.param(
            raising(ValueError("a bug")),
            {"event": "stopped by an unexpected error", "errors": ["ValueError"]},
            id="a bug",
        ),
    ],
)
async def test_a_part_that_ends_stops_the_process_with_status_1_and_one_line(work, logged):
    life = Lifetime()

    with capture_logs() as lines, life.until_stopped():
        life.start("the part", work)
        async with asyncio.timeout(5):
            await life.stopping.wait()
        await life.cancel_parts()

    (line,) = lines
    assert life.exit_status == 1
    expected = {**logged, "part": "the part", "log_level": "error"}
    assert {name: line[name] for name in expected} == expected


async def test_parts_that_end_because_the_process_stops_are_no_failure():
    life = Lifetime()

    with capture_logs() as lines, life.until_stopped():
        life.start("the endless part", asyncio.Event().wait)
        life.start("the part that follows", life.stopping.wait)
        life.stop()
        await life.cancel_parts()

    assert (life.exit_status, lines) == (0, [])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_the_process_with_status_0(number):
    life = Lifetime()

    with life.until_stopped():
        os.kill(os.getpid(), number)
        async with asyncio.timeout(5):
            await life.stopping.wait()

    assert life.exit_status == 0


async def test_a_signal_stops_the_process_although_a_library_has_taken_it():
    life, taken = Lifetime(), asyncio.Event()

    with life.until_stopped():
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, taken.set)
        life.take_signals()
        os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(5):
            await life.stopping.wait()

    assert not taken.is_set()


async def test_the_handlers_of_before_are_back_at_the_end():
    before = signal.getsignal(signal.SIGTERM)

    with Lifetime().until_stopped():
        assert signal.getsignal(signal.SIGTERM) is not before

    assert signal.getsignal(signal.SIGTERM) is before


async def test_a_signal_ends_a_process_whose_event_loop_is_blocked():
    forced: list[int] = []
    ended = threading.Event()

    def end(status: int) -> None:
        forced.append(status)
        ended.set()

    life = Lifetime(Deadline(0.05, end))
    with life.until_stopped():
        os.kill(os.getpid(), signal.SIGTERM)
        # No task of the loop runs here. The handler of the signal runs, and the thread of the deadline.
        assert ended.wait(10)

    assert forced == [1]


async def test_a_part_that_does_not_end_keeps_no_process():
    begun, forced = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    statuses: list[int] = []

    def end(status: int) -> None:
        statuses.append(status)
        loop.call_soon_threadsafe(forced.set)

    async def stubborn() -> None:
        begun.set()
        while not forced.is_set():
            with suppress(asyncio.CancelledError):
                await forced.wait()

    life = Lifetime(Deadline(0.05, end))
    with capture_logs() as lines, life.until_stopped():
        life.start("the stubborn part", stubborn)
        await begun.wait()
        life.stop()
        await life.cancel_parts()

    assert statuses == [1]
    assert [line["event"] for line in lines] == ["ended by force"]


async def test_a_process_that_ends_in_time_is_not_ended_by_force():
    forced: list[int] = []
    deadline = Deadline(60.0, forced.append)
    life = Lifetime(deadline)

    with life.until_stopped():
        life.stop()
    assert deadline._timer is not None
    deadline._timer.join(10)

    assert (deadline._timer.is_alive(), forced) == (False, [])


async def test_a_process_that_has_ended_is_not_ended_once_more():
    forced: list[int] = []
    deadline = Deadline(0.0, forced.append)
    life = Lifetime(deadline)

    with life.until_stopped():
        pass
    life.stop()

    assert (deadline._timer, forced) == (None, [])


def test_the_exit_status_is_that_of_the_process():
    async def process() -> int:
        return 1

    assert run_process(process()) == 1


def test_a_process_leaves_no_core_dump_because_keys_are_in_its_memory() -> None:
    async def limits() -> int:
        soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
        return soft + hard

    assert run_process(limits()) == 0
