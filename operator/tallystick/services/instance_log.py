"""Keep what heartbeats tell: the latest in memory, and which instance uses which token in one ConfigMap per replica.

A heartbeat writes nothing. What it changes is stored within seconds, in one write for all that has changed; and while
instances are there at all, the times of their last heartbeats are stored once a minute. So the cost is that of time,
not of heartbeats: at most 21 writes a minute for each replica, and one where nothing changes.
"""

import math
from dataclasses import dataclass, field

import structlog

from tallystick.api.core import CONFIG_MAPS
from tallystick.api.meta import ObjectMeta
from tallystick.domain.instance_maps import Record, instance_map, instance_map_name, stored_records
from tallystick.domain.presence import HEARTBEAT_SECONDS, MOST_KEPT, Presence, Sighting, is_forgotten, join
from tallystick.services.ports import (
    AlreadyExistsError,
    Clock,
    Cluster,
    ClusterError,
    ConflictError,
    Json,
    NotFoundError,
    UnavailableError,
)

CHANGES_SECONDS = 3.0
TIMES_SECONDS = 60.0
POLL_SECONDS = 0.5
# A ConfigMap takes 1 MiB, and the API server adds a line of its own for each key. These are bounds of what is written.
MOST_BYTES = 900_000
GROUP_BYTES, INSTANCE_BYTES = 160, 32

log = structlog.get_logger("tallystick.instances")


@dataclass(slots=True)
class _Group:
    """The instances of one configuration. `refused` counts the heartbeats of ids that are not kept."""

    namespace: str
    name: str
    sightings: dict[str, Sighting] = field(default_factory=dict)
    refused: int = 0
    unlisted: int = 0

    @property
    def size(self) -> int:
        """How many bytes it takes at most."""
        names = sum(map(len, self.sightings))
        return GROUP_BYTES + len(self.namespace) + len(self.name) + INSTANCE_BYTES * len(self.sightings) + names


class InstanceLog:
    """What one replica knows of the instances that have sent it heartbeats."""

    def __init__(self, cluster: Cluster, clock: Clock, *, namespace: str, replica: str) -> None:
        """Know nothing yet; what this replica has stored before is read back at the first write.

        Args:
            cluster: the API server.
            clock: time.
            namespace: the operator's own.
            replica: a name that no other replica has, and that this one has again after a restart. Two of the same
                name are no fault: each takes over what the other has stored.
        """
        self._cluster = cluster
        self._clock = clock
        self._namespace = namespace
        self._replica = replica
        self._groups: dict[str, _Group] = {}
        self._size = self._unkept = 0
        self._stored: Json | None = None
        self._changed = self._moved = False
        self._written_at = self._times_at = -math.inf

    def note(self, configuration: ObjectMeta, instance: str, serial: int) -> bool:
        """Take a heartbeat in. Returns whether it says anything new: an instance, or another token."""
        self._moved = True
        group = self._groups.get(configuration.uid) or self._new_group(configuration)
        if group is None:
            self._unkept += 1
            return False
        known = group.sightings.get(instance)
        if known is None and not self._has_room(group, instance):
            group.refused += 1
            return False
        group.sightings[instance] = Sighting(serial, int(self._clock.now().timestamp()))
        self._size += 0 if known is not None else INSTANCE_BYTES + len(instance)
        news = known is None or known.serial != serial
        self._changed = self._changed or news
        return news

    async def keep(self) -> None:
        """Store what there is to store, until cancelled."""
        while True:
            await self._clock.pause(await self._store_what_is_due())

    async def store(self) -> None:
        """Store all that is known; raises ClusterError."""
        times_due = self._times_are_due()
        self._forget(times_due=times_due)
        if self._stored is None:
            await self._take_over()
        if self._stored is None and not self._groups:
            self._changed = self._moved = False
            return
        # Taken down first: what a heartbeat changes while the answer is on its way is stored next time.
        self._changed, self._written_at = False, self._clock.monotonic()
        if times_due:
            self._moved, self._times_at = False, self._written_at
        try:
            await self._write()
        except ClusterError as error:
            self._changed = True
            if isinstance(error, (ConflictError, AlreadyExistsError, NotFoundError)):
                self._stored = None  # somebody else has written or removed it: read it again
            raise

    async def _store_what_is_due(self) -> float:
        waited = self._clock.monotonic() - self._written_at
        if not (self._changed and waited >= CHANGES_SECONDS) and not (self._moved and self._times_are_due()):
            return POLL_SECONDS
        try:
            await self.store()
        except (ConflictError, AlreadyExistsError, NotFoundError):
            return POLL_SECONDS  # it is still due, and what is there now is read first
        except ClusterError as error:
            log.warning("instances not stored", error=type(error).__name__, text=str(error))
            return max(CHANGES_SECONDS, error.retry_after) if isinstance(error, UnavailableError) else TIMES_SECONDS
        return POLL_SECONDS

    async def _take_over(self) -> None:
        """Read what a replica of this name has stored before, so that a restart loses nobody."""
        try:
            body = await self._cluster.get(CONFIG_MAPS, self._namespace, instance_map_name(self._replica))
        except NotFoundError:
            return
        self._stored = body
        for uid, record in stored_records(body).items():
            group = self._groups.setdefault(uid, _Group(record.namespace, record.name))
            group.sightings = dict(join((record.presence, Presence(group.sightings))).sightings)
        self._size = self._measured()

    async def _write(self) -> None:
        records = {
            uid: Record(group.namespace, group.name, Presence(group.sightings, group.unlisted))
            for uid, group in self._groups.items()
        }
        body = instance_map(self._namespace, self._replica, records)
        if self._stored is None:
            stored = await self._cluster.create(CONFIG_MAPS, body)
        else:
            identity = {key: self._stored["metadata"][key] for key in ("uid", "resourceVersion")}
            stored = await self._cluster.replace(CONFIG_MAPS, {**body, "metadata": {**body["metadata"], **identity}})
        self._stored = {"metadata": stored["metadata"]}

    def _times_are_due(self) -> bool:
        return self._clock.monotonic() - self._times_at >= TIMES_SECONDS

    def _new_group(self, configuration: ObjectMeta) -> _Group | None:
        """Make a group; None where there is no room for one more."""
        group = _Group(configuration.namespace, configuration.name)
        if self._size + group.size > MOST_BYTES:
            return None
        self._groups[configuration.uid] = group
        self._size += group.size
        return group

    def _has_room(self, group: _Group, instance: str) -> bool:
        fits = self._size + INSTANCE_BYTES + len(instance) <= MOST_BYTES
        return fits and len(group.sightings) < MOST_KEPT

    def _measured(self) -> int:
        return sum(group.size for group in self._groups.values())

    def _forget(self, *, times_due: bool) -> None:
        """Let go of who was absent for a day, and say how many more there are than are kept."""
        now = self._clock.now()
        if times_due and self._unkept:
            log.warning("no room for the instances of some configurations", heartbeats=self._unkept)
            self._unkept = 0
        for uid, group in list(self._groups.items()):
            group.sightings = {name: one for name, one in group.sightings.items() if not is_forgotten(one, now)}
            if times_due:
                group.unlisted = math.ceil(group.refused * HEARTBEAT_SECONDS / TIMES_SECONDS)
                group.refused = 0
            if not group.sightings and not group.unlisted and not group.refused:
                del self._groups[uid]
        self._size = self._measured()
