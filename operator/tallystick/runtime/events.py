"""Warning events of the core API: created, never updated, and few (S28).

For each object and reason one event a minute; the next one's `count` tells how many there were. An event is a
courtesy: when there are too many, or the API server does not take one, it is dropped and counted.
"""

import asyncio
import itertools
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import structlog

from tallystick.api.core import EVENTS
from tallystick.runtime.redaction import redact
from tallystick.services.ports import Clock, Cluster, ClusterError, Json

REMEMBERED = 10_000
WAITING = 1_000
MESSAGE_BYTES = 1_024

log = structlog.get_logger("tallystick.events")


@dataclass(slots=True)
class _Told:
    """When an object and reason was last told of, and how often it was not since then."""

    at: float
    suppressed: int = 0
    first_suppressed: datetime | None = None


class EventRecorder:
    """The Events port. `warn` never fails and never waits; `run` writes.

    Args:
        cluster: Where events are created.
        clock: For the limit and for the times in an event.
        component: Who tells, as `kubectl describe` shows it in its column "From".
        limit_per_minute: Events per object and reason.
        on_suppressed: Called for each event that is not written, for a metric.
    """

    def __init__(
        self,
        cluster: Cluster,
        clock: Clock,
        component: str,
        limit_per_minute: float = 1.0,
        *,
        on_suppressed: Callable[[], None] = lambda: None,
    ) -> None:
        self._cluster = cluster
        self._clock = clock
        self._component = component
        self._interval = 60.0 / limit_per_minute
        self._on_suppressed = on_suppressed
        self._told: OrderedDict[tuple[str, str], _Told] = OrderedDict()
        self._waiting: asyncio.Queue[Json | None] = asyncio.Queue()
        self._order = itertools.count()
        self._closed = False

    def warn(self, about: Json, reason: str, message: str) -> None:
        """Tell about an object (as read from the API). Rate-limited per object and reason; never fails, never waits."""
        meta = about.get("metadata", {})
        subject = meta.get("uid") or f"{meta.get('namespace', '')}/{meta.get('name', '')}"
        now = self._clock.monotonic()
        told = self._told.get((subject, reason))
        if told and now - told.at < self._interval:
            told.suppressed += 1
            told.first_suppressed = told.first_suppressed or self._clock.now()
            self._on_suppressed()
            return
        if self._closed or self._waiting.qsize() >= WAITING:
            self._on_suppressed()
            return
        self._waiting.put_nowait(self._event(about, reason, message, told or _Told(now)))
        self._remember((subject, reason), now)

    async def run(self) -> None:
        """Write events until `close()`, then what still waits."""
        while (event := await self._waiting.get()) is not None:
            try:
                await self._cluster.create(EVENTS, event)
            except ClusterError as error:
                self._on_suppressed()
                log.warning("event dropped", reason=event["reason"], error=type(error).__name__, text=str(error))

    def close(self) -> None:
        """Take no more events; `run` returns once those that wait are written."""
        self._closed = True
        self._waiting.put_nowait(None)

    def _remember(self, key: tuple[str, str], now: float) -> None:
        self._told[key] = _Told(now)
        self._told.move_to_end(key)
        if len(self._told) > REMEMBERED:
            self._told.popitem(last=False)

    def _event(self, about: Json, reason: str, message: str, before: _Told) -> Json:
        meta = about.get("metadata", {})
        now = self._clock.now()
        # Events about a cluster-scoped object live in `default`: the API server refuses any other namespace.
        namespace = meta.get("namespace", "")
        return {
            "apiVersion": EVENTS.api_version,
            "kind": EVENTS.kind,
            "metadata": {"namespace": namespace or "default", "name": self._name(meta.get("name", ""), now)},
            "involvedObject": {
                "apiVersion": about.get("apiVersion", ""),
                "kind": about.get("kind", ""),
                "namespace": namespace,
                "name": meta.get("name", ""),
                "uid": meta.get("uid", ""),
                "resourceVersion": meta.get("resourceVersion", ""),
            },
            "type": "Warning",
            "reason": reason,
            "message": _bounded(message),
            "count": before.suppressed + 1,
            "firstTimestamp": _second(before.first_suppressed or now),
            "lastTimestamp": _second(now),
            "source": {"component": self._component},
            "reportingComponent": self._component,
        }

    def _name(self, name: str, now: datetime) -> str:
        """`<object>.<hex>`, unique by the time and a running number, within the 253 characters of a name."""
        microseconds = int(now.timestamp() * 1_000_000)
        return f"{name[:220]}.{microseconds:x}{next(self._order) & 0xFFFF:04x}"


def _bounded(message: str) -> str:
    """What the API server takes (1,024 bytes), on one line and without a token (S28)."""
    printable = "".join(c if c.isprintable() else " " for c in redact(message))
    return printable.encode()[:MESSAGE_BYTES].decode(errors="ignore")


def _second(time: datetime) -> str:
    """The spelling of `metav1.Time`."""
    return f"{time:%Y-%m-%dT%H:%M:%SZ}"
