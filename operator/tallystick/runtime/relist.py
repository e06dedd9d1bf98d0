"""A re-list that finds what a watch has missed.

kopf tells of no deletion that happened while its watch was down (kopf.md 4.1), and gives no sign that the first listing
is complete. A listing of metadata alone answers both. What it finds is reported; it reads no object and adds none.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic

import structlog

from tallystick.api.meta import Resource
from tallystick.runtime.store import Key, R, Store, is_older
from tallystick.services.ports import Clock, Cluster, ClusterError

log = structlog.get_logger("tallystick.relist")

POLL_SECONDS = 0.1
POLLS_PER_LISTING = 50
LISTING_PAUSE = 1.0
_NOWHERE = ("", "")


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
        on_gone: Told each key whose deletion was missed, after the store has dropped it.
        jitter: Spreads the listings of several kinds and replicas; 0 <= x < 1.
        last_time: When the last complete listing ended, by the monotonic clock.
    """

    cluster: Cluster
    resource: Resource
    store: Store[R]
    on_gone: Callable[[Key], None]
    clock: Clock
    namespaces: Sequence[str] = ("",)
    label_selector: str = ""
    jitter: Callable[[], float] = random.random
    last_time: float | None = None

    async def once(self) -> Listing:
        """List once. Raises `ClusterError` if any page fails; then nothing was dropped."""
        # What the watch tells after this moment may be newer than the listing and is not judged by it.
        began = self.store.revision
        listed = await self._listed()
        gone = [(key, uid) for key, uid in self.store.known_since(began) if listed.get(key, _NOWHERE)[0] != uid]
        for key, uid in gone:
            self.store.drop(key, uid)
            self.on_gone(key)
        missing, outdated = self._behind(listed)
        self.last_time = self.clock.monotonic()
        return Listing(len(listed), tuple(key for key, _ in gone), tuple(missing), tuple(outdated))

    async def run(self, on_listing: Callable[[Listing], None], interval: float = 600.0) -> None:
        """List every `interval` seconds, give or take a tenth, until cancelled. A failed listing waits for the next."""
        while True:
            await asyncio.sleep(interval * (0.9 + 0.2 * self.jitter()))
            try:
                on_listing(await self.once())
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

    async def _listed(self) -> dict[Key, tuple[str, str]]:
        """Uid and resource version of each object, by key."""
        listed = {}
        # The port lists consistently: a stale answer from the watch cache would make new objects look gone.
        for namespace in self.namespaces:
            objects = self.cluster.list(
                self.resource, namespace, label_selector=self.label_selector, metadata_only=True
            )
            async for body in objects:
                meta = body["metadata"]
                listed[meta.get("namespace", ""), meta["name"]] = (meta["uid"], meta["resourceVersion"])
        return listed

    def _behind(self, listed: dict[Key, tuple[str, str]]) -> tuple[list[Key], list[Key]]:
        missing, outdated = [], []
        for key, (uid, version) in listed.items():
            record = self.store.get(key)
            if record is None or record.uid != uid:
                missing.append(key)
            elif is_older(record.resource_version, version):
                outdated.append(key)
        return missing, outdated

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
