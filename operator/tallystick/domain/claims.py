"""What our tokens say (decisions.md, Claims). Built here alone, so that what is signed is what was computed (S1)."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from tallystick.api.master_token import MasterToken
from tallystick.crypto.jws import numeric_date

PAIRING_TYPE = "pairing+jwt"
MASTER_TYPE = "at+jwt"
CONNECTION_TYPE = "connection+jwt"
CONNECTION_SCOPE = "protector"  # R14

Claims = dict[str, object]


@dataclass(frozen=True, slots=True)
class ConnectionGrant:
    """All that a connection token says beside who issued it."""

    token_id: str
    namespace: str
    name: str
    uid: str
    serial: int
    deployment_type: str
    issued: datetime


@dataclass(frozen=True, slots=True)
class PairingGrant:
    """All that a pairing token says beside who it is: decided at issue, never again for this serial."""

    token_id: str
    namespace: str
    name: str
    uid: str
    serial: int
    subject: str
    use_case: str
    base_url: str
    exchange_url: str
    pairing_url: str | None
    issued: datetime
    expires: datetime
    key_id: str

    @property
    def expires_in(self) -> int:
        """The token's life in seconds (R90)."""
        return numeric_date(self.expires) - numeric_date(self.issued)


def pairing_claims(grant: PairingGrant, issuer: str) -> Claims:
    """Return the claims of a pairing token of purpose Service."""
    urls = {"base_url": grant.base_url, "exchange_url": grant.exchange_url}  # R87, R88: both always, and signed
    if grant.pairing_url is not None:
        urls["pairing_url"] = grant.pairing_url  # R89: absent means one-way
    return {
        "iss": issuer,
        "sub": grant.subject,
        "aud": issuer,
        "scope": f"service-trust/pairing/{grant.use_case}",
        "iat": numeric_date(grant.issued),
        "exp": numeric_date(grant.expires),
        "jti": grant.token_id,
        # A short life must not switch revocation off: the token says that it is revocable.
        "ext": {**urls, "revocable": True},
        "tallystick": {
            "kind": "PairingToken",
            "ns": grant.namespace,
            "name": grant.name,
            "uid": grant.uid,
            "serial": grant.serial,
        },
    }


def master_claims(token: MasterToken, issuer: str) -> Claims:
    """Return the claims of a master token (RFC 9068 form), from the object that records it."""
    spec, meta = token.spec, token.metadata
    audience: object = spec.audience[0] if len(spec.audience) == 1 else list(spec.audience)
    claims: Claims = {
        "iss": issuer,
        "sub": spec.subject,
        "aud": audience,
        "scope": " ".join(spec.scope),
        "iat": numeric_date(spec.issued_time),
        "exp": numeric_date(spec.expiration_time),
        "jti": spec.token_id,
        "tallystick": {
            "kind": "MasterToken",
            "ns": meta.namespace,
            "name": meta.name,
            "uid": meta.uid,
            **({"serial": spec.serial} if spec.serial is not None else {}),
        },
    }
    if spec.key_thumbprint is not None:
        claims["cnf"] = {"jkt": spec.key_thumbprint}  # RFC 9449 6.1
    return claims


def connection_claims(grant: ConnectionGrant, issuer: str) -> Claims:
    """Return the claims of a connection token. It has no `exp`: it is valid until it is revoked (R22)."""
    return {
        "iss": issuer,
        "sub": f"connection:{grant.namespace}/{grant.name}",
        "aud": issuer,
        "scope": CONNECTION_SCOPE,
        "iat": numeric_date(grant.issued),
        "jti": grant.token_id,
        "deployment_type": grant.deployment_type,
        "tallystick": {
            "kind": "ConnectionConfiguration",
            "ns": grant.namespace,
            "name": grant.name,
            "uid": grant.uid,
            "serial": grant.serial,
        },
    }


def digest(claims: Mapping[str, object]) -> str:
    """Return a fingerprint of claims, to see later that the same ones are signed again (S3)."""
    canonical = json.dumps(claims, sort_keys=True, separators=(",", ":")).encode()
    return hashlib.sha256(canonical).hexdigest()
