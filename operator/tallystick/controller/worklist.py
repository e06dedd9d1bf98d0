"""The cache of objects, and the queue of those that wait for the workers of the leader.

kopf watch, or list and watch --> cache --> queue --> reconciler --> conditional writes
                                    ^        ^                            |
                                    |        +-- expiry heap, re-list     |
                                    +-------------- result of a write ----+

An event that is the echo of a write of this process queues nothing, whether the event or the response arrives first.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from tallystick.controller.cache import ObjectCache, ObjectKey
from tallystick.controller.echoes import Echoes
from tallystick.controller.expiry import ExpiryHeap
from tallystick.controller.part import ObjectReconciler
from tallystick.controller.store import version_of
from tallystick.controller.work_queue import Level, WorkQueue
from tallystick.objects.kind import Kind
from tallystick.objects.ports import Clock
from tallystick.objects.result import Result
from tallystick.runtime.metrics import Metrics
from tallystick.runtime.parts import run_together
from tallystick.schema.meta import Resource


class Worklist:
    """The cache, the queue and the expiry heap of one replica. It queues keys only while the replica leads."""

    def __init__(self, kinds: Sequence[Kind], clock: Clock, metrics: Metrics) -> None:
        """Start empty.

        Args:
            kinds: The kinds whose objects it holds.
            clock: Time.
            metrics: The metrics of this process, which read the figures of the queue.
        """
        self._echoes: Echoes[ObjectKey] = Echoes()
        self.cache = ObjectCache(kinds, remembered=self._echoes.explain)
        self._metrics = metrics
        self._queue: WorkQueue[ObjectKey] = WorkQueue()
        self._heap: ExpiryHeap[ObjectKey] = ExpiryHeap(clock)
        self._reconcilers: Mapping[Resource, ObjectReconciler] = {}
        self._leading = False
        metrics.watch_queue(lambda: self._queue.depth, self._queue.oldest_age)
        for level in Level:
            ready, age = partial(self._queue.ready, level), partial(self._queue.oldest_ready_age, level)
            metrics.watch_level(level.value, ready, age)

    @property
    def leading(self) -> bool:
        """Whether this replica leads."""
        return self._leading

    def is_news(self, resource: Resource, event_type: str | None, body: Mapping[str, Any]) -> bool:
        """Return whether an event contains more than the result of a write of this process."""
        return event_type == "DELETED" or not self.cache.has(resource, body["metadata"])

    def observe(self, resource: Resource, event_type: str | None, body: Mapping[str, Any]) -> None:
        """Store the object of one event, and queue the objects that it may have changed."""
        seen = dict(body)
        before = self.cache.touched_by(resource, seen) if self._leading else []
        changed = self.cache.observe(resource, event_type, seen)
        if not (changed and self._leading):
            return
        # A listing contains unchanged objects. Any other type of event is a change that happened just now.
        level = Level.ROUTINE if event_type is None else Level.URGENT
        version = version_of(seen["metadata"])
        for key in dict.fromkeys((*before, *self.cache.touched_by(resource, seen))):
            # A listing reports a missed deletion with the last version, which a response may return as well.
            if event_type == "DELETED" or not self._echoes.hold(key, version, level):
                self._queue.add(key, level)

    def look_again(self, resource: Resource, namespace: str, name: str) -> None:
        """Queue one object with level routine: changed objects are reconciled before it."""
        if self._leading:
            self._queue.add((resource, namespace, name), Level.ROUTINE)

    def look_at_all_again(self) -> None:
        """Queue every object with level routine: changed objects are reconciled before it."""
        for key in self.cache.everything():
            self.look_again(*key)

    def start_leading(self) -> None:
        """Queue every object, and from now on each one that changes."""
        self._leading = True
        self._metrics.leader.set(1)
        self.look_at_all_again()

    def stop_leading(self) -> None:
        """Queue no object any more."""
        self._leading = False
        self._metrics.leader.set(0)

    async def drain(self) -> None:
        """Return as soon as no object waits for a worker."""
        await self._queue.drain()

    async def run(self, reconcilers: Mapping[Resource, ObjectReconciler], workers: int) -> None:
        """Reconcile objects until canceled."""
        self._reconcilers = reconcilers
        await run_together(
            {
                "the workers": partial(self._queue.run, self._work, workers),
                "the expiry heap": partial(self._heap.run, self._queue.add),
            }
        )

    async def _work(self, key: ObjectKey) -> None:
        resource, namespace, name = key
        self._echoes.begin(key)
        try:
            result = await self._reconcilers[resource].reconcile(namespace, name)
        except Exception:
            self._metrics.count_reconcile(resource.kind, "failed")
            raise
        finally:
            for level in self._echoes.end(key):
                self._queue.add(key, level)
        self._metrics.count_reconcile(resource.kind, "failed" if result.failed else "done")
        self._plan(key, result)

    def _plan(self, key: ObjectKey, result: Result) -> None:
        if result.requeue_at is not None:
            self._heap.set(key, result.requeue_at)
        else:
            self._heap.discard(key)
        if result.failed:
            self._queue.retry(key, result.requeue_after or 0.0)
        elif result.requeue_after is not None:
            self._queue.add_after(key, result.requeue_after)
