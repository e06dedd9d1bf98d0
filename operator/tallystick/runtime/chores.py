"""Work that a process repeats, such as reading the keyring again."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum, auto

import structlog

from tallystick.errors import NotYetError
from tallystick.objects.ports import ClusterError

RETRY_SECONDS = 1.0

log = structlog.get_logger("tallystick.chores")

Run = Callable[[], Awaitable[object]]


class FirstRun(Enum):
    """When a new leader runs a chore for the first time."""

    BEFORE_LEADING = auto()
    """Once before it reconciles an object. If this run fails, the leader starts without it."""
    AFTER_FIRST_LOOKS = auto()
    """As soon as every object was reconciled once, and after one interval at the latest."""
    AFTER_ONE_INTERVAL = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Chore:
    """Work that a process repeats.

    Attributes:
        every: Seconds between two runs.
        run: One run. It may raise ClusterError or NotYetError, which are logged; the next run tries again.
        what: Names the work in the log, as a verb phrase.
        first_run: When a new leader runs it for the first time.
    """

    every: float
    run: Run
    what: str
    first_run: FirstRun = FirstRun.AFTER_ONE_INTERVAL


async def attempt(run: Run, what: str) -> bool:
    """Run once, and return whether it succeeded. Log a failure that may be temporary, and raise any other."""
    try:
        await run()
    except (ClusterError, NotYetError) as error:
        log.warning("failed, will be retried", what=what, error=type(error).__name__, text=str(error))
        return False
    return True


async def until_done(run: Run, what: str) -> None:
    """Run until it succeeds, once a second."""
    done = await attempt(run, what)
    while not done:
        await asyncio.sleep(RETRY_SECONDS)
        done = await attempt(run, what)


async def repeat(chore: Chore) -> None:
    """Run a chore after each interval, until canceled."""
    while True:
        await asyncio.sleep(chore.every)
        await attempt(chore.run, chore.what)
