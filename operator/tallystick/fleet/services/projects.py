"""Follow the PairingTokens of purpose DeviceProject: their devices, their places, and a lock whose rotation is gone.

This runs after the reconciler of PairingTokens. The exchange takes a place for each enrollment, and a replica counts
the devices that it has created when the next one enrolls. The controller does what no enrollment does: it counts the
last ones, gives up old places, and lowers the count.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from tallystick.fleet.api.device import DEVICES
from tallystick.fleet.api.token_rotation import TOKEN_ROTATIONS
from tallystick.fleet.domain.enrolling import PLACE_KEPT, is_overdue, recounted, settled
from tallystick.fleet.domain.facts import Lock, Target
from tallystick.fleet.domain.next_step import STRAGGLERS
from tallystick.fleet.domain.readings import target_of, target_status
from tallystick.fleet.domain.rotation.status import shown_as_aborted
from tallystick.fleet.domain.starting import orphan_released
from tallystick.fleet.services.device_index import DeviceIndex, LookAgain
from tallystick.fleet.services.rotation_start import target_index
from tallystick.objects.context import Context
from tallystick.objects.ports import Cache, Cluster, Json, NotFoundError
from tallystick.objects.result import Result
from tallystick.objects.status_swap import swap_status, try_swap
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS, PairingToken, Purpose
from tallystick.pairing.api.reasons import PairingTokenReason

# A place is counted after this time, so that the controller does not compete with the enrollment itself.
COUNTED_AFTER = timedelta(seconds=10)
# A list of all devices may follow each deletion, but not more often than this.
RECOUNT_EVERY = timedelta(seconds=60)

Place = tuple[str, str]
Change = Callable[[Target], Awaitable[Target]]


@dataclass(frozen=True, slots=True)
class _Shown:
    """The facts of a PairingToken that others depend on."""

    uid: str
    serial: int
    is_ended: bool
    revoked: bool
    revoked_through: int
    generation: int
    is_issued: bool
    lock: Lock | None
    enrolls_by_older: bool


class Projects:
    """Follows PairingTokens. Only the leader runs it, for one object at a time.

    Args:
        cluster: The API server.
        cache: The objects that the watches have read.
        index: The Devices by their PairingToken.
        look_again: Reconciles one object again.
        ctx: Time and audit log.
    """

    def __init__(self, cluster: Cluster, cache: Cache, index: DeviceIndex, look_again: LookAgain, ctx: Context) -> None:
        self._cluster = cluster
        self._cache = cache
        self._index = index
        self._look_again = look_again
        self._clock = ctx.clock
        self._audit = ctx.audit
        self._shown: dict[Place, _Shown] = {}
        self._recounted: dict[str, datetime] = {}  # by UID: when the Devices were listed last
        self._differs: dict[str, datetime] = {}  # by UID: since when the cache has another number of Devices
        self._orphaned: dict[str, datetime] = {}  # by the UID of the rotation that is gone

    async def reconcile(self, namespace: str, name: str) -> Result:
        """Take all steps that one PairingToken needs. Raises ClusterError if a later attempt may succeed."""
        raw = self._cache.get(PAIRING_TOKENS, namespace, name)
        token = PairingToken.model_validate(raw) if raw is not None else None
        self._wake((namespace, name), token)
        if token is None or token.spec.purpose is not Purpose.DEVICE_PROJECT:
            return Result()
        times = [
            await self._release_orphan(token),
            await self._settle(token),
            await self._recount(namespace, name),
        ]
        return Result(requeue_at=min((time for time in times if time is not None), default=None))

    def _wake(self, place: Place, token: PairingToken | None) -> None:
        """Look again at the rotations and devices of a PairingToken that has changed."""
        before, after = self._shown.pop(place, None), _shown(token) if token is not None else None
        if after is not None:
            self._shown[place] = after
        if before == after:
            return
        for rotation in self._cache.depending_on(TOKEN_ROTATIONS, target_index(*place)):
            self._look_again(TOKEN_ROTATIONS, *rotation)
        if after is not None and before is not None and _revokes_more(before, after):
            self._index.look_at_all_again(place[0], after.uid)

    async def _release_orphan(self, token: PairingToken) -> datetime | None:
        """Release the lock of a rotation that was deleted, after the time in which a replica may still act by it."""
        lock, now = target_of(token).lock, self._clock.now()
        if lock is None or not lock.is_held:
            return None
        namespace = token.metadata.namespace
        if await self._exists(namespace, lock):
            self._orphaned.pop(lock.uid, None)
            return None
        since = self._orphaned.setdefault(lock.uid, now)
        if now < since + STRAGGLERS:
            return since + STRAGGLERS

        async def released(target: Target) -> Target:
            held = target.lock
            gone = held is not None and not await self._is_stored(namespace, held)
            return orphan_released(target, () if gone else (held.uid if held else "",), self._clock.now())

        after = await self._swap(token, released)
        self._orphaned.pop(lock.uid, None)
        if after is not None and after.lock is not None and not after.lock.is_held:
            self._record_abort(namespace, after.lock)
        return None

    def _record_abort(self, namespace: str, lock: Lock) -> None:
        """Write the audit line of a rotation that was deleted while it ran. Its counts are gone with it."""
        about = {"kind": TOKEN_ROTATIONS.kind, "namespace": namespace, "name": lock.name, "uid": lock.uid}
        self._audit.record("abort", "ok", **about, reason=PairingTokenReason.DELETED.value, generation=lock.generation)

    async def _exists(self, namespace: str, lock: Lock) -> bool:
        """Return whether the rotation of a lock exists. A cache that lacks it is compared with the API server."""
        known = self._cache.get(TOKEN_ROTATIONS, namespace, lock.name)
        if known is not None and known["metadata"]["uid"] == lock.uid:
            return True
        return await self._is_stored(namespace, lock)

    async def _is_stored(self, namespace: str, lock: Lock) -> bool:
        try:
            stored = await self._cluster.get(TOKEN_ROTATIONS, namespace, lock.name)
        except NotFoundError:
            return False
        return bool(stored["metadata"]["uid"] == lock.uid)

    async def _settle(self, token: PairingToken) -> datetime | None:
        """Count the places whose Device exists, and give up those whose enrollment has failed."""
        target, now = target_of(token), self._clock.now()
        old = [entry for entry in target.enrolling if now >= entry.time + COUNTED_AFTER]
        names = await self._index.known(target.uid, (entry.name for entry in old)) if old else set()
        if any(entry.name in names or is_overdue(entry, now) for entry in old):

            async def change(fresh: Target) -> Target:
                due = [entry for entry in fresh.enrolling if entry in old]
                existing = {entry.name for entry in due if entry.name in names}
                missing = {
                    entry.name
                    for entry in due
                    if entry.name not in existing
                    and is_overdue(entry, now)
                    and not await self._has_device(fresh, entry.name)
                }
                return settled(fresh, existing, missing, now)

            target = await self._swap(token, change) or target
        times = [
            entry.time + (PLACE_KEPT if now >= entry.time + COUNTED_AFTER else COUNTED_AFTER)
            for entry in target.enrolling
        ]
        # A Device that the cache did not show in time is looked for again.
        return max(min(times), now + COUNTED_AFTER) if times else None

    async def _has_device(self, target: Target, name: str) -> bool:
        try:
            await self._cluster.get(DEVICES, target.namespace, name)
        except NotFoundError:
            return False
        return True

    async def _recount(self, namespace: str, name: str) -> datetime | None:
        """Lower the count after Devices were deleted, by a list. If the status has changed meanwhile, it is too old."""
        raw = self._cache.get(PAIRING_TOKENS, namespace, name)
        if raw is None:
            return None
        target, now = target_of(PairingToken.model_validate(raw)), self._clock.now()
        cached = await self._index.count(target.uid, but=(entry.name for entry in target.enrolling))
        if cached == target.devices:
            self._differs.pop(target.uid, None)
            return None
        due = self._differs.setdefault(target.uid, now) + COUNTED_AFTER
        if target.uid in self._recounted:
            pause = max(RECOUNT_EVERY, timedelta(seconds=target.devices / 100))
            due = max(due, self._recounted[target.uid] + pause)
        if now < due:
            return due
        self._recounted[target.uid] = now
        if not await self._count_by_list(namespace, name):
            return now + RECOUNT_EVERY
        self._differs.pop(target.uid, None)
        return None

    async def _count_by_list(self, namespace: str, name: str) -> bool:
        """Count the Devices by a list, and return whether the count is stored."""
        raw = await self._cluster.get(PAIRING_TOKENS, namespace, name)
        token = PairingToken.model_validate(raw)
        before = target_of(token)
        after = recounted(before, {device.name async for device in self._index.listed(before)})
        if after == before:
            return True
        status = target_status(token.status, before, after).to_json()
        stored = await try_swap(self._cluster, self._clock, PAIRING_TOKENS, raw, status)
        if stored is not None:
            self._cache.remember(PAIRING_TOKENS, stored)
        return stored is not None

    async def _swap(self, token: PairingToken, change: Change) -> Target | None:
        """Swap the status of a PairingToken by its facts; return the facts that were stored, None if none were."""
        meta = token.metadata

        async def read() -> Json | None:
            try:
                return await self._cluster.get(PAIRING_TOKENS, meta.namespace, meta.name)
            except NotFoundError:
                return None

        async def changed(raw: Json) -> Json | None:
            fresh = PairingToken.model_validate(raw)
            if fresh.metadata.uid != meta.uid:
                return None
            before = target_of(fresh)
            after = await change(before)
            return None if after == before else _status(fresh, before, after)

        swapped = await swap_status(self._cluster, self._clock, PAIRING_TOKENS, read=read, change=changed)
        if swapped is None:
            return None
        self._cache.remember(PAIRING_TOKENS, swapped.after)
        stored = PairingToken.model_validate(swapped.after)
        self._wake((meta.namespace, meta.name), stored)
        return target_of(stored)


def _status(token: PairingToken, before: Target, after: Target) -> Json:
    status = target_status(token.status, before, after)
    if after.lock != before.lock and status.rotation is not None:
        status = status.model_copy(update={"rotation": shown_as_aborted(status.rotation)})
    return status.to_json()


def _shown(token: PairingToken) -> _Shown:
    target = target_of(token)
    lock = target.lock
    older = lock is not None and any(entry.generation < lock.generation for entry in target.enrolling)
    return _Shown(
        uid=target.uid,
        serial=target.serial,
        is_ended=target.is_ended,
        revoked=target.revoked,
        revoked_through=target.revoked_through,
        generation=target.generation,
        is_issued=token.status.generation is not None,
        lock=lock,
        enrolls_by_older=older,
    )


def _revokes_more(before: _Shown, after: _Shown) -> bool:
    """Return whether devices that were valid are revoked now."""
    return (after.revoked and not before.revoked) or after.revoked_through > before.revoked_through
