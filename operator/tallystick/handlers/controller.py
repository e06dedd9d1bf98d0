"""The controller as a whole: watches feed a view and a queue; the leader's workers bring each object to rest.

    kopf watch --> view --> queue --> reconciler --> conditional writes
                     ^        ^                            |
                     |        +-- expiry heap, re-list     |
                     +------------- what a write returned -+

Every replica watches, so that the next leader starts with a warm view; only the leader works.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, Protocol

import structlog

from tallystick.api.connection_configuration import CONNECTION_CONFIGURATIONS
from tallystick.api.core import SECRETS
from tallystick.api.master_token import MASTER_TOKENS
from tallystick.api.meta import Resource
from tallystick.api.pairing_token import PAIRING_TOKENS
from tallystick.crypto.keys import Algorithm
from tallystick.domain.errors import NotYetError
from tallystick.domain.grants import IssuancePolicy
from tallystick.domain.keys_in_use import KINDS_WITH_KEYS, keys_in_use
from tallystick.handlers.watches import SECRET_SELECTOR
from tallystick.runtime.events import EventRecorder
from tallystick.runtime.expiry import ExpiryHeap
from tallystick.runtime.lease import LeaderElector, LeaseName
from tallystick.runtime.metrics import Metrics
from tallystick.runtime.relist import Listing, Relister
from tallystick.runtime.view import ObjectKey, WatchedView
from tallystick.runtime.work_queue import Level, WorkQueue
from tallystick.services.connection_configurations import ConnectionConfigurations
from tallystick.services.freshness import ServerClock
from tallystick.services.issuer import Issuer
from tallystick.services.keyrings import REFRESH_SECONDS, Keyrings
from tallystick.services.master_tokens import MasterTokens
from tallystick.services.outcome import Outcome
from tallystick.services.pairing_tokens import PairingTokens
from tallystick.services.ports import Audit, Clock, Cluster, ClusterError, NotFoundError
from tallystick.services.presence_registry import PresenceRegistry
from tallystick.services.requester import Requester
from tallystick.services.surroundings import Surroundings

LEASE = "tallystick-controller"
PROBE_SECONDS = 60.0  # S4
UNPROTECTED_PROBE_SECONDS = 5.0
KEY_CARE_SECONDS = 300.0
CARE_FOR_KEYS = "care for the signing keys"
READ_INSTANCES = "read what instances are there"

log = structlog.get_logger("tallystick.controller")


class Reconciler(Protocol):
    """Brings one object of its kind to rest."""

    async def reconcile(self, namespace: str, name: str) -> Outcome:
        """Do what is to be done now, and say when to look again. May raise ClusterError or NotYetError."""
        ...


@dataclass(frozen=True, slots=True)
class ControllerSettings:
    """What one controller process is told.

    Args:
        namespace: the operator's own, where the Lease and the keyring live.
        identity: unique to this process.
        watch_namespaces: empty means all.
        ca_pem: the CA of the exchange's certificate, for the Secrets.
        key_max_age: when the leader rotates the signing key by itself.
    """

    namespace: str
    identity: str
    policy: IssuancePolicy
    algorithm: Algorithm = "ES256"
    key_max_age: timedelta = timedelta(days=90)
    ca_pem: str | None = None
    watch_namespaces: tuple[str, ...] = ()
    workers: int = 32


class Controller:
    """One replica. `observe` is called by the watches; `run` leads when it is its turn."""

    def __init__(
        self,
        cluster: Cluster,
        settings: ControllerSettings,
        *,
        clock: Clock,
        server_clock: ServerClock,
        audit: Audit,
        metrics: Metrics,
        lease_cluster: Cluster | None = None,
    ) -> None:
        """Watch and lead nothing yet.

        Args:
            cluster: the API server.
            settings: what this process is told.
            clock: time.
            server_clock: what is known of the API server's time.
            audit: the audit log.
            metrics: the metrics of this process.
            lease_cluster: the API server by a connection that nothing but the Lease uses; `cluster` where it is None.
        """
        self._cluster = cluster
        self._settings = settings
        self._clock = clock
        self._audit = audit
        self._metrics = metrics
        self._view = WatchedView()
        self._queue: WorkQueue[ObjectKey] = WorkQueue()
        self._heap: ExpiryHeap[ObjectKey] = ExpiryHeap(clock)
        self._events = EventRecorder(
            cluster, clock, "tallystick-controller", on_suppressed=metrics.events_suppressed.inc
        )
        self._keyrings = Keyrings(cluster, clock, namespace=settings.namespace, issuer=settings.policy.issuer)
        self._requester = Requester(cluster, mode=settings.policy.requester, namespace=settings.namespace)
        self._elector = LeaderElector(
            lease_cluster or cluster, clock, LeaseName(settings.namespace, LEASE, settings.identity)
        )
        issuer = Issuer(self._keyrings, settings.policy, ca_pem=settings.ca_pem)
        around = Surroundings(clock, server_clock, audit, self._events)
        self._presences = PresenceRegistry(cluster, clock, namespace=settings.namespace)
        connections = ConnectionConfigurations(cluster, self._view, issuer, self._presences, around)
        self._reconcilers: dict[Resource, Reconciler] = {
            PAIRING_TOKENS: PairingTokens(cluster, self._view, issuer, self._requester, around),
            MASTER_TOKENS: MasterTokens(cluster, self._view, around),
            CONNECTION_CONFIGURATIONS: connections,
        }
        self._relisters = self._make_relisters(cluster)
        self._leading = False
        self._synced = asyncio.Event()
        self._probed_at = 0.0
        metrics.watch_queue(lambda: self._queue.depth, self._queue.oldest_age)
        for level in Level:
            ready, age = partial(self._queue.ready, level), partial(self._queue.oldest_ready_age, level)
            metrics.watch_level(level.value, ready, age)
        metrics.watch_rotations(connections.census.oldest_age, connections.census.count)

    def _make_relisters(self, cluster: Cluster) -> "tuple[Relister[Any], ...]":
        namespaces = self._settings.watch_namespaces or ("",)
        ours: list[Relister[Any]] = [
            Relister(cluster, resource, store, namespaces) for resource, store in self._view.stores.items()
        ]
        return (*ours, Relister(cluster, SECRETS, self._view.secrets, namespaces, SECRET_SELECTOR))

    @property
    def why_not_ready(self) -> str | None:
        """What this replica still waits for; None when it would do as the leader."""
        return None if self._synced.is_set() else "the first listing is not complete"

    def is_news(self, resource: Resource, event_type: str | None, body: Mapping[str, Any]) -> bool:
        """Tell whether an event is more than the echo of a write of ours."""
        return event_type == "DELETED" or not self._view.has(resource, body["metadata"])

    def observe(self, resource: Resource, event_type: str | None, body: Mapping[str, Any]) -> None:
        """Take in one event, and mark what it may have changed."""
        seen = dict(body)
        changed = self._view.observe(resource, event_type, seen)
        if not (changed and self._leading):
            return
        # A listing shows what is there. Any other type of event is a change that happened just now.
        level = Level.ROUTINE if event_type is None else Level.URGENT
        for key in self._view.touched_by(resource, seen):
            self._queue.add(key, level)

    async def run(self) -> None:
        """Watch, lead when it is our turn, and return when leadership is lost: then the process has to end."""
        async with asyncio.TaskGroup() as group:
            recorder = group.create_task(self._events.run())
            sync = group.create_task(self._sync())
            try:
                await self._elector.run(self._lead, self._stop_leading)
            finally:
                self._stop_leading()
                recorder.cancel()
                sync.cancel()
                await self._elector.release()

    async def _sync(self) -> None:
        await asyncio.gather(*(relister.wait_until_synced() for relister in self._relisters))
        self._synced.set()
        counts = {resource.plural: len(store) for resource, store in self._view.stores.items()}
        log.info("synced", **counts, secrets=len(self._view.secrets))
        await asyncio.gather(*(relister.run(self._on_listing) for relister in self._relisters))

    async def _lead(self) -> None:
        await self._synced.wait()
        await self._until_done(lambda: self._keyrings.ensure(self._settings.algorithm), "make the keyring")
        await self._requester.probe()
        await self._try(self._presences.refresh, READ_INSTANCES)  # before the first look at who uses which token
        self._leading = True
        self._metrics.leader.set(1)
        self._look_at_all()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._queue.run(self._work, self._settings.workers))
            group.create_task(self._heap.run(self._queue.add))
            group.create_task(self._every(REFRESH_SECONDS, self._keyrings.refresh, "read the keyring"))
            group.create_task(self._every(UNPROTECTED_PROBE_SECONDS, self._probe, "probe the requester policy"))
            group.create_task(self._every(REFRESH_SECONDS, self._refresh_presences, READ_INSTANCES))
            group.create_task(self._keep_caring_for_keys())

    def _stop_leading(self) -> None:
        self._leading = False
        self._metrics.leader.set(0)

    def _look_at_all(self) -> None:
        """Look at every object, after whatever changes meanwhile."""
        for key in self._view.everything():
            self._queue.add(key, Level.ROUTINE)

    async def _on_listing(self, resource: Resource, listing: Listing) -> None:
        """Make up for what the watch has missed, which a healthy one does not."""
        if not (listing.gone or listing.missing or listing.outdated):
            return
        log.warning("the watch is behind", gone=len(listing.gone), missing=len(listing.missing))
        for namespace, name in (*listing.missing, *listing.outdated):
            with suppress(NotFoundError):
                self.observe(resource, "MODIFIED", await self._cluster.get(resource, namespace, name))
        if self._leading:
            # Which owner a missed Secret had is not known any more; to look at all costs no request.
            self._look_at_all()

    async def _work(self, key: ObjectKey) -> None:
        resource, namespace, name = key
        try:
            outcome = await self._reconcilers[resource].reconcile(namespace, name)
        except Exception:
            self._metrics.count_reconcile(resource.kind, "failed")
            raise
        self._metrics.count_reconcile(resource.kind, "done")
        self._plan(key, outcome)

    def _plan(self, key: ObjectKey, outcome: Outcome) -> None:
        if outcome.wake_at is not None:
            self._heap.set(key, outcome.wake_at)
        else:
            self._heap.discard(key)
        if outcome.retry_after is not None:
            self._queue.add_after(key, outcome.retry_after)

    async def _probe(self) -> None:
        before, now = self._requester.protected, self._clock.monotonic()
        if before and now - self._probed_at < PROBE_SECONDS:
            return
        self._probed_at = now
        if await self._requester.probe() and not before:
            self._look_at_all()

    async def _refresh_presences(self) -> None:
        for key in await self._presences.refresh():
            # A heartbeat is self-reported: a flood of them does not keep a user's change waiting.
            self._queue.add((CONNECTION_CONFIGURATIONS, *key), Level.ROUTINE)

    async def _keep_caring_for_keys(self) -> None:
        """Begin as soon as every object was looked at: what a crash has left unrecorded names its key then.

        Not only after the first interval: else a leader that changes often would never rotate by age.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(KEY_CARE_SECONDS):
                await self._queue.drain()
        await self._try(self._care_for_keys, CARE_FOR_KEYS)
        await self._every(KEY_CARE_SECONDS, self._care_for_keys, CARE_FOR_KEYS)

    async def _care_for_keys(self) -> None:
        """Rotate the signing key by age, and drop old ones that nothing alive was signed with."""
        settings = self._settings
        rotated = await self._keyrings.rotate_by_age(settings.algorithm, settings.key_max_age)
        if rotated is not None:
            self._audit.record("rotate-key", "ok", kid=rotated.entries[-1].key.key_id, reason="age")
        for key_id in sorted(await self._keyrings.retire(await self._keys_in_use())):
            self._audit.record("retire-key", "ok", kid=key_id)
        newest_age = self._keyrings.keyring().newest_age(self._clock.now())
        self._metrics.keyring_age.set(newest_age.total_seconds())

    async def _keys_in_use(self) -> set[str]:
        """Return the ids of the keys that a live token names."""
        now = self._clock.now()
        in_use: set[str] = set()
        for resource in KINDS_WITH_KEYS:
            for key in self._view.stores[resource]:
                raw = self._view.get(resource, *key)
                in_use |= keys_in_use(resource, raw, now) if raw is not None else set()
                await asyncio.sleep(0)  # there may be many, and others have work to do
        return in_use

    async def _every(self, seconds: float, do: Callable[[], Awaitable[object]], what: str) -> None:
        while True:
            await asyncio.sleep(seconds)
            await self._try(do, what)

    async def _until_done(self, do: Callable[[], Awaitable[object]], what: str) -> None:
        done = await self._try(do, what)
        while not done:
            await asyncio.sleep(1.0)
            done = await self._try(do, what)

    async def _try(self, do: Callable[[], Awaitable[object]], what: str) -> bool:
        try:
            await do()
        except (ClusterError, NotYetError) as error:
            log.warning("to be tried again", what=what, error=type(error).__name__, text=str(error))
            return False
        return True
