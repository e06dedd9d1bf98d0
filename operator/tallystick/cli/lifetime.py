"""The life of a process: its parts, the signals that stop it, and a deadline for its end.

If a part ends or a signal arrives, the process ends within `DEADLINE_SECONDS`, whatever its other parts do. A process
that continued without one of its parts would look healthy, and would not be replaced.
"""

import asyncio
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

import structlog

from tallystick.controller.relist import NotSyncedError
from tallystick.crypto.keyring import KeyringError
from tallystick.errors import TallystickError
from tallystick.objects.ports import ClusterError
from tallystick.runtime.parts import PartEndedError, Work, cancel, error_of, start_part

log = structlog.get_logger("tallystick")

# An orderly stop needs less: 8 s for the requests of the exchange, 5 s to release the Lease if the API server hangs.
# Kubernetes kills a pod after 30 s.
DEADLINE_SECONDS = 20.0
# After its event loop has ended, a process waits for its threads, such as one that reads credentials.
LAST_SECONDS = 5.0
LOG_SECONDS = 1.0
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_EXPECTED = (TallystickError, ClusterError, KeyringError, NotSyncedError, PartEndedError)


class Deadline:
    """Ends the process by force if it is not disarmed in time.

    It needs neither the event loop nor the main thread: both may be what does not end.
    """

    def __init__(self, seconds: float, end: Callable[[int], None] = os._exit) -> None:
        self._seconds = seconds
        self._end = end
        self._timer: threading.Timer | None = None
        self._disarmed = False

    def arm(self, status: Callable[[], int]) -> None:
        """Start the time, if it has not started yet. `status` returns the exit status of a process that it ends."""
        if self._timer is None and not self._disarmed:
            self._timer = threading.Timer(self._seconds, self._expire, (status,))
            self._timer.daemon = True
            self._timer.start()

    def disarm(self) -> None:
        """Let the process continue to its end, whatever happens from now on."""
        self._disarmed = True
        if self._timer is not None:
            self._timer.cancel()

    def _expire(self, status: Callable[[], int]) -> None:
        # A thread that hangs may hold the lock of the log, so this one does not wait for its own line for long.
        line = threading.Thread(target=self._report, daemon=True)
        line.start()
        line.join(LOG_SECONDS)
        self._end(status())

    def _report(self) -> None:
        log.critical("ended by force", reason=f"the process did not end within {self._seconds:.0f} s of its stop")
        sys.stderr.flush()


class Lifetime:
    """The named parts of one process. `stopping` is set when the process has to end, for whatever reason.

    Attributes:
        stopping: Set when a signal has arrived or a part has ended.
        exit_status: 0 after a signal; 1 if a part has ended.
    """

    def __init__(self, deadline: Deadline | None = None) -> None:
        self.stopping = asyncio.Event()
        self.exit_status = 0
        self._deadline = deadline or Deadline(DEADLINE_SECONDS)
        self._parts: dict[asyncio.Task[object], str] = {}

    def start(self, name: str, work: Work) -> "asyncio.Task[object]":
        """Run a part. If it ends before the process stops, the process stops with status 1."""
        task = start_part(name, work)
        self._parts[task] = name
        task.add_done_callback(self._ended)
        return task

    def stop(self) -> None:
        """Stop the process. The time of its deadline begins."""
        self._deadline.arm(self._forced_status)
        self.stopping.set()

    async def cancel_parts(self) -> None:
        """Cancel the parts, and wait for their end."""
        if not await cancel(self._parts):
            self.exit_status = 1

    @contextmanager
    def until_stopped(self) -> Iterator[None]:
        """React to SIGINT and SIGTERM, also to those that arrive while the event loop is blocked."""
        before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
        self.take_signals()
        try:
            yield
        finally:
            self._deadline.disarm()
            for number, handler in before.items():
                signal.signal(number, handler)

    def take_signals(self) -> None:
        """Make SIGINT and SIGTERM stop this process, in place of any handler that a library has set."""
        loop = asyncio.get_running_loop()
        with _blocked(STOP_SIGNALS):
            for number in STOP_SIGNALS:
                loop.remove_signal_handler(number)
                signal.signal(number, self._signaled(loop))

    def _forced_status(self) -> int:
        # A process that must be ended by force has not done all its work, whatever stopped it.
        return self.exit_status or 1

    def _signaled(self, loop: asyncio.AbstractEventLoop) -> Callable[[int, FrameType | None], None]:
        def handle(number: int, _: FrameType | None) -> None:
            # The deadline first: the loop may be blocked, and would not call anything.
            self._deadline.arm(self._forced_status)
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(self._stop_by_signal, number)

        return handle

    def _stop_by_signal(self, number: int) -> None:
        if not self.stopping.is_set():
            log.info("stopping", signal=signal.Signals(number).name)
        self.stop()

    def _ended(self, task: "asyncio.Task[object]") -> None:
        if self.stopping.is_set():
            if not task.cancelled():
                task.exception()  # it is of no interest any more
            return
        error = error_of(task)
        expected = [found for found in leaves(error) if isinstance(found, _EXPECTED)]
        if len(expected) == len(leaves(error)):
            log.error("stopped", part=task.get_name(), reason="; ".join(str(found) for found in expected))
        else:
            names = [type(found).__name__ for found in leaves(error)]
            log.error("stopped by an unexpected error", part=task.get_name(), errors=names, exc_info=error)
        self.exit_status = 1
        self.stop()


def leaves(error: BaseException) -> list[BaseException]:
    """Return the errors of a group, and of the groups in it; an error that is no group stands for itself."""
    if not isinstance(error, BaseExceptionGroup):
        return [error]
    return [leaf for inner in error.exceptions for leaf in leaves(inner)]


def run_process(process: Coroutine[Any, Any, int]) -> int:
    """Run the event loop of a process, and return the exit status.

    When the loop ends, asyncio waits for its threads. A thread that hangs delays the end by `LAST_SECONDS` at most.
    A crash leaves no image of the memory on a disk, because keys are in it.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    last = Deadline(LAST_SECONDS)

    async def to_its_end() -> int:
        status = 1
        try:
            status = await process
        finally:
            last.arm(lambda: status)
        return status

    try:
        return asyncio.run(to_its_end())
    finally:
        last.disarm()


@contextmanager
def _blocked(signals: tuple[signal.Signals, ...]) -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
