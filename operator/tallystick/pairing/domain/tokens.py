"""Pairing tokens and master tokens: profiles, claims, ids, names, the Secret, and the signing keys in use.

Only this module builds claims, so that the exchange and the controller sign the claims that were computed
(docs/rules.md#s1).
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from tallystick.crypto.jws import numeric_date
from tallystick.crypto.profiles import (
    Members,
    Profile,
    common_claims,
    is_true,
    object_claims,
    one_or_many_uris,
    scope,
    seconds,
    serial,
    thumbprint,
    uri,
)
from tallystick.objects.held_secrets import Json, secret_body
from tallystick.objects.ownership import SecretForm
from tallystick.pairing.api.master_token import MASTER_TOKENS, MasterToken, MasterTokenState
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS, PairingToken, PairingTokenState
from tallystick.pairing.domain.enrollment_values import ENROLLMENT
from tallystick.schema.meta import GROUP
from tallystick.schema.times import rfc3339
from tallystick.tokens.claims import Claims
from tallystick.tokens.token_type import TokenType

PAIRING = Profile(
    typ="pairing+jwt",
    claims=Members(
        required={
            **common_claims(uri),
            "exp": seconds,
            "scope": scope,
            "ext": Members(
                required={"base_url": uri, "exchange_url": uri, "revocable": is_true},
                optional={"pairing_url": uri},
            ),
            "tallystick": Members(required={**object_claims("PairingToken"), "serial": serial}),
        },
    ),
    max_lifetime=timedelta(hours=24),
)
MASTER = Profile(
    typ="at+jwt",
    claims=Members(
        required={
            **common_claims(one_or_many_uris),
            "exp": seconds,
            "scope": scope,
            "tallystick": Members(required=object_claims("MasterToken"), optional={"serial": serial}),
        },
        optional={"cnf": Members(required={"jkt": thumbprint})},
    ),
    max_lifetime=timedelta(days=3653),
    many_audiences=True,
)
TOKEN_TYPES = (
    TokenType(profile=PAIRING, resource=PAIRING_TOKENS),
    TokenType(profile=MASTER, resource=MASTER_TOKENS),
)

PAIRING_SECRET = SecretForm(
    suffix="-pairing-token",
    type=f"{GROUP}/pairing-token",
    keys=frozenset({"token", "token-id", "expires-in", "expires-at", "ca.crt"}),
)


@dataclass(frozen=True, slots=True)
class PairingTokenClaims:
    """The claims of a pairing token, less the issuer: decided once for each serial, when it is issued.

    A rotation raises the generation, so that there is another value for the same serial (`enrollment_values.py`).
    """

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
    expires: datetime | None
    key_id: str
    project: str = ""
    generation: int | None = None

    @property
    def expires_in(self) -> int | None:
        """The lifetime in seconds (docs/rules.md#r90); None if it has no end."""
        return None if self.expires is None else numeric_date(self.expires) - numeric_date(self.issued)

    @property
    def profile(self) -> Profile:
        """The profile of the token."""
        return PAIRING if self.generation is None else ENROLLMENT


def pairing_claims(grant: PairingTokenClaims, issuer: str) -> Claims:
    """Return the claims of a pairing token."""
    if grant.generation is not None:
        return _value_claims(grant, issuer)
    # Both URLs are always there, and signed (docs/rules.md#r87, docs/rules.md#r88).
    urls = {"base_url": grant.base_url, "exchange_url": grant.exchange_url}
    if grant.pairing_url is not None:
        urls["pairing_url"] = grant.pairing_url  # docs/rules.md#r89: without it the pairing is one-way
    return {
        "iss": issuer,
        "sub": grant.subject,
        "aud": issuer,
        "scope": f"service-trust/pairing/{grant.use_case}",
        "iat": numeric_date(grant.issued),
        **_expiry(grant),
        "jti": grant.token_id,
        # A token can be revoked however short its lifetime is.
        "ext": {**urls, "revocable": True},
        "tallystick": {
            "kind": "PairingToken",
            "ns": grant.namespace,
            "name": grant.name,
            "uid": grant.uid,
            "serial": grant.serial,
        },
    }


def _value_claims(grant: PairingTokenClaims, issuer: str) -> Claims:
    return {
        "iss": issuer,
        "sub": grant.subject,
        "aud": issuer,
        "iat": numeric_date(grant.issued),
        **_expiry(grant),
        "jti": grant.token_id,
        "project": grant.project,
        "tallystick": {
            "kind": "PairingToken",
            "ns": grant.namespace,
            "name": grant.name,
            "uid": grant.uid,
            "serial": grant.serial,
            "generation": grant.generation,
        },
    }


def _expiry(grant: PairingTokenClaims) -> Claims:
    return {} if grant.expires is None else {"exp": numeric_date(grant.expires)}


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


def pairing_token_id(uid: str, serial: int) -> str:
    """Derive the `jti` of a pairing token: the same object and serial always give the same one.

    So issuing is idempotent, and a writer of a status cannot make another token valid (docs/rules.md#s2). The part
    after the slash is reserved for the generation that a TokenRotation makes of a device project's token.
    """
    return str(uuid.uuid5(uuid.UUID(uid), f"{serial}/"))


def has_reached(serial: int) -> Callable[[Json], bool]:
    """Return a check whether a PairingToken, as it was read, has at least this serial."""
    return lambda body: int(body["spec"].get("serial") or 1) >= serial


def master_token_name(token_id: str) -> str:
    """Return the name of the MasterToken with this `jti`: 41 characters, never truncated (docs/rules.md#s23)."""
    return f"mtok-{token_id}"


def pairing_secret_name(token: PairingToken) -> str:
    """Return the name of the Secret that holds the pairing token."""
    return token.spec.secret_name or token.metadata.name + PAIRING_SECRET.suffix


def pairing_secret(token: PairingToken, grant: PairingTokenClaims, signed_jwt: str, ca_pem: str | None) -> Json:
    """Return the Secret of a pairing token: the only place where its value is stored (docs/rules.md#r7)."""
    values = {
        "token": signed_jwt,
        "token-id": grant.token_id,
        **({"expires-in": str(grant.expires_in), "expires-at": rfc3339(grant.expires)} if grant.expires else {}),
        **({"ca.crt": ca_pem} if ca_pem else {}),
    }
    name = pairing_secret_name(token)
    return secret_body(name, PAIRING_SECRET, values, owner=(PAIRING_TOKENS, token.metadata), token_id=grant.token_id)


def keys_of_pairing_token(token: PairingToken, now: datetime) -> set[str]:
    """Return the signing keys of a pairing token that can be presented, and of a redemption that can be repeated.

    A Used token counts, too: its client can repeat the request with the same key, and a holder can revoke it. Both
    end when the pairing token expires. The MasterToken records what the redemption has yielded. A value that devices
    enroll with may have no expiry.
    """
    status = token.status
    if status.expiration_time is not None and status.expiration_time <= now:
        return set()
    keys = set()
    if status.state in (PairingTokenState.ACTIVE, PairingTokenState.USED) and status.key_id is not None:
        keys.add(status.key_id)
    if status.state is PairingTokenState.USED and status.redemption is not None:
        keys.add(status.redemption.key_id)
    return keys


def keys_of_master_token(token: MasterToken, now: datetime) -> set[str]:
    """Return the signing key of a master token that is valid."""
    revoked = token.spec.revoked or token.status.state is MasterTokenState.REVOKED
    return set() if revoked or token.spec.expiration_time <= now else {token.spec.key_id}
