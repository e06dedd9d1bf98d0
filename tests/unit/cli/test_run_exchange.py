"""What the exchange's process does when it cannot go on: it ends, so that a fresh one begins."""

import asyncio

import pytest

from tallystick.cli.run_exchange import _ExchangeProcess
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
    process = _ExchangeProcess(Broken(error), stop)

    await asyncio.wait_for(process.keep_keyring(), 5)

    assert (stop.is_set(), process.exit_status) == (True, 1)
