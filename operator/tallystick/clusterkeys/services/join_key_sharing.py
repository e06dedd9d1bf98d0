"""Share a join key: write its copies, set its finalizer, and report each copy in the status."""

from collections.abc import Mapping, Sequence, Set

from tallystick.clusterkeys.api.join_key import JOIN_KEYS, JoinKey, SealedCopy, TargetStatus
from tallystick.clusterkeys.domain.join_key_copies import (
    FINALIZER,
    Place,
    copy_digest,
    places,
    recorded_places,
    sealed_place,
)
from tallystick.clusterkeys.domain.join_key_messages import LONGEST_TARGET_MESSAGE, Problem
from tallystick.clusterkeys.domain.join_key_replacement import Held, Picture
from tallystick.clusterkeys.domain.keys import ClusterKey
from tallystick.clusterkeys.services.join_key_secrets import Attempt, JoinKeySecrets
from tallystick.objects.held_secrets import HeldSecret
from tallystick.objects.ports import Cache, Cluster
from tallystick.objects.reconciler import Observed, Reconciler

Seen = Observed[JoinKey]
Outcomes = Mapping[Place, Problem | None]
"""Each copy that was written now, with the problem that prevented it."""


class Sharing:
    """Writes the copies of JoinKeys, and keeps a deleted JoinKey until those in other namespaces are deleted."""

    def __init__(
        self, cluster: Cluster, cache: Cache, secrets: JoinKeySecrets, reconciler: Reconciler[JoinKey]
    ) -> None:
        self._cluster = cluster
        self._cache = cache
        self._secrets = secrets
        self._reconciler = reconciler

    async def share(
        self,
        seen: Seen,
        attempt: Attempt,
        where: Sequence[Place],
        picture: Picture,
        keys: Mapping[str, ClusterKey],
        *,
        healed: Set[Place] = frozenset(),
    ) -> dict[Place, Problem | None]:
        """Write copies. A copy that cannot be written does not hold up the others. `healed` are those restored."""
        outcomes: dict[Place, Problem | None] = {}
        for place in where:
            outcomes[place] = await attempt.write_copy(place, picture, keys)
            if outcomes[place] is None and place not in healed:
                held = picture.signs
                self._reconciler.audit(
                    "share-key", seen, key_id=held.fingerprint, version=held.version, target=str(place)
                )
        return outcomes

    def outdated(self, join_key: JoinKey, picture: Picture) -> tuple[Place, ...]:
        """Return the copies that do not hold the keys of a picture yet."""
        found = self._secrets.seen(join_key)

        def is_written(place: Place) -> bool:
            held = found.get((place.namespace, place.name))
            return held is not None and held.content_digest == copy_digest(join_key, place, picture)

        return tuple(place for place in places(join_key) if not is_written(place))

    async def hold(self, seen: Seen) -> Seen:
        """Set the finalizer before the first copy in another namespace is written."""
        return await self._set_finalizer(seen, wanted=True) if self._shares_elsewhere(seen.object) else seen

    async def release(self, seen: Seen) -> Seen:
        """Remove the finalizer once no copy in another namespace is left, and none is asked for."""
        is_deleted = seen.object.metadata.deletion_timestamp is not None
        if (self._shares_elsewhere(seen.object) and not is_deleted) or self._elsewhere(seen.object):
            return seen
        return await self._set_finalizer(seen, wanted=False)

    async def remove(self, seen: Seen, copies: Sequence[HeldSecret]) -> None:
        """Delete copies. A Secret that is not ours any more is not among them (docs/rules.md#s22)."""
        for copy in copies:
            await self._secrets.copies.remove(copy)
            target = f"{copy.namespace}/{copy.name}"
            self._reconciler.audit("forget-key", seen, key_id=seen.object.status.fingerprint, target=target)

    async def remove_elsewhere(self, seen: Seen) -> None:
        """Delete all copies in other namespaces. Those in the own one have the JoinKey as their owner."""
        await self.remove(seen, self._elsewhere(seen.object))
        named = dict.fromkeys((*places(seen.object), *recorded_places(seen.object)))
        await self._remove_unseen(seen, [place for place in named if place.elsewhere])

    async def remove_former(self, seen: Seen, orphans: Sequence[HeldSecret]) -> None:
        """Delete the copies of former targets: those that the watch has delivered, and those on record."""
        await self.remove(seen, orphans)
        removed = {(copy.namespace, copy.name) for copy in orphans}
        kept = {*places(seen.object), sealed_place(seen.object)}
        former = [place for place in recorded_places(seen.object) if place not in kept]
        await self._remove_unseen(seen, [place for place in former if (place.namespace, place.name) not in removed])

    async def _remove_unseen(self, seen: Seen, where: Sequence[Place]) -> None:
        """Delete copies that an earlier leader may have written a moment ago."""
        await self.remove(seen, await self._secrets.of(seen.object).unseen(where))

    def _elsewhere(self, join_key: JoinKey) -> list[HeldSecret]:
        found = self._secrets.seen(join_key).values()
        return [copy for copy in found if copy.namespace != join_key.metadata.namespace and not copy.is_terminating]

    def _shares_elsewhere(self, join_key: JoinKey) -> bool:
        return any(place.elsewhere and self._secrets.serves(place.namespace) for place in places(join_key))

    async def _set_finalizer(self, seen: Seen, *, wanted: bool) -> Seen:
        before = list(seen.raw["metadata"].get("finalizers") or ())
        if (FINALIZER in before) == wanted:
            return seen
        after = [*before, FINALIZER] if wanted else [one for one in before if one != FINALIZER]
        body = {**seen.raw, "metadata": {**seen.raw["metadata"], "finalizers": after}}
        stored = await self._cluster.replace(JOIN_KEYS, body)
        meta = seen.object.metadata
        if meta.deletion_timestamp is not None and not after:
            # The API server deletes the object now. A later event must find no trace of it.
            self._cache.forget(JOIN_KEYS, meta.namespace, meta.name, meta.uid)
        else:
            self._cache.remember(JOIN_KEYS, stored)
        return Observed(JoinKey.model_validate(stored), stored, seen.now)


def audit_seal(reconciler: Reconciler[JoinKey], seen: Seen, held: Held, sealed: SealedCopy) -> None:
    """Write to the audit log that a key was sealed with a master key."""
    key_id, master_key_id = held.fingerprint, sealed.master_key
    reconciler.audit("seal-key", seen, key_id=key_id, version=held.version, master_key_id=master_key_id)


def target_statuses(join_key: JoinKey, outcomes: Outcomes, version: int) -> list[TargetStatus]:
    """Return the status of each copy. A copy that was not written now holds what it must."""
    return [_target_status(place, outcomes.get(place), version) for place in places(join_key)]


def _target_status(place: Place, problem: Problem | None, version: int) -> TargetStatus:
    return TargetStatus(
        namespace=place.namespace,
        secret_name=place.name,
        in_sync=problem is None,
        key_version=version if problem is None else None,
        reason=problem.reason.value if problem is not None else None,
        message=problem.message[:LONGEST_TARGET_MESSAGE] if problem is not None else None,
    )
