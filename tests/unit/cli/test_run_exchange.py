"""What the exchange's process does when it cannot go on: it ends, so that a fresh one begins."""

import asyncio

import pytest

from tallystick.cli import run_exchange
from tallystick.cli.run_exchange import _ExchangeProcess, keep_keyring
from tallystick.crypto.keyring import KeyringError
from tallystick.errors import InvalidSettingError
from tallystick.objects.ports import NotFoundError


class Broken:
    """A keyring that cannot be read."""

    was_read = False

    def __init__(self, error: Exception, stop: asyncio.Event | None = None) -> None:
        self._error = error
        self._stop = stop
        self.reads = 0

    async def refresh(self) -> None:
        self.reads += 1
        if self._stop is not None and self.reads > 1:
            self._stop.set()
        raise self._error


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(InvalidSettingError("another issuer"), id="a keyring of another issuer"),
        pytest.param(RuntimeError("a bug"), id="a bug"),
    ],
)
async def test_a_keyring_that_can_never_be_read_ends_the_process(error):
    stop = asyncio.Event()
    process = _ExchangeProcess(stop)

    await asyncio.wait_for(process.keep(lambda: keep_keyring(Broken(error))), 5)

    assert (stop.is_set(), process.exit_status) == (True, 1)


@pytest.mark.parametrize(
    ("error", "was_read"),
    [
        pytest.param(KeyringError("damaged"), False, id="damaged from the start"),
        pytest.param(KeyringError("damaged"), True, id="damaged"),
        pytest.param(NotFoundError("gone"), True, id="deleted"),
        pytest.param(InvalidSettingError("another issuer"), True, id="replaced by that of another issuer"),
    ],
)
async def test_a_keyring_that_can_be_restored_is_read_again(error, was_read, monkeypatch):
    monkeypatch.setattr(run_exchange, "REFRESH_SECONDS", 0.0)
    monkeypatch.setattr(run_exchange, "FIRST_REFRESH_SECONDS", 0.0)
    stop, read_again = asyncio.Event(), asyncio.Event()
    process, broken = _ExchangeProcess(stop), Broken(error, read_again)
    broken.was_read = was_read

    process.start(lambda: keep_keyring(broken))
    await asyncio.wait_for(read_again.wait(), 5)
    process.cancel()
    await asyncio.wait(process._tasks, timeout=5)

    assert (stop.is_set(), process.exit_status) == (False, 0)


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
