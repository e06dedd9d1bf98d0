"""A coalescing work queue with two levels: a key is due, or being worked on, or neither.

A key that is added ten times is worked on once; a key that is added while it is worked on is worked on once more
afterwards, and never twice at once. So work may read the latest state when it begins and need not know what changed.
All methods belong to one event loop.

The levels are those of controller-runtime's priority queue: a user's change does not wait behind the first look at
every object. controller-runtime always takes the higher level, so that a busy one starves the lower. This queue takes
turns (`MOST_PASSED_OVER`).
"""

import asyncio
import logging
import random
import traceback
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Mapping
from enum import StrEnum
from typing import Generic, TypeVar

import structlog

from tallystick.domain.errors import NotYetError, TallystickError
from tallystick.services.ports import ClusterError, UnavailableError

K = TypeVar("K", bound=Hashable)
Work = Callable[[K], Awaitable[None]]

log = structlog.get_logger("tallystick.queue")

# While both levels wait, one take in four is routine. A storm of changes is slowed by a third at most. The first look
# at 10,000 objects takes a minute by itself and four minutes beside an endless storm: it ends before the care for the
# signing keys begins, which needs it.
MOST_PASSED_OVER = 3


class Level(StrEnum):
    """How soon a key is worked on: an urgent one before a routine one, and each level in its order.

    A key keeps its level through its retries and delays, until it is at rest. An urgent wish raises a routine key.
    """

    URGENT = "urgent"
    ROUTINE = "routine"


