"""End a command cleanly on Ctrl-C, SIGTERM or a closed terminal (SIGHUP): what it has begun is undone."""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from types import FrameType
from typing import Any, TypeVar

T = TypeVar("T")

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_EXIT_STATUS_OF_SIGNALS = 128
# A destructor or a callback that a signal interrupts ends sooner.
_AGAIN_SECONDS = 0.1


class Stopped(SystemExit):
    """A signal ends the command. The exit status is 128 and its number, as in a shell."""

    def __init__(self, number: int) -> None:
        super().__init__(_EXIT_STATUS_OF_SIGNALS + number)
        self.number = number


@contextmanager
def undone_by_signals() -> Iterator[None]:
    """Raise `Stopped` in this block on the first signal that stops the command. Later ones wait for the cleanup.

    Python ends a process on SIGTERM and SIGHUP without running `finally` blocks. A signal that is ignored stays
    ignored, such as SIGHUP under nohup(1). Python drops an exception in a destructor or in the callback of a weak
    reference, such as those of each import. Then the signal is sent once more.
    """

    def stop(number: int, _frame: FrameType | None) -> None:
        for each in former:
            signal.signal(each, signal.SIG_IGN)
        raise Stopped(number)

    def dropped(unraisable: "sys.UnraisableHookArgs") -> None:
        if not isinstance(unraisable.exc_value, Stopped):
            former_hook(unraisable)
            return
        for each in former:
            signal.signal(each, stop)
        threading.Timer(_AGAIN_SECONDS, os.kill, (os.getpid(), unraisable.exc_value.number)).start()

    former_hook, sys.unraisablehook = sys.unraisablehook, dropped
    former = _replaced(stop)
    try:
        yield
    finally:
        _restore(former)
        sys.unraisablehook = former_hook


@contextmanager
def signals_deferred(on_signal: Callable[[], None] = lambda: None) -> Iterator[Sequence[int]]:
    """Finish this block before a signal stops the command. Yield the signals that have arrived.

    Args:
        on_signal: Called at each signal.
    """
    received: list[int] = []

    def receive(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        on_signal()

    former = _replaced(receive)
    try:
        yield received
    finally:
        _restore(former)
        if received:
            signal.raise_signal(received[0])


def run_async(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on an event loop of its own. A signal cancels it, and stops the command when the loop is closed.

    A handler that raises does not surely end a loop: aiohttp drops what is raised while it parses a response. Nor can
    asyncio close half a loop.
    """
    cancel: list[Callable[[], object]] = []

    def on_signal() -> None:
        with suppress(RuntimeError):  # the loop is closed
            for each in cancel:
                each()

    async def main() -> T:
        task = asyncio.ensure_future(work)
        cancel.append(partial(asyncio.get_running_loop().call_soon_threadsafe, task.cancel))
        if received:
            task.cancel()
        return await task

    with signals_deferred(on_signal) as received, asyncio.Runner() as runner:
        return runner.run(main())


def _replaced(handler: Any) -> dict[signal.Signals, Any]:
    """Set a handler for the signals that are not ignored; return the former ones. Only the main thread can do that."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    heeded = [number for number in STOP_SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    return {number: signal.signal(number, handler) for number in heeded}


def _restore(former: dict[signal.Signals, Any]) -> None:
    for number, handler in former.items():
        signal.signal(number, handler)
