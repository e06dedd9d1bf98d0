"""A list and a watch of our own, for kinds with many objects: kopf runs a task for each object that it lists.

A listing in pages fills the cache. Then the watch delivers each change since the version of the listing. If the API
server does not have that version any more (410), the kind is listed again. An object that is not listed was deleted.
"""

import asyncio
import itertools
import random
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass

import structlog

from tallystick.controller.cache import ObjectCache
from tallystick.controller.kinds import MissingKinds
from tallystick.controller.relist import NotSyncedError
from tallystick.controller.store import Key, is_older
from tallystick.controller.watches import SILENT_SECONDS, WATCH_SECONDS, Observer
from tallystick.objects.ports import ClusterError, ExpiredError, Feed, Json, NotFoundError, Page, UnavailableError
from tallystick.schema.meta import Resource

PAGE_SIZE = 500
POLL_SECONDS = 0.1
# Pauses after a failure: 1, 2, 4 ... seconds, give or take a half, and not less than the API server requests.
LONGEST_PAUSE = 30.0
# A watch that ends sooner, and without an event, is a failure. Otherwise it would be repeated without a pause.
SHORTEST_WATCH = 1.0
# Seconds between two looks whether a missing kind is back.
LOOK_SECONDS = 1.0

log = structlog.get_logger("tallystick.list_watch")


