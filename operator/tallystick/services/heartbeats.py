"""Take a heartbeat: an instance shows its token, and says who it is and what it runs as (R14, R23, R39)."""

from dataclasses import dataclass, field

from tallystick.api.connection_configuration import DeploymentType
from tallystick.crypto.tokens import VerifiedClaims
from tallystick.domain.claims import CONNECTION_TYPE
from tallystick.domain.errors import UseRefusedError
from tallystick.services.connection_uses import ConnectionUses, Standing, why_refused
from tallystick.services.instance_log import InstanceLog
from tallystick.services.issuer import Issuer, facts_of
from tallystick.services.surroundings import Surroundings

NOT_A_CONNECTION_TOKEN = "the bearer token is not a valid connection token"  # noqa: S105 - a text
NOT_HERE = "the bearer token belongs to another connection configuration than the path names"


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """What an instance sends. Only the token is verified; what it says of itself is hearsay (S19)."""

    unverified_jwt: str = field(repr=False)
    namespace: str
    name: str
    instance: str
    deployment_type: DeploymentType
    source: str


class Heartbeats:
    """The use case, for one replica."""

    def __init__(self, issuer: Issuer, uses: ConnectionUses, instances: InstanceLog, around: Surroundings) -> None:
        self._issuer = issuer
        self._uses = uses
        self._instances = instances
        self._clock = around.clock
        self._audit = around.audit

    async def take(self, heartbeat: Heartbeat) -> None:
        """Accept a heartbeat. Only what is new of it is written down.

        Raises:
            UseRefusedError: the token is not valid, or not here; the text is for the instance.
            NotYetError: it cannot be known now; the instance may ask again.
        """
        verified = self._issuer.verified(heartbeat.unverified_jwt, self._clock.now())
        if verified is None or verified.typ != CONNECTION_TYPE:
            raise UseRefusedError("invalid_token", NOT_A_CONNECTION_TOKEN, verified=False)
        reference = verified.reference
        if (reference.namespace, reference.name) != (heartbeat.namespace, heartbeat.name):
            raise self._refused(verified, heartbeat, "not_found", NOT_HERE)  # S15
        standing = await self._uses.standing(verified)
        self._check(verified, standing, heartbeat)
        if standing.configuration is not None and self._instances.note(
            standing.configuration.metadata, heartbeat.instance, reference.serial or 0
        ):
            self._record(verified, heartbeat, "ok")

    def _check(self, verified: VerifiedClaims, standing: Standing, heartbeat: Heartbeat) -> None:
        if standing.problem is not None:
            raise self._refused(verified, heartbeat, "invalid_token", why_refused(verified, standing))
        misuse = self._uses.why_misused(verified, standing, heartbeat.deployment_type)
        if misuse is not None:
            raise self._refused(verified, heartbeat, "deployment_type_mismatch", misuse)

    def _refused(self, verified: VerifiedClaims, heartbeat: Heartbeat, code: str, text: str) -> UseRefusedError:
        self._record(verified, heartbeat, "refused", reason=code)
        return UseRefusedError(code, text, verified=True)

    def _record(self, verified: VerifiedClaims, heartbeat: Heartbeat, outcome: str, **facts: str) -> None:
        self._audit.record(
            "heartbeat",
            outcome,
            **facts_of(verified),
            instance=heartbeat.instance,
            source=heartbeat.source,
            **facts,
        )
