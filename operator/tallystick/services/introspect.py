"""Answer whether a token is good now (RFC 7662): by the objects it names, read fresh."""

from tallystick.api.master_token import MASTER_TOKENS, MasterToken
from tallystick.api.pairing_token import PAIRING_TOKENS, PairingToken, PairingTokenState
from tallystick.crypto.tokens import VerifiedClaims
from tallystick.domain.claims import MASTER_TYPE, PAIRING_TYPE
from tallystick.domain.validity import why_master_invalid, why_pairing_invalid
from tallystick.services.callers import Caller, Callers
from tallystick.services.freshness import FreshReader, ServerClock
from tallystick.services.issuer import Issuer, facts_of
from tallystick.services.ports import Audit, Clock

Answer = dict[str, object]

INACTIVE: Answer = {"active": False}
VERB = "introspect"


class Introspection:
    """The use case, for one replica."""

    def __init__(
        self,
        reader: FreshReader,
        issuer: Issuer,
        callers: Callers,
        *,
        clock: Clock,
        server_clock: ServerClock,
        audit: Audit,
    ) -> None:
        self._reader = reader
        self._issuer = issuer
        self._callers = callers
        self._clock = clock
        self._server_clock = server_clock
        self._audit = audit

    async def introspect(self, unverified_jwt: str, caller: Caller) -> Answer:
        """Return the answer of RFC 7662 2.2. For all that is not valid, or not the caller's to know, it is the same.

        Raises:
            NotYetError: the state cannot be known now.
        """
        verified = self._issuer.verified(unverified_jwt, self._clock.now())
        if verified is None:
            return INACTIVE
        plural = MASTER_TOKENS.plural if verified.typ == MASTER_TYPE else PAIRING_TOKENS.plural
        if not await self._callers.may(caller, VERB, plural, verified.reference.namespace):
            self._audit.record("introspect", "refused", **facts_of(verified), caller=caller.username)
            return INACTIVE
        active = await self._is_active(verified)
        self._server_clock.check()
        self._audit.record(
            "introspect", "active" if active else "inactive", **facts_of(verified), caller=caller.username
        )
        return _answer(verified) if active else INACTIVE

    async def _is_active(self, verified: VerifiedClaims) -> bool:
        if verified.typ == PAIRING_TYPE:
            return await self._pairing_is_active(verified)
        return await self._master_is_active(verified)

    async def _pairing_is_active(self, verified: VerifiedClaims) -> bool:
        reference = verified.reference
        raw = await self._reader.get(
            PAIRING_TOKENS, reference.namespace, reference.name, uid=reference.uid, serial=reference.serial or 0
        )
        if raw is None:
            return False
        token = PairingToken.model_validate(raw)
        problem = why_pairing_invalid(
            token, uid=reference.uid, serial=reference.serial or 0, token_id=verified.token_id
        )
        recorded = token.status.serial == reference.serial and token.status.state is PairingTokenState.ACTIVE
        return problem is None and recorded

    async def _master_is_active(self, verified: VerifiedClaims) -> bool:
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

    async def _pairing_of(self, token: MasterToken) -> PairingToken | None:
        reference = token.spec.pairing_token_ref
        if reference is None:
            return None
        raw = await self._reader.get(PAIRING_TOKENS, token.metadata.namespace, reference.name)
        return PairingToken.model_validate(raw) if raw is not None else None


def _answer(verified: VerifiedClaims) -> Answer:
    claims = verified.claims
    kept = {name: claims[name] for name in ("iss", "sub", "aud", "iat", "exp", "jti", "scope", "cnf") if name in claims}
    return {"active": True, "token_type": "DPoP" if "cnf" in kept else "Bearer", **kept}
