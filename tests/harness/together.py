"""Start calls at the same instant, or at chosen offsets from it, each in a thread of its own."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Together(Generic[Result]):
    """What the calls returned, in their order, and how many seconds lay between the first start and the last."""

    results: list[Result]
    spread: float


def at_once(calls: Sequence[Callable[[], Result]], *, offsets: Sequence[float] = ()) -> Together[Result]:
    """Run all calls; none starts before every thread is ready.

    Args:
        calls: what to run. The first error of one is raised when all have ended.
        offsets: for each call, how many seconds after the common start it begins; all 0 where it is empty.
    """
    barrier = threading.Barrier(len(calls))
    gate = threading.Event()
    opened: list[float] = []

    def run(call: Callable[[], Result], offset: float) -> tuple[float, Result]:
        if barrier.wait() == 0:
            opened.append(time.monotonic())
            gate.set()
        gate.wait()
        if (left := opened[0] + offset - time.monotonic()) > 0:
            time.sleep(left)  # the load itself: each call begins at its chosen instant
        return time.monotonic(), call()

    with ThreadPoolExecutor(len(calls)) as threads:
        ended = list(threads.map(run, calls, offsets or [0.0] * len(calls)))
    starts = [start for start, _ in ended]
    return Together([result for _, result in ended], max(starts) - min(starts))
