"""Revoke pairing tokens and master tokens: a revocation is acknowledged when the swap of the status is stored.

The exchange writes status, never spec: the spec belongs to the user.
"""

from functools import partial

from tallystick.crypto.tokens import VerifiedClaims
from tallystick.objects.context import Context
from tallystick.objects.fresh_reader import FreshReader
from tallystick.objects.obstacles import rejection_text
from tallystick.objects.ports import Clock, Cluster, Json, NotFoundError, RefusedError
from tallystick.objects.reasons import SharedReason
from tallystick.objects.status_swap import Change, swap_status
from tallystick.pairing.api.master_token import MASTER_TOKENS, MasterToken, MasterTokenState
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS, PairingToken
from tallystick.pairing.api.reasons import PairingEventReason
from tallystick.pairing.domain.messages import not_revoked_text, revoked_by_holder_text
from tallystick.pairing.domain.revocation import holder_may_revoke, master_status, revoked_pairing_status
from tallystick.pairing.domain.validity import why_pairing_invalid
from tallystick.schema.meta import Resource


class Revocations:
    """Revokes by possession of the token (docs/rules.md#s10), for one replica of the exchange."""

    def __init__(self, cluster: Cluster, reader: FreshReader, ctx: Context) -> None:
        self._cluster = cluster
        self._reader = reader
        self._clock = ctx.clock
        self._events = ctx.events

    async def revoke_pairing_token(self, verified: VerifiedClaims) -> bool:
        """Revoke a pairing token that has not been used; return False if its holder cannot revoke anything.

        A Used token cannot revoke the trust, so one that leaks is harmless (docs/rules.md#s29).

        Raises:
            RefusedError: The API server rejects the revocation.
            UnavailableError: The revocation is not stored.
            NotYetError: The objects cannot be read or written now.
        """
        return await self._revoke(PAIRING_TOKENS, verified, partial(self._revoked_pairing_token, verified))

    async def revoke_master_token(self, verified: VerifiedClaims) -> bool:
        """Revoke a master token; return False if it is revoked already. Raises like `revoke_pairing_token`."""
        return await self._revoke(MASTER_TOKENS, verified, partial(self._revoked_master_token, verified.reference.uid))

    async def _revoke(self, resource: Resource, verified: VerifiedClaims, change: Change) -> bool:
        reference = verified.reference
        read = partial(self._reader.get_uncached, resource, reference.namespace, reference.name)
        try:
            swapped = await swap_status(self._cluster, self._clock, resource, read=read, change=change)
        except RefusedError as rejection:
            about = {"namespace": reference.namespace, "name": reference.name, "uid": reference.uid}
            body = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": about}
            self._events.warn(body, SharedReason.WRITE_REJECTED.value, not_revoked_text(rejection_text(rejection)))
            raise
        if swapped is None:
            return False
        text = revoked_by_holder_text(verified.token_id)
        self._events.warn(swapped.after, PairingEventReason.REVOKED_BY_HOLDER.value, text)
        return True

    async def _revoked_pairing_token(self, verified: VerifiedClaims, raw: Json) -> Json | None:
        """Return the status to write; None if the holder of this token cannot revoke anything."""
        token, reference = PairingToken.model_validate(raw), verified.reference
        serial = reference.serial or 0
        problem = why_pairing_invalid(token, uid=reference.uid, serial=serial, token_id=verified.token_id)
        if problem is not None or not holder_may_revoke(token, serial=serial):
            return None
        return revoked_pairing_status(token, self._clock.now()).to_json()

    async def _revoked_master_token(self, uid: str, raw: Json) -> Json | None:
        return _master_revoked(raw, self._clock) if raw["metadata"]["uid"] == uid else None


async def record_revocation(cluster: Cluster, clock: Clock, namespace: str, name: str) -> None:
    """Write state Revoked into a MasterToken, unless it is Revoked or does not exist.

    Raises:
        ClusterError: It is not known whether the state is stored.
    """

    async def read() -> Json | None:
        try:
            return await cluster.get(MASTER_TOKENS, namespace, name)
        except NotFoundError:
            return None

    async def change(raw: Json) -> Json | None:
        return _master_revoked(raw, clock)

    await swap_status(cluster, clock, MASTER_TOKENS, read=read, change=change)


def _master_revoked(raw: Json, clock: Clock) -> Json | None:
    token = MasterToken.model_validate(raw)
    if token.status.state is MasterTokenState.REVOKED:
        return None
    return master_status(token, MasterTokenState.REVOKED, clock.now()).to_json()
