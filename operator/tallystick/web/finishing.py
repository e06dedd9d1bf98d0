"""Let a caller wait only so long, and let the work behind it finish all the same.

A redemption that is cut off after its swap would have spent the token for nobody; so neither a client that hangs up
nor a deadline cancels it.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import structlog

from tallystick.domain.errors import NotYetError

log = structlog.get_logger("tallystick.web")

Result = TypeVar("Result")


class Finishing:
    """The work of one replica that may outlive the request it came from."""

    def __init__(self, *, patience: float = 8.0) -> None:
        """Hold no work yet.

        Args:
            patience: for how many seconds a caller waits.
        """
        self._patience = patience
        self._unfinished: set[asyncio.Task[Any]] = set()

    async def result_of(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Return what the work returns or raises; raises NotYetError where it takes too long."""
        task = asyncio.create_task(work)
        self._unfinished.add(task)
        task.add_done_callback(self._unfinished.discard)
        try:
            done, _ = await asyncio.wait({task}, timeout=self._patience)
        except asyncio.CancelledError:
            task.add_done_callback(_take_note)
            raise
        if not done:
            task.add_done_callback(_take_note)
            raise NotYetError("temporarily_unavailable", "the answer takes too long; ask again")
        return task.result()

    async def drain(self, seconds: float) -> None:
        """Wait for the work that is left, at most so long."""
        if self._unfinished:
            await asyncio.wait(set(self._unfinished), timeout=seconds)


def _take_note(task: asyncio.Task[Any]) -> None:
    """Nobody waits for this result any more; its audit line is written, and only a bug is worth another."""
    if task.cancelled() or task.exception() is None:
        return
    log.info("work ended after its request", error=type(task.exception()).__name__)
