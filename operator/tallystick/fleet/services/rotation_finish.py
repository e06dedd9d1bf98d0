"""Release the lock of a rotation that is over, and show the counts of one that runs on its PairingToken."""

from datetime import datetime, timedelta

from tallystick.fleet.api.token_rotation import TokenRotation
from tallystick.fleet.domain.counts import Counts
from tallystick.fleet.domain.facts import Target
from tallystick.fleet.domain.readings import rotation_facts, target_of, target_status
from tallystick.fleet.domain.rotation.status import recorded, shown_on_token
from tallystick.fleet.domain.starting import finished
from tallystick.fleet.services.rotation_looks import Memory
from tallystick.objects.context import Context
from tallystick.objects.ports import Cache, Cluster, ConflictError, Json, NotFoundError
from tallystick.objects.status_swap import swap_status
from tallystick.pairing.api.device_project import RotationState
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS, PairingToken
from tallystick.schema.times import whole_second

REFRESH = timedelta(seconds=5)


class Locks:
    """The lock of a rotation: `status.rotation` of its PairingToken."""

    def __init__(self, cluster: Cluster, cache: Cache, ctx: Context) -> None:
        self._cluster = cluster
        self._cache = cache
        self._ctx = ctx

    def is_held(self, rotation: TokenRotation) -> bool:
        """Return whether the cached PairingToken has the lock of a rotation."""
        raw = self._cache.get(PAIRING_TOKENS, rotation.metadata.namespace, rotation.spec.target_ref.name)
        lock = target_of(PairingToken.model_validate(raw)).lock if raw is not None else None
        return lock is not None and lock.is_held and lock.uid == rotation.metadata.uid

    async def release(self, rotation: TokenRotation) -> None:
        """Record the end of a rotation in its PairingToken, after it is recorded in the rotation itself.

        Raises:
            ClusterError: It is not known whether the lock is released. The next attempt finds out.
        """
        facts, meta = rotation_facts(rotation), rotation.metadata
        end = rotation.status.finish_time or whole_second(self._ctx.clock.now())
        counts = recorded(rotation.status)

        async def read() -> Json | None:
            try:
                return await self._cluster.get(PAIRING_TOKENS, meta.namespace, rotation.spec.target_ref.name)
            except NotFoundError:
                return None

        async def change(raw: Json) -> Json | None:
            token = PairingToken.model_validate(raw)
            before = target_of(token)
            after = finished(before, facts, end)
            return None if after == before else _status(token, before, after, counts)

        swapped = await swap_status(self._cluster, self._ctx.clock, PAIRING_TOKENS, read=read, change=change)
        if swapped is not None:
            self._cache.remember(PAIRING_TOKENS, swapped.after)

    async def show(
        self, rotation: TokenRotation, raw: Json, state: RotationState, counts: Counts, memory: Memory
    ) -> datetime | None:
        """Write the counts of a rotation that runs on its PairingToken, at most every 5 seconds.

        Args:
            rotation: The rotation, which holds the lock.
            raw: The PairingToken as it was just read.
            state: The state of the rotation.
            counts: The counts of all its batches.
            memory: What this leader remembers of the rotation.

        Returns:
            When they can be written, if they differ and it is too early or another client was faster.
        """
        token, uid, now = PairingToken.model_validate(raw), rotation.metadata.uid, self._ctx.clock.now()
        lock = token.status.rotation
        if lock is None or lock.uid != uid or not _holds(lock.state):
            return None
        wanted = shown_on_token(lock.model_copy(update={"state": state}), counts)
        if wanted == lock:
            return None
        if memory.shown is not None and now < memory.shown + REFRESH:
            return memory.shown + REFRESH
        status = token.status.model_copy(update={"rotation": wanted}).to_json()
        try:
            stored = await self._cluster.replace_status(PAIRING_TOKENS, {**raw, "status": status})
        except ConflictError:
            return now + timedelta(seconds=1)  # an enrollment was faster
        self._cache.remember(PAIRING_TOKENS, stored)
        memory.shown, memory.written = now, memory.looked
        return None


def _holds(state: RotationState) -> bool:
    return state not in (RotationState.SUCCEEDED, RotationState.FAILED, RotationState.ABORTED)


def _status(token: PairingToken, before: Target, after: Target, counts: Counts) -> Json:
    status = target_status(token.status, before, after)
    shown = shown_on_token(status.rotation, counts) if status.rotation is not None else None
    return status.model_copy(update={"rotation": shown}).to_json()
