"""End a command cleanly on Ctrl-C, SIGTERM or a closed terminal (SIGHUP): what it has begun is undone."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_EXIT_STATUS_OF_SIGNALS = 128


class Stopped(SystemExit):
    """A signal ends the command. The exit status is 128 and its number, as in a shell."""

    def __init__(self, number: int) -> None:
        super().__init__(_EXIT_STATUS_OF_SIGNALS + number)


@contextmanager
def undone_by_signals() -> Iterator[None]:
    """Raise `Stopped` in this block on the first signal that stops the command. Later ones wait for the cleanup.

    Python ends a process on SIGTERM and SIGHUP without running `finally` blocks. A signal that is ignored stays
    ignored, such as SIGHUP under nohup(1).
    """

    def stop(number: int, _frame: FrameType | None) -> None:
        for each in former:
            signal.signal(each, signal.SIG_IGN)
        raise Stopped(number)

    former = _replaced(stop)
    try:
        yield
    finally:
        _restore(former)


@contextmanager
def signals_deferred() -> Iterator[None]:
    """Finish this block before a signal stops the command."""
    received: list[int] = []
    former = _replaced(lambda number, _frame: received.append(number))
    try:
        yield
    finally:
        _restore(former)
        if received:
            signal.raise_signal(received[0])


def _replaced(handler: Any) -> dict[signal.Signals, Any]:
    """Set a handler for the signals that are not ignored; return the former ones. Only the main thread can do that."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    heeded = [number for number in STOP_SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    return {number: signal.signal(number, handler) for number in heeded}


def _restore(former: dict[signal.Signals, Any]) -> None:
    for number, handler in former.items():
        signal.signal(number, handler)
