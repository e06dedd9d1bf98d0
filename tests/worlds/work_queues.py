"""A work queue without jitter, and a worker that notes its work: for tests in virtual time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from tallystick.controller.work_queue import WorkQueue
from tests.virtual_time import in_background


def a_queue(**options) -> WorkQueue[str]:
    return WorkQueue(jitter=lambda: 0.0, **options)


@asynccontextmanager
async def running(
    queue: WorkQueue[str], work: Callable[[str], Awaitable[None]], workers: int = 4
) -> AsyncIterator[asyncio.Task[None]]:
    async with in_background(queue.run(work, workers=workers)) as task:
        yield task


class Worker:
    """Notes when each key was worked on; `scripts` holds what a key raises, call by call."""

    def __init__(self, seconds: float = 0.0, **scripts: list[Exception | None]) -> None:
        self.seconds = seconds
        self.scripts = scripts
        self.begun: list[tuple[str, float]] = []
        self.now = 0
        self.most = 0

    async def __call__(self, key: str) -> None:
        self.begun.append((key, asyncio.get_running_loop().time()))
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.now -= 1
        error = self.scripts[key].pop(0) if self.scripts.get(key) else None
        if error:
            raise error

    @property
    def order(self) -> list[str]:
        return [key for key, _ in self.begun]

    def times(self, key: str) -> list[float]:
        return [time for begun, time in self.begun if begun == key]
