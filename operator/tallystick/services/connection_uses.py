"""Judge the use of a connection token: is it valid now, and is it used where it belongs (R38-R41)?

Every endpoint that such a token can be presented at asks here, so that they cannot differ.
"""

from dataclasses import dataclass

from tallystick.api.connection_configuration import CONNECTION_CONFIGURATIONS, ConnectionConfiguration, DeploymentType
from tallystick.crypto.tokens import VerifiedClaims, unverified_typ
from tallystick.domain.claims import CONNECTION_TYPE
from tallystick.domain.connection_phrases import mismatch_text
from tallystick.domain.errors import ExchangeRefusedError
from tallystick.domain.times import rfc3339
from tallystick.domain.validity import Invalid, why_connection_invalid
from tallystick.services.freshness import FreshReader
from tallystick.services.issuer import Issuer, facts_of
from tallystick.services.ports import Json
from tallystick.services.surroundings import Surroundings

NOT_EXCHANGED = "subject_token is a connection token: it is not exchanged, instances present it as it is"


@dataclass(frozen=True, slots=True)
class Standing:
    """What a verified connection token is, by the object that it names.

    Args:
        configuration: the object, None where there is none.
        raw: the same as JSON, for an event about it.
        problem: why the token is not valid, None where it is.
    """

    configuration: ConnectionConfiguration | None
    raw: Json
    problem: Invalid | None


class ConnectionUses:
    """The use case that the others share, for one replica."""

    def __init__(self, reader: FreshReader, issuer: Issuer, around: Surroundings) -> None:
        self._reader = reader
        self._issuer = issuer
        self._clock = around.clock
        self._server_clock = around.server_clock
        self._audit = around.audit
        self._events = around.events

    async def standing(self, verified: VerifiedClaims) -> Standing:
        """Say what a verified token is now; raises NotYetError where it cannot be known."""
        reference = verified.reference
        raw = await self._reader.get(
            CONNECTION_CONFIGURATIONS,
            reference.namespace,
            reference.name,
            uid=reference.uid,
            serial=reference.serial or 0,
        )
        self._server_clock.check()
        if raw is None:
            return Standing(None, {}, Invalid.UNKNOWN)
        configuration = ConnectionConfiguration.model_validate(raw)
        problem = why_connection_invalid(
            configuration,
            uid=reference.uid,
            serial=reference.serial or 0,
            token_id=verified.token_id,
            now=self._clock.now(),
        )
        return Standing(configuration, raw, problem)

    def why_misused(self, verified: VerifiedClaims, standing: Standing, used_in: DeploymentType) -> str | None:
        """Say why a valid token may not be used in a deployment of this type, and tell of it in an event; None: it may.

        The token says what it was issued for, and the object, which never changes its type, says the same.
        """
        issued_for: str = verified.claims["deployment_type"]
        if issued_for == used_in.value:
            return None
        text = mismatch_text(verified.token_id, issued_for, used_in.value)
        self._events.warn(standing.raw, "DeploymentTypeMismatch", text)
        return text

    async def refuse_exchange(self, unverified_jwt: str, used_in: DeploymentType | None) -> None:
        """Refuse a connection token where pairing tokens are exchanged. Anything else passes.

        Raises:
            ExchangeRefusedError: it is one of ours.
            NotYetError: it is one, and what it is now cannot be known.
        """
        if unverified_typ(unverified_jwt) != CONNECTION_TYPE:
            return
        verified = self._issuer.verified(unverified_jwt, self._clock.now())
        if verified is None:
            return  # it is refused with the text for all that did not verify
        standing = await self.standing(verified)
        misuse = None
        if standing.problem is None and used_in is not None:
            misuse = self.why_misused(verified, standing, used_in)
        self._audit.record("redeem", "refused", **facts_of(verified), reason="ConnectionToken")
        if misuse is not None:
            raise ExchangeRefusedError("invalid_target", misuse)
        raise ExchangeRefusedError("invalid_request", NOT_EXCHANGED)


def why_refused(verified: VerifiedClaims, standing: Standing) -> str:
    """Say to whoever holds a token of ours why it is not valid."""
    reference, configuration = verified.reference, standing.configuration
    match standing.problem:
        case Invalid.REVOKED:
            return f"token {verified.token_id} has been revoked"
        case Invalid.EXPIRED if configuration is not None and configuration.spec.license_expires_at is not None:
            end = rfc3339(configuration.spec.license_expires_at)
            return f"the license of {reference.namespace}/{reference.name} expired at {end}"
        case Invalid.EXPIRED:
            return f"the license of {reference.namespace}/{reference.name} has expired"
        case _:
            return "the token is not valid"