@dataclass(kw_only=True)
class ListWatch:
    """Keeps the objects of one kind in the cache.

    Attributes:
        feed: The API server.
        resource: The kind.
        label_selector: Selects the objects. The API server filters, so no other object reaches this process.
        namespace: The watched namespace; '' is all namespaces.
        cache: The cache, which the observer fills.
        observer: Receives the listed objects, the changes, and the deletions that the watch has missed.
        missing: The kinds that the API server does not serve.
        page_size: The number of objects in a page. A page is in memory at a time.
        jitter: Spreads the pauses of several replicas; 0 <= x < 1.
    """

    feed: Feed
    resource: Resource
    namespace: str
    cache: ObjectCache
    observer: Observer
    missing: MissingKinds
    page_size: int = PAGE_SIZE
    jitter: Callable[[], float] = random.random
    label_selector: str = ""
    _version: str = ""  # as of which the cache has all objects; '' until they are listed
    _failures: int = 0  # since the watch has last worked
    _pages_at_once: int = 1
    _pages: int = 0  # that were read so far
    _problem: str = "the API server has not responded"

    @property
    def name(self) -> str:
        """The name of this part of the process."""
        return " ".join(("the watch of", self.resource.plural, *(("in", self.namespace) if self.namespace else ())))

    async def run(self) -> None:
        """List and watch until canceled. A failure is logged, and tried again after a pause."""
        while True:
            try:
                if self.missing.is_missing(self.resource):
                    await self._wait_for_kind()
                    continue
                if not self._version:
                    await self._list()
                await self._watch()
                self._failures = 0
            except NotFoundError as error:
                self._version, self._problem = "", str(error)
                self.missing.look_again(self.resource)
                await asyncio.sleep(LOOK_SECONDS)
            except ClusterError as error:
                # After a lost connection, the watch continues from its version.
                if isinstance(error, ExpiredError) or not isinstance(error, UnavailableError):
                    self._version = ""
                self._failures += 1
                await self._pause(error, self._failures)

    async def wait_until_synced(self, deadline_seconds: float = 120.0) -> None:
        """Return as soon as all objects are in the cache. A missing kind has none.

        Raises:
            NotSyncedError: The API server has sent no page for so many seconds. A large kind takes longer.
        """
        loop, pages = asyncio.get_running_loop(), self._pages
        try:
            async with asyncio.timeout(deadline_seconds) as patience:
                while not (self._version or self.missing.is_missing(self.resource)):
                    await asyncio.sleep(POLL_SECONDS)
                    if pages != self._pages:
                        pages = self._pages
                        patience.reschedule(loop.time() + deadline_seconds)
        except TimeoutError:
            msg = f"no page of {self.resource.plural} was listed within {deadline_seconds:.0f} s: {self._problem}"
            raise NotSyncedError(msg) from None

    async def _list(self) -> None:
        """Read all objects, and remove those from the cache that do not exist any more."""
        before = self._cached()
        version, rest = "", ""
        while not version or rest:
            page = await self._next_page(rest)
            version, rest = page.version, page.rest
            for body in page.items:
                self._take_listed(body, before)
            self._pages += 1
        for key, uid in before.items():
            self._remove(key, uid)
        self._version, self._pages_at_once = version, 1

    async def _next_page(self, rest: str) -> Page:
        """Read a page. After a lost connection it is requested again, not the whole listing."""
        for failures in itertools.count(1):
            size = self.page_size * self._pages_at_once
            try:
                return await self.feed.page(
                    self.resource, self.namespace, label_selector=self.label_selector, size=size, rest=rest
                )
            except ExpiredError:
                # The rest of a listing lasts for some minutes. Larger pages take less time.
                self._pages_at_once *= 2
                raise
            except UnavailableError as error:
                await self._pause(error, failures)
        raise AssertionError("unreachable")

    def _take_listed(self, body: Json, before: dict[Key, str]) -> None:
        key, uid = (body["metadata"]["namespace"], body["metadata"]["name"]), body["metadata"]["uid"]
        former = before.pop(key, uid)
        if former != uid:  # it was deleted and created again
            self._remove(key, former)
        self._take(None, body)

    async def _watch(self) -> None:
        """Take the changes until the API server ends the watch."""
        loop = asyncio.get_running_loop()
        began, delivered = loop.time(), False
        events = self.feed.events(
            self.resource,
            self.namespace,
            label_selector=self.label_selector,
            since=self._version,
            seconds=WATCH_SECONDS,
            silence=SILENT_SECONDS,
        )
        async with aclosing(events):
            async for event_type, body in events:
                version = body["metadata"]["resourceVersion"]
                if is_older(version, self._version):
                    raise ExpiredError("the watch went back to an older version")
                if event_type != "BOOKMARK":
                    self._take(event_type, body)
                self._version, self._failures, delivered = version, 0, True
        if not delivered and loop.time() - began < SHORTEST_WATCH:
            raise UnavailableError("the API server ended the watch at once")

    def _take(self, event_type: str | None, body: Json) -> None:
        if self.observer.is_news(self.resource, event_type, body):
            self.observer.observe(self.resource, event_type, body)

    def _cached(self) -> dict[Key, str]:
        """Return the uids of the cached objects of the watched namespace."""
        store = self.cache.store(self.resource)
        found = ((key, store.get(key)) for key in store if self.namespace in ("", key[0]))
        return {key: record.uid for key, record in found if record is not None}

    def _remove(self, key: Key, uid: str) -> None:
        """Report the deletion of a cached object that the watch has missed."""
        body = self.cache.last_read(self.resource, *key)
        if body is not None and body["metadata"]["uid"] == uid:
            self.observer.observe(self.resource, "DELETED", body)

    async def _wait_for_kind(self) -> None:
        """Remove the objects of a missing kind, and wait for some time."""
        self._version = ""
        for key, uid in self._cached().items():
            self._remove(key, uid)
        await asyncio.sleep(LOOK_SECONDS)

    async def _pause(self, error: ClusterError, failures: int) -> None:
        self._problem = str(error)
        log.warning("watch failed", kind=self.resource.kind, error=type(error).__name__, text=str(error))
        requested = error.retry_after if isinstance(error, UnavailableError) else 0.0
        pause = min(LONGEST_PAUSE, 2.0 ** min(failures - 1, 10)) * (0.5 + self.jitter())
        await asyncio.sleep(max(requested, pause))
