"""A signal ends a command, and what the command has begun is undone."""

import asyncio
import gc
import signal
import socket
import sys
from collections.abc import Coroutine, Iterator
from contextlib import suppress
from typing import Any

import pytest

from tallystick.runtime.stopping import STOP_SIGNALS, Stopped, run_async, signals_deferred, undone_by_signals


@pytest.fixture(autouse=True)
def heeded() -> Iterator[None]:
    """Heed each signal, also under nohup(1) or in the background of a shell, where some are ignored."""
    former = {number: signal.signal(number, signal.SIG_DFL) for number in STOP_SIGNALS}
    yield
    for number, handler in former.items():
        signal.signal(number, handler)


def handlers() -> list[object]:
    return [signal.getsignal(number) for number in STOP_SIGNALS]


def stop(number: int, done: list[bool]) -> None:
    """Begin a work that a signal ends, with another signal during the cleanup."""
    with undone_by_signals():
        try:
            signal.raise_signal(number)
        finally:
            signal.raise_signal(signal.SIGTERM)
            done.append(True)


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_a_signal_raises_once_and_a_second_one_does_not_disturb_the_cleanup(number):
    before, done = handlers(), []

    with pytest.raises(Stopped) as stopped:
        stop(number, done)

    assert (stopped.value.code, done) == (128 + number, [True])
    assert handlers() == before


def test_a_signal_that_is_ignored_stays_ignored():
    former = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with undone_by_signals():
            signal.raise_signal(signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, former)


def finish(done: list[bool]) -> None:
    with undone_by_signals(), signals_deferred():
        signal.raise_signal(signal.SIGTERM)
        done.append(True)


def test_a_signal_waits_for_the_end_of_a_deferred_block():
    done = []

    with pytest.raises(Stopped):
        finish(done)

    assert done == [True]


def run_undone(work: Coroutine[Any, Any, None]) -> None:
    with undone_by_signals():
        run_async(work)


async def wait(ended: list[bool], *, signaled: bool) -> None:
    """Wait for ever, after a library has dropped what a signal raises."""
    try:
        with suppress(BaseException):
            if signaled:
                signal.raise_signal(signal.SIGTERM)
        await asyncio.Event().wait()
    finally:
        ended.append(True)


def test_a_signal_ends_a_coroutine_also_if_a_library_drops_what_a_handler_raises():
    ended: list[bool] = []

    with pytest.raises(Stopped) as stopped:
        run_undone(wait(ended, signaled=True))

    assert (stopped.value.code, ended) == (128 + signal.SIGTERM, [True])


def test_a_signal_waits_until_an_event_loop_is_complete(monkeypatch):
    """asyncio makes a pair of sockets for each loop. It cannot close a loop that has none, and Python prints that."""
    pair, dropped = socket.socketpair, []

    def made_late() -> tuple[socket.socket, socket.socket]:
        signal.raise_signal(signal.SIGTERM)
        return pair()

    monkeypatch.setattr(socket, "socketpair", made_late)
    monkeypatch.setattr(sys, "unraisablehook", lambda error: dropped.append(error.exc_value))

    with pytest.raises(Stopped):
        run_undone(wait([], signaled=False))

    gc.collect()
    assert dropped == []


class Dropping:
    """Gets the signal in its destructor, where Python drops the exception."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGTERM)


def drop_and_wait() -> None:
    with undone_by_signals():
        Dropping()
        signal.pause()


@pytest.mark.timeout(60)
def test_a_signal_in_a_destructor_ends_the_command_a_moment_later():
    before, hook = handlers(), sys.unraisablehook

    with pytest.raises(Stopped) as stopped:
        drop_and_wait()

    assert stopped.value.code == 128 + signal.SIGTERM
    assert (handlers(), sys.unraisablehook) == (before, hook)
