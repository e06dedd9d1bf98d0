"""Answer whether a token is good now (RFC 7662): by the objects it names, read fresh."""

from tallystick.api.connection_configuration import CONNECTION_CONFIGURATIONS, DeploymentType
from tallystick.api.master_token import MASTER_TOKENS, MasterToken
from tallystick.api.pairing_token import PAIRING_TOKENS, PairingToken, PairingTokenState
from tallystick.crypto.tokens import VerifiedClaims
from tallystick.domain.claims import CONNECTION_TYPE, MASTER_TYPE, PAIRING_TYPE
from tallystick.domain.errors import ExchangeRefusedError
from tallystick.domain.validity import why_master_invalid, why_pairing_invalid
from tallystick.services.callers import Caller, Callers
from tallystick.services.connection_uses import ConnectionUses
from tallystick.services.freshness import FreshReader
from tallystick.services.issuer import Issuer, facts_of
from tallystick.services.surroundings import Surroundings

Answer = dict[str, object]

INACTIVE: Answer = {"active": False}
VERB = "introspect"
KIND_OF = {PAIRING_TYPE: PAIRING_TOKENS, MASTER_TYPE: MASTER_TOKENS, CONNECTION_TYPE: CONNECTION_CONFIGURATIONS}
TYPE_NEEDED = "deployment_type is missing: a connection token is good for one deployment type alone"
_TOLD = ("iss", "sub", "aud", "iat", "exp", "jti", "scope", "cnf", "deployment_type")


class Introspection:
    """The use case, for one replica."""

    def __init__(
        self, reader: FreshReader, issuer: Issuer, callers: Callers, uses: ConnectionUses, around: Surroundings
    ) -> None:
        self._reader = reader
        self._issuer = issuer
        self._callers = callers
        self._uses = uses
        self._clock = around.clock
        self._server_clock = around.server_clock
        self._audit = around.audit

    async def introspect(
        self, unverified_jwt: str, caller: Caller, deployment_type: DeploymentType | None = None
    ) -> Answer:
        """Return the answer of RFC 7662 2.2. For all that is not valid, or not the caller's to know, it is the same.

        Args:
            unverified_jwt: the token.
            caller: who asks.
            deployment_type: what the token is used in (R39). A token that is bound to none is good for none.

        Raises:
            ExchangeRefusedError: a connection token, and the caller does not say what it is used in.
            NotYetError: the state cannot be known now.
        """
        verified = self._issuer.verified(unverified_jwt, self._clock.now())
        if verified is None:
            return INACTIVE
        if deployment_type is not None and verified.typ != CONNECTION_TYPE:
            return INACTIVE  # to say yes would let it pass where only a connection's token may
        plural = KIND_OF[verified.typ].plural
        if not await self._callers.may(caller, VERB, plural, verified.reference.namespace):
            self._audit.record("introspect", "refused", **facts_of(verified), caller=caller.username)
            return INACTIVE
        active = await self._is_active(verified, deployment_type)
        self._server_clock.check()
        self._audit.record(
            "introspect", "active" if active else "inactive", **facts_of(verified), caller=caller.username
        )
        return _answer(verified) if active else INACTIVE

    async def _is_active(self, verified: VerifiedClaims, deployment_type: DeploymentType | None) -> bool:
        if verified.typ == CONNECTION_TYPE:
            return await self._connection_is_active(verified, deployment_type)
        if verified.typ == PAIRING_TYPE:
            return await self._pairing_is_active(verified)
        return await self._master_is_active(verified)

    async def _connection_is_active(self, verified: VerifiedClaims, deployment_type: DeploymentType | None) -> bool:
        if deployment_type is None:
            raise ExchangeRefusedError("invalid_request", TYPE_NEEDED)
        standing = await self._uses.standing(verified)
        return standing.problem is None and self._uses.why_misused(verified, standing, deployment_type) is None

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
    kept = {name: claims[name] for name in _TOLD if name in claims}
    reference = verified.reference
    connection = {"connection": f"{reference.namespace}/{reference.name}"} if verified.typ == CONNECTION_TYPE else {}
    return {"active": True, "token_type": "DPoP" if "cnf" in kept else "Bearer", **kept, **connection}
