"""Connection tokens: their profile and claims, their IDs, and the name of their Secret.

Claims are built only here, so that the controller signs the claims that were computed (docs/rules.md#s1).
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from tallystick.connections.api.connection_configuration import (
    CONNECTION_CONFIGURATIONS,
    ConnectionConfiguration,
    DeploymentType,
)
from tallystick.crypto.jws import numeric_date
from tallystick.crypto.profiles import Members, Profile, common_claims, matching, object_claims, scope, serial, uri
from tallystick.crypto.tokens import VerifiedClaims
from tallystick.objects.held_secrets import Json
from tallystick.objects.ownership import SecretForm
from tallystick.schema.meta import GROUP
from tallystick.tokens.claims import Claims
from tallystick.tokens.token_type import TokenType

CONNECTION_SCOPE = "protector"  # docs/rules.md#r14
DEPLOYMENT_TYPE = "deployment_type"
"""The claim and the form field that name a deployment type."""

CONNECTION = Profile(
    typ="connection+jwt",
    claims=Members(
        required={
            **common_claims(uri),
            "scope": scope,
            DEPLOYMENT_TYPE: matching(r"[A-Z][A-Za-z]{0,62}"),
            "tallystick": Members(required={**object_claims("ConnectionConfiguration"), "serial": serial}),
        },
    ),
    max_lifetime=None,  # docs/rules.md#r22: a token is valid until it is revoked
)

CONNECTION_SECRET = SecretForm(
    suffix="-connection-token",
    type=f"{GROUP}/connection-token",
    keys=frozenset({"token", "token-id", "deployment-type", "heartbeat-url", "ca.crt"}),
    key_prefix="token.",  # and the name of a slot
)


@dataclass(frozen=True, slots=True)
class ConnectionTokenClaims:
    """The claims of a connection token, less the issuer."""

    token_id: str
    namespace: str
    name: str
    uid: str
    serial: int
    deployment_type: str
    issued: datetime


def connection_claims(token: ConnectionTokenClaims, issuer: str) -> Claims:
    """Return the claims of a connection token. It has no `exp`: it is valid until it is revoked (docs/rules.md#r22)."""
    return {
        "iss": issuer,
        "sub": f"connection:{token.namespace}/{token.name}",
        "aud": issuer,
        "scope": CONNECTION_SCOPE,
        "iat": numeric_date(token.issued),
        "jti": token.token_id,
        DEPLOYMENT_TYPE: token.deployment_type,
        "tallystick": {
            "kind": "ConnectionConfiguration",
            "ns": token.namespace,
            "name": token.name,
            "uid": token.uid,
            "serial": token.serial,
        },
    }


def connection_token_id(uid: str, slot: str, serial: int) -> str:
    """Derive the `jti` of a connection token, so that a writer of a status cannot make one valid (docs/rules.md#s2)."""
    return str(uuid.uuid5(uuid.UUID(uid), f"{slot}/{serial}"))


def connection_secret_name(configuration: ConnectionConfiguration) -> str:
    """Return the name of the Secret that holds the tokens of a ConnectionConfiguration."""
    return configuration.spec.secret_name or configuration.metadata.name + CONNECTION_SECRET.suffix


def has_reached(serial: int) -> Callable[[Json], bool]:
    """Return a check whether a ConnectionConfiguration, as it was read, has issued at least this serial."""
    return lambda body: int((body.get("status") or {}).get("lastSerial") or 1) >= serial


def introspected(verified: VerifiedClaims) -> dict[str, object]:
    """Return the members that an introspection response has only for a connection token (RFC 7662, section 2.2)."""
    reference = verified.reference
    return {
        DEPLOYMENT_TYPE: verified.claims[DEPLOYMENT_TYPE],
        "connection": f"{reference.namespace}/{reference.name}",
    }


TOKEN_TYPES = (
    TokenType(
        profile=CONNECTION,
        resource=CONNECTION_CONFIGURATIONS,
        hints={DEPLOYMENT_TYPE: tuple(DeploymentType)},
        introspected=introspected,
    ),
)
