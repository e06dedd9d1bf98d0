"""Revoke pairing tokens and master tokens: a revocation is acknowledged when the swap of the status is stored.

A master token that can outlive its PairingToken is revoked in its own record, too. The exchange writes status, never
spec: the spec belongs to the user.
"""

from functools import partial

from tallystick.crypto.tokens import VerifiedClaims
from tallystick.objects.fresh_reader import FreshReader, retry_later
from tallystick.objects.ports import Clock, Cluster, Json, NotFoundError, UnavailableError
from tallystick.objects.status_swap import swap_status
from tallystick.pairing.api.master_token import MASTER_TOKENS, MasterToken, MasterTokenState
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS, DeletionPolicy, PairingToken, PairingTokenState
from tallystick.pairing.domain.revocation import master_status, revoked_pairing_status
from tallystick.pairing.domain.tokens import master_token_name
from tallystick.pairing.domain.validity import why_pairing_invalid
from tallystick.schema.meta import Resource
from tallystick.tokens.validity import Invalid


class Revocations:
    """Revokes by possession of the token (docs/rules.md#s10), for one replica of the exchange."""

    def __init__(self, cluster: Cluster, reader: FreshReader, clock: Clock) -> None:
        self._cluster = cluster
        self._reader = reader
        self._clock = clock

    async def revoke_pairing_token(self, verified: VerifiedClaims) -> bool:
        """Revoke a pairing token and its master token; return False if the pairing token is not valid.

        A Used token that leaks after its expiry cannot revoke the trust, as it does not verify (docs/rules.md#s29).

        Raises:
            UnavailableError: The revocation is not stored.
            NotYetError: The objects cannot be read or written now.
        """
        swapped = await swap_status(
            self._cluster,
            self._clock,
            PAIRING_TOKENS,
            read=partial(self._read, PAIRING_TOKENS, verified),
            change=partial(self._revoked_pairing_token, verified),
        )
        if swapped is None:
            return False
        # A redemption can create its MasterToken before the swap. After it, no redemption gets a response.
        await self._revoke_retained(PairingToken.model_validate(swapped.before))
        return True

    async def revoke_master_token(self, verified: VerifiedClaims) -> bool:
        """Revoke a master token; return False if it is revoked already. Raises like `revoke_pairing_token`."""
        swapped = await swap_status(
            self._cluster,
            self._clock,
            MASTER_TOKENS,
            read=partial(self._read, MASTER_TOKENS, verified),
            change=partial(self._revoked_master_token, verified.reference.uid),
        )
        return swapped is not None

    async def _read(self, resource: Resource, verified: VerifiedClaims) -> Json | None:
        return await self._reader.get_uncached(resource, verified.reference.namespace, verified.reference.name)

    async def _revoked_pairing_token(self, verified: VerifiedClaims, raw: Json) -> Json | None:
        """Return the status to write; None if the token is not valid, or is not of this object."""
        token, reference = PairingToken.model_validate(raw), verified.reference
        problem = why_pairing_invalid(
            token, uid=reference.uid, serial=reference.serial or 0, token_id=verified.token_id
        )
        if problem is Invalid.REVOKED and _is_on_record(token, reference.serial):
            await self._revoke_retained(token)  # the process that revoked it may have ended before this
        if problem is not None and problem is not Invalid.EXPIRED:
            return None
        await self._revoke_retained(token)
        return revoked_pairing_status(token, self._clock.now()).to_json()

    async def _revoke_retained(self, token: PairingToken) -> None:
        """Revoke a master token that can outlive its PairingToken in its own record, before the response."""
        redemption = token.status.redemption
        if token.spec.master_token.deletion_policy is not DeletionPolicy.RETAIN or redemption is None:
            return
        name = master_token_name(redemption.master_token_id)
        try:
            await record_revocation(self._cluster, self._clock, token.metadata.namespace, name)
        except UnavailableError as error:
            raise retry_later(error) from error

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


def _is_on_record(token: PairingToken, serial: int | None) -> bool:
    return token.status.state is PairingTokenState.REVOKED and token.status.serial == serial
