"""What the exchange's process does when it cannot go on: it ends, so that a fresh one begins."""

import asyncio

import pytest

from tallystick.cli.run_exchange import _ExchangeProcess, keep_keyring
from tallystick.crypto.keyring import KeyringError
from tallystick.errors import InvalidSettingError


class Broken:
    """A keyring that cannot be read."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def refresh(self) -> None:
        raise self._error


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(KeyringError("damaged"), id="a keyring that was damaged"),
        pytest.param(InvalidSettingError("another issuer"), id="a keyring of another issuer"),
        pytest.param(RuntimeError("a bug"), id="a bug"),
    ],
)
async def test_a_keyring_that_can_never_be_read_ends_the_process(error):
    stop = asyncio.Event()
    process = _ExchangeProcess(stop)

    await asyncio.wait_for(process.keep(lambda: keep_keyring(Broken(error))), 5)

    assert (stop.is_set(), process.exit_status) == (True, 1)


async def test_a_background_task_that_returns_ends_the_process():
    stop = asyncio.Event()
    process = _ExchangeProcess(stop)

    process.start(lambda: asyncio.sleep(0))

    await asyncio.wait_for(stop.wait(), 5)
    assert process.exit_status == 1


async def test_a_background_task_that_is_cancelled_at_the_end_leaves_the_exit_status():
    stop, begun = asyncio.Event(), asyncio.Event()
    process = _ExchangeProcess(stop)

    async def work() -> None:
        begun.set()
        await asyncio.Event().wait()

    process.start(work)
    await asyncio.wait_for(begun.wait(), 5)
    process.cancel()
    await asyncio.wait(process._tasks, timeout=5)

    assert (stop.is_set(), process.exit_status) == (False, 0)
