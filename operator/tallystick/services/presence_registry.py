"""Read what the exchange's replicas have stored of their heartbeats, and join it: the real `Presences` port."""

from collections import defaultdict
from dataclasses import dataclass

from tallystick.api.core import CONFIG_MAPS
from tallystick.domain.errors import NotYetError
from tallystick.domain.instance_maps import SELECTOR, Record, stored_records
from tallystick.domain.presence import Presence, is_forgotten, join
from tallystick.services.ports import Clock, Cluster, Json, NotFoundError

NOBODY = Presence()


@dataclass(frozen=True, slots=True)
class _Stored:
    """What one replica has stored."""

    resource_version: str
    records: dict[str, Record]


class PresenceRegistry:
    """What is known of all instances. It is behind by the few seconds between two looks."""

    def __init__(self, cluster: Cluster, clock: Clock, *, namespace: str) -> None:
        self._cluster = cluster
        self._clock = clock
        self._namespace = namespace
        self._replicas: dict[str, _Stored] = {}
        self._joined: dict[str, Presence] = {}
        self._names: dict[str, tuple[str, str]] = {}
        self._was_read = False

    def of(self, uid: str) -> Presence:
        """Return what is known of the instances of the ConnectionConfiguration with this uid.

        Raises:
            NotYetError: nothing was read yet: to say that nobody is there would invite to revoke what is in use.
        """
        if not self._was_read:
            raise NotYetError("InstancesUnknown", "the heartbeats of the instances were not read yet")
        return self._joined.get(uid, NOBODY)

    async def refresh(self) -> set[tuple[str, str]]:
        """Look again, and return namespace and name of each configuration of which something else is known now.

        Only what has changed is read. Raises ClusterError; then what was known stays.
        """
        listed = {
            body["metadata"]["name"]: body["metadata"]
            async for body in self._cluster.list(
                CONFIG_MAPS, self._namespace, label_selector=SELECTOR, metadata_only=True
            )
        }
        read = {name: await self._read(name, meta) for name, meta in listed.items()}
        self._replicas = {name: stored for name, stored in read.items() if stored is not None}
        self._was_read = True
        return self._join()

    async def _read(self, name: str, meta: Json) -> _Stored | None:
        known = self._replicas.get(name)
        if known is not None and known.resource_version == meta["resourceVersion"]:
            if self._is_over(known):
                # A replica that is no more, and nobody counts for it any longer.
                await self._remove(meta)
                return None
            return known
        try:
            body = await self._cluster.get(CONFIG_MAPS, self._namespace, name)
        except NotFoundError:
            return None
        return _Stored(body["metadata"]["resourceVersion"], stored_records(body))

    async def _remove(self, meta: Json) -> None:
        try:
            await self._cluster.delete(
                CONFIG_MAPS,
                self._namespace,
                meta["name"],
                uid=meta["uid"],
                resource_version=meta["resourceVersion"],
            )
        except NotFoundError:
            return

    def _is_over(self, stored: _Stored) -> bool:
        now = self._clock.now()
        return all(
            is_forgotten(sighting, now)
            for record in stored.records.values()
            for sighting in record.presence.sightings.values()
        )

    def _join(self) -> set[tuple[str, str]]:
        by_uid: dict[str, list[Record]] = defaultdict(list)
        for stored in self._replicas.values():
            for uid, record in stored.records.items():
                by_uid[uid].append(record)
        joined = {uid: join(record.presence for record in records) for uid, records in by_uid.items()}
        names = {**self._names, **{uid: (records[0].namespace, records[0].name) for uid, records in by_uid.items()}}
        touched = joined.keys() | self._joined.keys()
        changed = {names[uid] for uid in touched if joined.get(uid) != self._joined.get(uid)}
        self._joined, self._names = joined, {uid: names[uid] for uid in joined}
        return changed