class WorkQueue(Generic[K]):
    """Keys that want work, each at most once.

    Args:
        jitter: Spreads retries so that keys which failed together do not return together; 0 <= x < 1.
        first_delay: Seconds before the first retry; each further one doubles it.
        longest_delay: Seconds that no backoff exceeds.
    """

    def __init__(
        self, *, jitter: Callable[[], float] = random.random, first_delay: float = 0.25, longest_delay: float = 60.0
    ) -> None:
        self._jitter = jitter
        self._first_delay = first_delay
        self._longest_delay = longest_delay
        self._dirty: dict[K, float] = {}  # since when each key waits, oldest first
        self._active: set[K] = set()
        self._routine: set[K] = set()  # of the keys that wait, are worked on or are planned: all others are urgent
        self._ready: dict[Level, OrderedDict[K, float]] = {level: OrderedDict() for level in Level}
        self._passed_over = 0  # urgent keys that were taken while a routine one was ready
        self._tickets = asyncio.Semaphore(0)  # one for each key that is ready
        self._later: dict[K, asyncio.TimerHandle] = {}
        self._failures: dict[K, int] = {}
        self._not_before: dict[K, float] = {}  # until when the API server asked to be left alone with a key
        self._idle = asyncio.Event()
        self._idle.set()
        self._stopping = False

    def add(self, key: K, level: Level = Level.URGENT) -> None:
        """Want work for a key, now, or as soon as it may be."""
        self._rank(key, level)
        self._want(key)

    def add_after(self, key: K, delay: float) -> None:
        """Want work for a key in `delay` seconds. Of several such wishes the earliest stays."""
        loop = asyncio.get_running_loop()
        planned = self._later.get(key)
        if planned and planned.when() <= loop.time() + delay:
            return
        if planned:
            planned.cancel()
        self._later[key] = loop.call_later(delay, self._come_due, key)

    def retry(self, key: K, minimum: float = 0.0) -> None:
        """Want work for a key after its backoff, and not before `minimum` seconds (an answer's Retry-After)."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        # The exponent is bounded because a float overflows long before a key stops failing.
        if minimum > 0:
            self._not_before[key] = asyncio.get_running_loop().time() + minimum
        backoff = min(self._longest_delay / 2, self._first_delay * 2.0 ** min(failures, 32))
        self.add_after(key, max(backoff, minimum) * (1 + self._jitter()))

    def forget(self, key: K) -> None:
        """Let the next retry of a key begin with the first delay again."""
        self._failures.pop(key, None)
        self._not_before.pop(key, None)

    async def run(self, work: Work[K], workers: int = 32) -> None:
        """Work on keys until `stop()`. Work that raises is retried, work that returns is forgotten.

        Work may call `retry` and return; then its backoff is kept. To cancel this cancels the work in hand; the keys
        that wait stay known, and it may run again.
        """
        self._tickets = asyncio.Semaphore(sum(map(len, self._ready.values())))
        free = asyncio.Semaphore(workers)
        try:
            async with asyncio.TaskGroup() as group:
                while not self._stopping:
                    await free.acquire()
                    await self._tickets.acquire()
                    if not self._stopping:
                        group.create_task(self._attend(work)).add_done_callback(lambda _: free.release())
                        # A look at an object at rest awaits nothing. Without this pause ten thousand of them would
                        # keep the event loop for seconds, and no watch event would come in.
                        await asyncio.sleep(0)
        finally:
            self._cancel_later()

    def stop(self) -> None:
        """Begin no more work, for good; `run` returns as soon as the work in hand has ended."""
        self._stopping = True
        self._tickets.release()
        self._cancel_later()

    async def drain(self) -> None:
        """Wait until all keys that are due have been worked on. Keys for later do not count."""
        await self._idle.wait()

    @property
    def idle(self) -> bool:
        """Whether no key is due or being worked on."""
        return self._idle.is_set()

    @property
    def depth(self) -> int:
        """How many keys wait for a worker."""
        return len(self._dirty)

    def ready(self, level: Level) -> int:
        """How many keys of a level a free worker could take now."""
        return len(self._ready[level])

    @property
    def delayed(self) -> int:
        """How many keys will be due later."""
        return len(self._later)

    def oldest_age(self) -> float:
        """Seconds since the longest-waiting key became due; 0 if none waits."""
        return _age_of_first(self._dirty)

    def oldest_ready_age(self, level: Level) -> float:
        """Seconds since the first key of a level became ready; 0 if none is."""
        return _age_of_first(self._ready[level])

    def _rank(self, key: K, level: Level) -> None:
        """Raise a key that is known, and note the level of one that is not."""
        if level is Level.ROUTINE:
            if not self._is_known(key):
                self._routine.add(key)
        elif key in self._routine:
            self._routine.discard(key)
            if self._ready[Level.ROUTINE].pop(key, None) is not None:
                self._ready[Level.URGENT][key] = asyncio.get_running_loop().time()

    def _is_known(self, key: K) -> bool:
        return key in self._dirty or key in self._active or key in self._later

    def _make_ready(self, key: K) -> None:
        level = Level.ROUTINE if key in self._routine else Level.URGENT
        self._ready[level][key] = asyncio.get_running_loop().time()
        self._tickets.release()

    def _take(self) -> K:
        """Take the key whose turn it is. To be called once for each ticket."""
        urgent, routine = self._ready[Level.URGENT], self._ready[Level.ROUTINE]
        is_routine = bool(routine) and (not urgent or self._passed_over >= MOST_PASSED_OVER)
        self._passed_over = 0 if is_routine or not routine else self._passed_over + 1
        key, _ = (routine if is_routine else urgent).popitem(last=False)
        del self._dirty[key]
        self._active.add(key)
        return key

    def _want(self, key: K) -> None:
        if key in self._dirty:
            return
        wait = self._wait_of(key)
        if wait > 0:
            self.add_after(key, wait)
            return
        self._dirty[key] = asyncio.get_running_loop().time()
        self._idle.clear()
        if key not in self._active:
            self._make_ready(key)

    def _wait_of(self, key: K) -> float:
        """How long a key has to be left alone; 0 where it need not."""
        wait = self._not_before.get(key, 0.0) - asyncio.get_running_loop().time()
        if wait <= 0:
            self._not_before.pop(key, None)
        return max(0.0, wait)

    def _come_due(self, key: K) -> None:
        del self._later[key]
        self._want(key)

    def _cancel_later(self) -> None:
        for planned in self._later.values():
            planned.cancel()
        self._later.clear()
        self._routine = set(filter(self._is_known, self._routine))

    async def _attend(self, work: Work[K]) -> None:
        # The key is taken here, not where the task is made: a task that is cancelled before it begins takes none.
        key = self._take()
        failures = self._failures.get(key, 0)
        try:
            await work(key)
            if self._failures.get(key, 0) == failures:
                self.forget(key)
        except asyncio.CancelledError as error:
            # Work that waits for a task which somebody cancelled raises this too, and nobody cancelled the worker.
            if _is_cancelled():
                raise
            self._retry_failed(key, error)
        except Exception as error:  # noqa: BLE001 - whatever one key raises, the others still need their worker
            self._retry_failed(key, error)
        finally:
            self._leave(key)

    def _leave(self, key: K) -> None:
        self._active.discard(key)
        if key in self._dirty and (wait := self._wait_of(key)) > 0:
            del self._dirty[key]
            self.add_after(key, wait)
        elif key in self._dirty:
            self._make_ready(key)
        if not self._is_known(key):
            self._routine.discard(key)
        if not self._dirty and not self._active:
            self._idle.set()

    def _retry_failed(self, key: K, error: BaseException) -> None:
        told = isinstance(error, ClusterError | TallystickError)
        # The text of any other exception may hold a value of ours; where it was raised does not.
        facts = {"text": str(error)} if told else {"raised_at": _raised_at(error)}
        log.log(
            logging.WARNING if told else logging.ERROR, "work failed", key=str(key), error=type(error).__name__, **facts
        )
        self.retry(key, minimum=error.retry_after if isinstance(error, UnavailableError | NotYetError) else 0.0)


def _age_of_first(since: Mapping[K, float]) -> float:
    return asyncio.get_running_loop().time() - next(iter(since.values())) if since else 0.0


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _raised_at(error: BaseException) -> list[str]:
    frames = traceback.extract_tb(error.__traceback__)
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames[-6:]]
