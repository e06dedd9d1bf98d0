"""Freshness by construction: the exchange decides by GET, never by a watch (decisions.md).

An answer is shared by those who ask within `max_staleness` of when the GET was *sent*. So what is revoked at one
instant is inactive for every request that comes in later than that, on every replica, whatever else fails.
"""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta

from tallystick.api.meta import Resource
from tallystick.domain.errors import NotYetError
from tallystick.services.ports import Clock, Cluster, Json, NotFoundError, UnavailableError

CLOCK_TOLERANCE = timedelta(seconds=30)

Key = tuple[Resource, str, str]


@dataclass(frozen=True, slots=True)
class _Reading:
    sent: float
    task: "asyncio.Task[Json | None]"

    @property
    def failed(self) -> bool:
        """Whether it has told nothing: then it answers those who wait for it, and nobody after them."""
        return self.task.done() and (self.task.cancelled() or self.task.exception() is not None)


class FreshReader:
    """Reads objects, one GET at a time for each, and shares the answer for a moment."""

    def __init__(self, cluster: Cluster, clock: Clock, *, max_staleness: float = 1.0) -> None:
        """Hold nothing yet.

        Args:
            cluster: the API server.
            clock: durations.
            max_staleness: for how many seconds after it was sent a reading may answer new requests.
        """
        self._cluster = cluster
        self._clock = clock
        self._max_staleness = max_staleness
        self._readings: OrderedDict[Key, _Reading] = OrderedDict()

    async def get(
        self, resource: Resource, namespace: str, name: str, *, uid: str = "", serial: int = 0
    ) -> Json | None:
        """Return the object or None; raises NotYetError where it cannot be known.

        A shared reading is not used where it is behind what the caller knows from a verified token: that an object
        with this uid, and with at least this serial, has been there.
        """
        now = self._clock.monotonic()
        self._drop_stale(now)
        key = (resource, namespace, name)
        shared = key in self._readings and not self._readings[key].failed
        if not shared:
            self._readings.pop(key, None)  # the new one stands last: they are in the order in which they were sent
            self._readings[key] = _Reading(now, asyncio.create_task(self._read(*key)))
        # The reading belongs to all who wait for it: one of them hanging up must not end it.
        body = await asyncio.shield(self._readings[key].task)
        if shared and _is_behind(body, uid, serial):
            return await self.get_anew(*key)
        return body

    async def get_anew(self, resource: Resource, namespace: str, name: str) -> Json | None:
        """Read the object by a GET of one's own: never shared, never reused."""
        self._readings.pop((resource, namespace, name), None)
        return await self._read(resource, namespace, name)

    async def _read(self, resource: Resource, namespace: str, name: str) -> Json | None:
        try:
            return await self._cluster.get(resource, namespace, name)
        except NotFoundError:
            return None
        except UnavailableError as error:
            raise cannot_know(error) from error

    def _drop_stale(self, now: float) -> None:
        """Forget from the front: readings stand in the order in which they were sent."""
        while self._readings:
            key, oldest = next(iter(self._readings.items()))
            if now - oldest.sent <= self._max_staleness:
                return
            del self._readings[key]


def _is_behind(body: Json | None, uid: str, serial: int) -> bool:
    if body is None:
        return True
    another = uid != "" and body["metadata"]["uid"] != uid
    # A ConnectionConfiguration counts its tokens in the status: nobody asks for one of them in particular.
    reached = body["spec"].get("serial") or (body.get("status") or {}).get("lastSerial") or 1
    return another or int(reached) < serial


class ServerClock:
    """Compares our clock with the API server's, which all replicas share."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset = timedelta(0)

    def observe(self, server_time: datetime) -> None:
        """Take note of the `Date` of an answer; it is exact to a second."""
        self._offset = self._clock.now() - server_time

    def check(self) -> None:
        """Raise NotYetError while the clocks are too far apart to judge an expiry."""
        if abs(self._offset) > CLOCK_TOLERANCE:
            seconds = int(abs(self._offset).total_seconds())
            raise NotYetError(
                "clock_unsafe", f"this replica's clock is {seconds} s away from the API server's", retry_after=30
            )


def cannot_know(error: UnavailableError) -> NotYetError:
    """Say that nothing can be said: a replica that cannot know never guesses."""
    return NotYetError(
        "temporarily_unavailable",
        "the state of the token cannot be read now; ask again",
        retry_after=max(1, round(error.retry_after)),
    )
