"""Leadership by a Lease of coordination.k8s.io/v1: every replica watches, one works.

A lease is no fence: a leader that is paused between a check and a write may write after another took over. So all
writes stay conditional (I22), and this only keeps two replicas from doing the same work for long.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

import structlog

from tallystick.api.core import LEASES
from tallystick.services.ports import (
    AlreadyExistsError,
    Clock,
    Cluster,
    ClusterError,
    ConflictError,
    Json,
    NotFoundError,
)

log = structlog.get_logger("tallystick.lease")


@dataclass(frozen=True, slots=True)
class LeaseName:
    """Which Lease is competed for, and by whom. `identity` is unique to the process: a pod's name and a random part."""

    namespace: str
    name: str
    identity: str


@dataclass(frozen=True, slots=True)
class LeaseTimes:
    """Seconds. `renew_deadline` is shorter than `duration`: a leader gives up before another may take over.

    Attributes:
        retry: Between two attempts.
        hurry: Between two attempts of a leader whose last one failed: a few refusals in a row, of an API server that
            refuses one request in ten, are no reason to end.
    """

    duration: float = 15.0
    renew_deadline: float = 10.0
    retry: float = 2.0
    hurry: float = 1.0


class LeaderElector:
    """One replica's part in the election.

    Args:
        cluster: Where the Lease lives.
        clock: Its monotonic time decides everything; the time of day is only written, for people to read.
        lease: Which Lease, and who we are.
        times: How long things last.
        jitter: Spreads the attempts of several replicas; 0 <= x < 1.
    """

    def __init__(
        self,
        cluster: Cluster,
        clock: Clock,
        lease: LeaseName,
        times: LeaseTimes = LeaseTimes(),
        *,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._cluster = cluster
        self._clock = clock
        self._lease = lease
        self._times = times
        self._jitter = jitter
        self._held: Json | None = None  # the Lease as we last wrote it; None when we must read it
        self._renewed = float("-inf")  # when the request of the last successful renewal was sent
        self._seen: tuple[str, str, str] | None = None
        self._seen_since = 0.0
        self._expires = 0.0  # when the Lease that we saw is free to take, if it stays as it is

    @property
    def is_leader(self) -> bool:
        """Whether we lead now. False as soon as the deadline has passed, even if this process slept through it."""
        return self._clock.monotonic() - self._renewed < self._times.renew_deadline

    async def run(self, on_started: Callable[[], Awaitable[None]], on_lost: Callable[[], None]) -> None:
        """Compete, lead, and return once leadership is lost. To compete again, call it again.

        `on_started` runs as a task while we lead and is cancelled when we no longer do; `on_lost` is called first.
        """
        await self._acquire()
        log.info("leading", lease=self._lease.name, identity=self._lease.identity)
        async with asyncio.TaskGroup() as group:
            work = group.create_task(_call(on_started))
            await self._renew_until_lost()
            log.error("leadership lost", lease=self._lease.name, identity=self._lease.identity)
            on_lost()
            work.cancel()

    async def release(self) -> None:
        """Give the Lease back, after `run` was cancelled, so that another replica need not wait for it to expire."""
        if not self.is_leader:
            return
        self._renewed = float("-inf")
        try:
            # Read anew: a renewal that was cancelled half-way may have been carried out.
            held = await self._cluster.get(LEASES, self._lease.namespace, self._lease.name)
            if held["spec"].get("holderIdentity") == self._lease.identity:
                await self._cluster.replace(LEASES, self._body(held, holder=""))
        except ClusterError as error:
            log.warning("lease not released: it expires by itself", error=type(error).__name__, text=str(error))

    async def _acquire(self) -> None:
        await self._attempt()
        # An answer that took longer than the deadline made us no leader, and the next attempt renews.
        while not self.is_leader:
            await self._pause(self._times.retry)
            await self._attempt()

    async def _renew_until_lost(self) -> None:
        renewed = True
        while self.is_leader:
            remaining = self._renewed + self._times.renew_deadline - self._clock.monotonic()
            try:
                async with asyncio.timeout(remaining):
                    await self._pause(self._times.retry if renewed else self._times.hurry)
                    renewed = await self._attempt()
            except TimeoutError:
                # The request that was cut off may have been carried out.
                self._held = None

    async def _pause(self, seconds: float) -> None:
        # client-go's factor: replicas that started together soon no longer ask together.
        seconds *= 1 + 0.2 * self._jitter()
        expires_in = self._expires - self._clock.monotonic()
        # A dead leader's Lease is asked for right when it expires, not up to one pause later.
        await asyncio.sleep(min(seconds, expires_in + 0.01) if expires_in > 0 else seconds)

    async def _attempt(self) -> bool:
        """Try once to get or to renew the Lease. Returns whether it is ours now; a fault of the API is a no."""
        sent = self._clock.monotonic()
        try:
            held = await self._write()
        except (ConflictError, AlreadyExistsError):
            # Another replica was faster, or an earlier write of ours did arrive: the next attempt reads which.
            self._held = None
            return False
        except ClusterError as error:
            self._held = None
            log.warning("lease not written", error=type(error).__name__, text=str(error))
            return False
        if held is None:
            self._renewed = float("-inf")
            return False
        self._held = held
        # Counted from before the request: whoever saw our write saw it later, so we give up before he takes over.
        self._renewed = sent
        return True

    async def _write(self) -> Json | None:
        """Create, renew or take over the Lease by compare-and-swap; None while it is another's."""
        if self._held:
            return await self._cluster.replace(LEASES, self._body(self._held, holder=self._lease.identity))
        try:
            seen = await self._cluster.get(LEASES, self._lease.namespace, self._lease.name)
        except NotFoundError:
            return await self._cluster.create(LEASES, self._body({}, holder=self._lease.identity))
        if not self._may_take(seen):
            return None
        return await self._cluster.replace(LEASES, self._body(seen, holder=self._lease.identity))

    def _may_take(self, seen: Json) -> bool:
        """Whether the Lease is ours, free, or has expired.

        A Lease has expired when our own monotonic clock has seen it unchanged for its duration (client-go's rule): the
        times that are written in it come from another machine's clock and are not compared with ours.
        """
        spec = seen.get("spec", {})
        holder = spec.get("holderIdentity") or ""
        signature = (holder, spec.get("renewTime") or "", seen["metadata"]["resourceVersion"])
        if signature != self._seen:
            self._seen = signature
            self._seen_since = self._clock.monotonic()
        duration = float(spec.get("leaseDurationSeconds") or self._times.duration)
        self._expires = self._seen_since + duration
        return holder in ("", self._lease.identity) or self._clock.monotonic() >= self._expires

    def _body(self, seen: Json, *, holder: str) -> Json:
        """The Lease to write over `seen` ({} for a new one); holder '' gives it back."""
        spec = seen.get("spec", {})
        now = _micro_time(self._clock.now())
        changes_hands = bool(holder) and spec.get("holderIdentity") != holder
        transitions = int(spec.get("leaseTransitions") or 0)
        return {
            "apiVersion": LEASES.api_version,
            "kind": LEASES.kind,
            "metadata": seen.get("metadata") or {"namespace": self._lease.namespace, "name": self._lease.name},
            "spec": {
                **spec,
                "holderIdentity": holder,
                # A Lease that was given back is free at once, also for those who do not know what '' means.
                "leaseDurationSeconds": round(self._times.duration) if holder else 1,
                "acquireTime": now if changes_hands else spec.get("acquireTime", now),
                "renewTime": now,
                "leaseTransitions": transitions + 1 if changes_hands and seen else transitions,
            },
        }


async def _call(on_started: Callable[[], Awaitable[None]]) -> None:
    await on_started()


def _micro_time(time: datetime) -> str:
    """The spelling of `metav1.MicroTime`."""
    return f"{time:%Y-%m-%dT%H:%M:%S.%fZ}"
