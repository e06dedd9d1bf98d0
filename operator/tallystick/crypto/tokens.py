"""Sign our tokens, and verify what claims to be one of them.

    outside text -> form -> header -> key by kid -> signature -> claims -> expiry -> VerifiedClaims

Each step refuses before the next one looks. Nothing here asks whether a token is revoked: that is for the objects.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any

import jwt

from tallystick.crypto.encoding import MalformedError, parse_object
from tallystick.crypto.jws import UnverifiedJws, numeric_date, parse_compact, sign_compact
from tallystick.crypto.keyring import Keyring
from tallystick.crypto.keys import SigningKey, VerifyingKey
from tallystick.crypto.profiles import PROFILES, Profile

MAX_TOKEN_LENGTH = 8 * 1024
"""What fits into one HTTP header line, in characters; nothing longer is signed or read."""

_MAX_KEY_ID_LENGTH = 64
# Two machines' clocks differ: a token may seem to be issued this many seconds from now.
_ISSUED_AHEAD = 5

VerificationKeys = Keyring | Mapping[str, VerifyingKey]


class Reason(StrEnum):
    """Why a token was refused: for the audit log and metrics, never for the caller."""

    MALFORMED = "Malformed"
    HEADER = "Header"
    KEY = "UnknownKey"
    SIGNATURE = "Signature"
    ISSUER = "Issuer"
    AUDIENCE = "Audience"
    CLAIMS = "Claims"
    ISSUED_AHEAD = "IssuedAhead"
    EXPIRED = "Expired"
    UNEXPECTED = "Unexpected"


class InvalidTokenError(Exception):
    """The text is no token of ours. The message is always the same: no answer helps to forge a better one."""

    def __init__(self, reason: Reason, message: str = "the token is not valid") -> None:
        super().__init__(message)
        self.reason = reason


class ExpiredTokenError(InvalidTokenError):
    """The token is ours and was valid, until it expired; `claims` are verified."""

    def __init__(self, claims: "VerifiedClaims") -> None:
        super().__init__(Reason.EXPIRED, "the token has expired")
        self.claims = claims


class UnsignableClaimsError(ValueError):
    """The claims do not fit the profile of their `typ`. The text names the claim, not its value."""


@dataclass(frozen=True, slots=True)
class ObjectReference:
    """The object that a token stands for. `serial` is None where the token carries none."""

    kind: str
    namespace: str
    name: str
    uid: str
    serial: int | None


@dataclass(frozen=True, slots=True)
class VerifiedClaims:
    """What a token says. Only `verify` makes one, so to hold one is to have verified."""

    typ: str
    key_id: str
    token_id: str
    issuer: str
    subject: str
    audience: tuple[str, ...]
    scope: tuple[str, ...]
    issued_time: datetime
    expiration_time: datetime | None
    reference: ObjectReference
    key_thumbprint: str | None
    claims: Mapping[str, Any] = field(repr=False)
    """All claims as they stand in the token."""


def sign(claims: Mapping[str, Any], *, typ: str, key: SigningKey) -> str:
    """Sign claims as a compact JWT; the same claims and key always give the same text.

    Raises UnsignableClaimsError for what `verify` would refuse, so that no such token gets out.
    """
    profile = PROFILES.get(typ)
    if profile is None:
        raise UnsignableClaimsError(f"no profile for typ {typ}")
    wrong = profile.first_wrong(claims)
    if wrong is not None:
        raise UnsignableClaimsError(f"claim {wrong} does not fit a token of typ {typ}")
    token = sign_compact(claims, header={"typ": typ, "kid": key.key_id}, key=key)
    if len(token) > MAX_TOKEN_LENGTH:
        raise UnsignableClaimsError(f"the token would have {len(token)} characters; {MAX_TOKEN_LENGTH} are accepted")
    return token


def verify(
    unverified_jwt: str,
    keys: VerificationKeys,
    *,
    typ: str,
    issuer: str,
    audience: str | None = None,
    now: datetime,
    leeway: int = 0,
) -> VerifiedClaims:
    """Verify a token of one `typ`; raises ExpiredTokenError or InvalidTokenError, whatever the text.

    Args:
        unverified_jwt: The text from outside.
        keys: The keyring, or verifying keys by their id (from a JWKS).
        typ: The one profile that is accepted; `issuer` the one `iss`.
        audience: Who asks, as it must be in `aud`. None: the issuer, who may also read what is meant for many others.
        now: The time, aware. `leeway`: seconds that clocks may differ, 0 at the issuer's own exchange.
    """
    profile, now_seconds = PROFILES[typ], numeric_date(now)
    if audience is None and not profile.many_audiences:
        audience = issuer
    try:
        unverified = _parsed(unverified_jwt, profile)
        key = _key_for(unverified.header, keys)
        _check_signature(unverified_jwt, key, profile=profile, issuer=issuer, audience=audience)
        claims = _checked_claims(unverified.payload, profile)
    except InvalidTokenError:
        raise
    except Exception:  # noqa: BLE001 - a bug in a parser is a refusal too, never a crash that an outsider can cause
        raise InvalidTokenError(Reason.UNEXPECTED) from None
    if claims["iat"] > now_seconds + leeway + _ISSUED_AHEAD:
        raise InvalidTokenError(Reason.ISSUED_AHEAD)
    verified = _verified(claims, typ=typ, key_id=key.key_id)
    # RFC 7519 4.1.4: on or after `exp` the token is dead; the very second counts as after.
    if "exp" in claims and now_seconds - leeway >= claims["exp"]:
        raise ExpiredTokenError(verified)
    return verified


def unverified_typ(unverified_jwt: str) -> str | None:
    """Tell which of our profiles a text says it has, to choose the one to verify it by; never raises."""
    try:
        typ = parse_compact(unverified_jwt, max_length=MAX_TOKEN_LENGTH).header.get("typ")
    except MalformedError:
        return None
    return typ if isinstance(typ, str) and typ in PROFILES else None


def _parsed(unverified_jwt: str, profile: Profile) -> UnverifiedJws:
    try:
        unverified = parse_compact(unverified_jwt, max_length=MAX_TOKEN_LENGTH)
    except MalformedError:
        raise InvalidTokenError(Reason.MALFORMED) from None
    # RFC 8725 3.11: an explicit typ, compared exactly. No jku, jwk, x5u, crit or zip: we have no use for any.
    if unverified.header.keys() != {"alg", "kid", "typ"} or unverified.header["typ"] != profile.typ:
        raise InvalidTokenError(Reason.HEADER)
    return unverified


def _key_for(header: Mapping[str, Any], keys: VerificationKeys) -> VerifyingKey:
    key_id = header["kid"]
    if not isinstance(key_id, str) or len(key_id) > _MAX_KEY_ID_LENGTH:
        raise InvalidTokenError(Reason.HEADER)
    # A look-up in a table that we made: no path, no URL, no query is ever built from a kid (RFC 8725 3.10).
    key = keys.by_id(key_id) if isinstance(keys, Keyring) else keys.get(key_id)
    if key is None:
        raise InvalidTokenError(Reason.KEY)
    verifying = key.verifying_key() if isinstance(key, SigningKey) else key
    # RFC 8725 3.1: the key decides the algorithm, the token only repeats it.
    if header["alg"] != verifying.alg:
        raise InvalidTokenError(Reason.HEADER)
    return verifying


def _check_signature(
    unverified_jwt: str, key: VerifyingKey, *, profile: Profile, issuer: str, audience: str | None
) -> None:
    try:
        jwt.decode(
            unverified_jwt,
            key.public_key,
            algorithms=[key.alg],
            issuer=issuer,
            audience=audience,
            options={
                "verify_signature": True,
                "enforce_minimum_key_length": True,
                "require": list(profile.claims.required),
                "verify_iss": True,
                "verify_aud": audience is not None,
                "strict_aud": not profile.many_audiences,
                "verify_sub": True,
                "verify_jti": True,
                # PyJWT asks the wall clock; here time is an argument, and these are compared with it below.
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
            },
        )
    except jwt.InvalidIssuerError:
        raise InvalidTokenError(Reason.ISSUER) from None
    except jwt.InvalidAudienceError:
        raise InvalidTokenError(Reason.AUDIENCE) from None
    except (jwt.InvalidSignatureError, jwt.InvalidAlgorithmError, jwt.InvalidKeyError):
        raise InvalidTokenError(Reason.SIGNATURE) from None
    except jwt.PyJWTError:
        raise InvalidTokenError(Reason.CLAIMS) from None


def _checked_claims(payload: bytes, profile: Profile) -> dict[str, Any]:
    try:
        claims = parse_object(payload)
    except MalformedError:
        raise InvalidTokenError(Reason.CLAIMS) from None
    if profile.first_wrong(claims) is not None:
        raise InvalidTokenError(Reason.CLAIMS)
    return claims


def _verified(claims: dict[str, Any], *, typ: str, key_id: str) -> VerifiedClaims:
    audience, thing = claims["aud"], claims["tallystick"]
    return VerifiedClaims(
        typ=typ,
        key_id=key_id,
        token_id=claims["jti"],
        issuer=claims["iss"],
        subject=claims["sub"],
        audience=(audience,) if isinstance(audience, str) else tuple(audience),
        scope=tuple(claims["scope"].split(" ")),
        issued_time=datetime.fromtimestamp(claims["iat"], UTC),
        expiration_time=datetime.fromtimestamp(claims["exp"], UTC) if "exp" in claims else None,
        reference=ObjectReference(thing["kind"], thing["ns"], thing["name"], thing["uid"], thing.get("serial")),
        key_thumbprint=claims.get("cnf", {}).get("jkt"),
        claims=MappingProxyType(claims),
    )
