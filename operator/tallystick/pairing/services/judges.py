"""Judge pairing tokens and master tokens by a fresh read of the objects that they name."""

from collections.abc import Mapping

from tallystick.crypto.tokens import VerifiedClaims
from tallystick.objects.context import Context
from tallystick.objects.fresh_reader import FreshReader
from tallystick.objects.ports import Cluster
from tallystick.pairing.api.master_token import MASTER_TOKENS, MasterToken
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS, PairingToken, PairingTokenState
from tallystick.pairing.domain.tokens import MASTER, PAIRING, has_reached
from tallystick.pairing.domain.validity import why_master_invalid, why_pairing_invalid
from tallystick.pairing.services.revocation import Revocations
from tallystick.tokens.token_type import Hints, Judge, NotPermitted


def judges(cluster: Cluster, reader: FreshReader, ctx: Context) -> Mapping[str, Judge]:
    """Return the judges of one replica, by the `typ` of their tokens."""
    revocations = Revocations(cluster, reader, ctx)
    return {PAIRING.typ: PairingTokenJudge(reader, revocations), MASTER.typ: MasterTokenJudge(reader, revocations, ctx)}


class PairingTokenJudge:
    """Judges pairing tokens."""

    def __init__(self, reader: FreshReader, revocations: Revocations) -> None:
        self._reader = reader
        self._revocations = revocations

    async def is_active(self, verified: VerifiedClaims, _: Hints) -> bool:
        """Return whether the token can be redeemed: a Used one is not active."""
        reference, serial = verified.reference, verified.reference.serial or 0
        raw = await self._reader.get(
            PAIRING_TOKENS, reference.namespace, reference.name, uid=reference.uid, reached=has_reached(serial)
        )
        if raw is None:
            return False
        token = PairingToken.model_validate(raw)
        problem = why_pairing_invalid(token, uid=reference.uid, serial=serial, token_id=verified.token_id)
        recorded = token.status.serial == serial and token.status.state is PairingTokenState.ACTIVE
        return problem is None and recorded

    async def revoke(self, verified: VerifiedClaims) -> bool:
        """Revoke the token, if it has not been used."""
        return await self._revocations.revoke_pairing_token(verified)

    async def not_exchanged(self, _: VerifiedClaims, __: Hints) -> NotPermitted | None:
        """Return None: this is the type that is exchanged."""
        return None


class MasterTokenJudge:
    """Judges master tokens."""

    def __init__(self, reader: FreshReader, revocations: Revocations, ctx: Context) -> None:
        self._reader = reader
        self._revocations = revocations
        self._clock = ctx.clock

    async def is_active(self, verified: VerifiedClaims, _: Hints) -> bool:
        """Return whether the token is valid, by its own object and the PairingToken that it came from."""
        reference = verified.reference
        raw = await self._reader.get(MASTER_TOKENS, reference.namespace, reference.name, uid=reference.uid)
        if raw is None:
            return False
        token = MasterToken.model_validate(raw)
        problem = why_master_invalid(
            token,
            await self._pairing_of(token),
            uid=reference.uid,
            token_id=verified.token_id,
            now=self._clock.now(),
        )
        return problem is None

    async def revoke(self, verified: VerifiedClaims) -> bool:
        """Revoke the token."""
        return await self._revocations.revoke_master_token(verified)

    async def not_exchanged(self, _: VerifiedClaims, __: Hints) -> NotPermitted | None:
        """Return None: the token endpoint rejects it like a text that is no pairing token."""
        return None

    async def _pairing_of(self, token: MasterToken) -> PairingToken | None:
        reference = token.spec.pairing_token_ref
        if reference is None:
            return None
        raw = await self._reader.get(PAIRING_TOKENS, token.metadata.namespace, reference.name)
        return PairingToken.model_validate(raw) if raw is not None else None
