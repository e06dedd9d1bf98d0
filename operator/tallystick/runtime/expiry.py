"""What is due at a time of day: one heap and one task for all objects (kopf.md 2.4).

The heap keeps entries that were superseded until they surface; an entry counts only while `_live` agrees with it.
"""

import asyncio
import heapq
import itertools
from collections.abc import Callable, Hashable
from datetime import datetime
from typing import Generic, TypeVar

from tallystick.services.ports import Clock

K = TypeVar("K", bound=Hashable)


class ExpiryHeap(Generic[K]):
    """Keys, each with the time at which it is due.

    Args:
        clock: Whose time of day decides.
        poll_seconds: The longest sleep. The time of day may jump, which no timer of the event loop notices.
    """

    def __init__(self, clock: Clock, poll_seconds: float = 1.0) -> None:
        self._clock = clock
        self._poll_seconds = poll_seconds
        self._heap: list[tuple[float, int, K]] = []
        self._live: dict[K, float] = {}
        self._order = itertools.count()
        self._earlier = asyncio.Event()

    def __len__(self) -> int:
        return len(self._live)

    def set(self, key: K, at: datetime) -> None:
        """Make a key due at a time, and at no other time that was set before."""
        due = at.timestamp()
        if self._live.get(key) == due:
            return
        self._live[key] = due
        heapq.heappush(self._heap, (due, next(self._order), key))
        if self._heap[0][2] == key:
            self._earlier.set()
        self._compact()

    def discard(self, key: K) -> None:
        """Make a key due never. A key that is not there is no error."""
        self._live.pop(key, None)
        self._compact()

    def take_due(self) -> list[K]:
        """Take out the keys that are due by now, earliest first."""
        now = self._clock.now().timestamp()
        taken = []
        while self._heap and self._heap[0][0] <= now:
            due, _, key = heapq.heappop(self._heap)
            if self._live.get(key) == due:
                del self._live[key]
                taken.append(key)
        return taken

    async def run(self, fire: Callable[[K], None]) -> None:
        """Call `fire` with each key as it gets due, until cancelled."""
        while True:
            self._earlier.clear()
            for key in self.take_due():
                fire(key)
            await self._sleep()

    async def _sleep(self) -> None:
        until_next = self._heap[0][0] - self._clock.now().timestamp() if self._heap else self._poll_seconds
        try:
            async with asyncio.timeout(min(max(until_next, 0.0), self._poll_seconds)):
                await self._earlier.wait()
        except TimeoutError:
            return

    def _compact(self) -> None:
        """Keep superseded entries from outnumbering the live ones, however often a key is set."""
        if len(self._heap) <= 2 * len(self._live) + 64:
            return
        self._heap = [(due, next(self._order), key) for key, due in self._live.items()]
        heapq.heapify(self._heap)
