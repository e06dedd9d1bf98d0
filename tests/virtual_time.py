"""An event loop whose time is virtual: what would wait for an hour is over at once, in the same order.

Only for code that awaits timers and tasks: nothing here waits for threads, sockets or child processes.
"""

import asyncio
import selectors
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from functools import wraps
from typing import Any, ParamSpec

from tests.fakes import NOON

P = ParamSpec("P")


class _Selector(selectors.DefaultSelector):
    """Never blocks: where the loop would sleep, its time goes forward instead."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        if timeout is None and not events:
            raise RuntimeError("all tasks wait for each other: no timer is left that could end this")
        if timeout and not events:
            self.now += timeout
        return events


class VirtualLoop(asyncio.SelectorEventLoop):
    """A selector loop on virtual time, which begins at 0."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now


def in_virtual_time(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Make an async test an ordinary one that runs on a `VirtualLoop`."""

    @wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(test(*args, **kwargs))

    return run


@asynccontextmanager
async def in_background(work: Coroutine[Any, Any, None]) -> AsyncIterator["asyncio.Task[None]"]:
    """Run work beside the block, and cancel it at the end of the block."""
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


class LoopClock:
    """The Clock port on the running loop's time. `jump` moves the wall clock alone."""

    def __init__(self, start: datetime = NOON) -> None:
        self._start = start

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    async def pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward or back; no time passes."""
        self._start += timedelta(seconds=seconds)
