"""A re-list that finds what a watch has missed.

kopf tells of no deletion that happened while its watch was down (kopf.md 4.1), and gives no sign that the first listing
is complete. A listing of metadata alone answers both. What it finds is reported; it reads no object and adds none.
"""

import asyncio
import random
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic

import structlog

from tallystick.api.meta import Resource
from tallystick.runtime.store import Key, R, Store, is_older
from tallystick.services.ports import Cluster, ClusterError, Json

log = structlog.get_logger("tallystick.relist")

POLL_SECONDS = 0.1
POLLS_PER_LISTING = 50
LISTING_PAUSE = 1.0


class NotSyncedError(Exception):
    """The watch has not delivered all objects in time. The text names the kind and how many are missing."""


@dataclass(frozen=True, slots=True)
class Listing:
    """What one listing has shown.

    Attributes:
        listed: How many objects there are.
        gone: Keys that the store had and the API server has not; they are dropped.
        missing: Keys whose object the store does not have (yet).
        outdated: Keys that the store has in an older version: the watch lags, or is dead.
    """

    listed: int
    gone: tuple[Key, ...]
    missing: tuple[Key, ...]
    outdated: tuple[Key, ...]


@dataclass(slots=True)
class Relister(Generic[R]):
    """Compares one kind's store with the API server.

    Attributes:
        namespaces: What the watch watches; '' is all namespaces.
        label_selector: The watch's.
        jitter: Spreads the listings of several kinds and replicas; 0 <= x < 1.
    """

    cluster: Cluster
    resource: Resource
    store: Store[R]
    namespaces: Sequence[str] = ("",)
    label_selector: str = ""
    jitter: Callable[[], float] = random.random

    async def once(self) -> Listing:
        """List once. Raises `ClusterError` if any page fails; then nothing was dropped."""
        uids: set[str] = set()
        unknown: list[tuple[Key, str]] = []
        outdated: list[Key] = []
        # What the watch tells meanwhile may be newer than the listing and is not judged by it.
        with self.store.noting() as not_observed_since:
            async for meta in self._listed():
                key, uid = (sys.intern(meta.get("namespace", "")), meta["name"]), meta["uid"]
                uids.add(uid)
                record = self.store.get(key)
                if record is None or record.uid != uid:
                    unknown.append((key, uid))
                elif is_older(record.resource_version, meta["resourceVersion"]):
                    outdated.append(key)
            gone = [(key, uid) for key, uid in not_observed_since() if uid not in uids]
        for key, uid in gone:
            self.store.drop(key, uid)
        # The watch has gone on meanwhile: what it has delivered by now is not missing.
        missing = tuple(key for key, uid in unknown if not self._has(key, uid))
        return Listing(len(uids), tuple(key for key, _ in gone), missing, tuple(outdated))

    async def run(self, on_listing: Callable[[Resource, Listing], Awaitable[None]], interval: float = 600.0) -> None:
        """List every `interval` seconds, give or take a tenth, until cancelled. A failed listing waits for the next."""
        while True:
            await asyncio.sleep(interval * (0.9 + 0.2 * self.jitter()))
            try:
                await on_listing(self.resource, await self.once())
            except ClusterError as error:
                log.warning("re-list failed", kind=self.resource.kind, error=type(error).__name__, text=str(error))

    async def wait_until_synced(self, deadline_seconds: float = 120.0) -> None:
        """Return as soon as every listed object is in the store. Raises `NotSyncedError` after the deadline."""
        try:
            async with asyncio.timeout(deadline_seconds):
                synced = False
                while not synced:
                    synced = await self._is_synced()
        except TimeoutError:
            msg = f"the watch of {self.resource.plural} did not deliver all objects within {deadline_seconds:.0f} s"
            raise NotSyncedError(msg) from None

    async def _listed(self) -> AsyncIterator[Json]:
        """The metadata of each object. One page is held at a time: there may be many objects."""
        # The port lists consistently: a stale answer from the watch cache would make new objects look gone.
        for namespace in self.namespaces:
            objects = self.cluster.list(
                self.resource, namespace, label_selector=self.label_selector, metadata_only=True
            )
            async for body in objects:
                yield body["metadata"]

    def _has(self, key: Key, uid: str) -> bool:
        record = self.store.get(key)
        return record is not None and record.uid == uid

    async def _is_synced(self) -> bool:
        """List, and give the watch some seconds to deliver what is missing, so that we need not list again."""
        try:
            missing = (await self.once()).missing
        except ClusterError as error:
            log.warning("listing failed", kind=self.resource.kind, error=type(error).__name__, text=str(error))
            await asyncio.sleep(LISTING_PAUSE)
            return False
        for _ in range(POLLS_PER_LISTING):
            if all(self.store.get(key) for key in missing):
                return True
            await asyncio.sleep(POLL_SECONDS)
        # What is still missing may have been deleted meanwhile: the next listing tells.
        return False
