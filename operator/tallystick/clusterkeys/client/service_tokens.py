"""Sign service tokens, and verify texts that may be one (docs/join-keys.md).

    outside text -> form -> header -> key by kid -> signature -> claims -> time -> claims

Each step rejects a text before the next step. PyJWT computes the signatures; it accepts duplicate names and a list as
`aud`, so this module checks the form, the header and the claims.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from jwt import InvalidTokenError, PyJWS

from tallystick.clusterkeys.domain.keys import ClusterKey, Purpose
from tallystick.crypto.encoding import MalformedError, parse_object, to_json
from tallystick.crypto.jws import UnverifiedJws, numeric_date, parse_compact
from tallystick.crypto.profiles import identifier, matching, object_name, seconds
from tallystick.errors import TallystickError

TYP = "service+jwt"
ALGORITHM = "HS256"
MAX_LIFETIME = 3600
"""The maximum number of seconds from `iat` to `exp`."""
MAX_TOKEN_LENGTH = 8 * 1024
_SIGNING_INFO = "tallystick.dev/join-key/hs256/v1"
_SIGNING_BYTES = 32
# The clocks of two nodes may differ by this many seconds.
_ISSUED_AHEAD = 60
_KEY_ID = re.compile(r"jk-[0-9a-f]{24}")
_CHECKS = {
    "iss": matching(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"),
    "aud": object_name,
    "iat": seconds,
    "exp": seconds,
    "jti": identifier,
}
# RFC 8725 3.1: the verifier decides the algorithm. This one supports no other, in particular not `none`.
_JWS = PyJWS(algorithms=[ALGORITHM])


class Reason(StrEnum):
    """Why a text is no valid service token: for logs and metrics, not for the caller."""

    MALFORMED = "Malformed"
    HEADER = "Header"
    KEY = "JoinKeyMismatch"
    SIGNATURE = "Signature"
    CLAIMS = "Claims"
    AUDIENCE = "Audience"
    SERVICE = "Service"
    ISSUED_AHEAD = "IssuedAhead"
    EXPIRED = "Expired"


class InvalidServiceTokenError(TallystickError):
    """The text is no valid service token of this cluster. The message is constant; `reason` has the cause."""

    def __init__(self, reason: Reason, message: str = "the token is not valid") -> None:
        super().__init__(message)
        self.reason = reason


class JoinKeyMismatchError(InvalidServiceTokenError):
    """The token names another join key than this service has. The message contains both fingerprints."""

    def __init__(self, token_kid: str, local_kids: Sequence[str]) -> None:
        local = ", ".join(local_kids)
        super().__init__(Reason.KEY, f"join key mismatch (token kid {token_kid}, local kid {local})")


class UnsignableTokenError(TallystickError, ValueError):
    """The service or its claims do not fit a service token. The message contains no value of a claim."""


@dataclass(frozen=True, slots=True)
class Membership:
    """The keys of a cluster, and its members.

    Attributes:
        signing: The key that signs. It is accepted, too.
        accepted: The key that is accepted and never signs, while the join key is being replaced; else None.
        cluster: The name of the cluster, which is the `aud` of its tokens.
        services: The services that may sign, as they name themselves in `iss`. Empty: any.
    """

    signing: ClusterKey
    accepted: ClusterKey | None
    cluster: str
    services: Collection[str] = ()

    def keys(self) -> tuple[ClusterKey, ...]:
        """Return the keys that verify a token."""
        return (self.signing,) if self.accepted is None else (self.signing, self.accepted)

    def admits(self, service: str) -> bool:
        """Return whether a service of this name is a member."""
        return not self.services or service in self.services


def sign(
    membership: Membership,
    service: str,
    claims: Mapping[str, Any],
    *,
    now: datetime,
    lifetime: int,
    token_id: str,
) -> str:
    """Sign a token of one service.

    Args:
        membership: The key and the cluster.
        service: The name of this service, for `iss`.
        claims: Further claims: JSON without fractions. None of them may be `iss`, `aud`, `iat`, `exp` or `jti`.
        now: The time, aware.
        lifetime: Seconds until the token expires: 1 to 3600.
        token_id: The `jti`: 1 to 64 characters that no other token has.

    Raises:
        UnsignableTokenError: `verify` would reject the token.
    """
    if set(claims) & set(_CHECKS):
        raise UnsignableTokenError(f"claims must not contain {', '.join(_CHECKS)}; the signer sets them")
    if not membership.admits(service):
        raise UnsignableTokenError("this service is not among the services of the JoinKey; add it to spec.services")
    issued = numeric_date(now)
    own = {"iss": service, "aud": membership.cluster, "iat": issued, "exp": issued + lifetime, "jti": token_id}
    if not _is_well_formed(own):
        raise UnsignableTokenError(f"service, lifetime (1 to {MAX_LIFETIME} seconds) or token ID cannot be used")
    header = {"kid": membership.signing.fingerprint, "typ": TYP}
    token = _JWS.encode(
        _payload({**claims, **own}), _signing_key(membership.signing), ALGORITHM, header, sort_headers=True
    )
    if len(token) > MAX_TOKEN_LENGTH:
        raise UnsignableTokenError(f"the token would have {len(token)} characters; {MAX_TOKEN_LENGTH} are accepted")
    return token


def verify(unverified_token: str, membership: Membership, *, now: datetime) -> dict[str, Any]:
    """Verify a token and return its claims.

    Raises:
        JoinKeyMismatchError: It names another join key than `join-key` and `join-key-accepted`.
        InvalidServiceTokenError: It is not valid for any other reason.
    """
    unverified = _parsed(unverified_token)
    key = _key_for(unverified.header, membership)
    _check_signature(unverified_token, key)
    claims = _checked_claims(unverified.payload)
    if claims["aud"] != membership.cluster:
        raise InvalidServiceTokenError(Reason.AUDIENCE)
    if not membership.admits(claims["iss"]):
        raise InvalidServiceTokenError(Reason.SERVICE)
    now_seconds = numeric_date(now)
    if claims["iat"] > now_seconds + _ISSUED_AHEAD:
        raise InvalidServiceTokenError(Reason.ISSUED_AHEAD)
    # RFC 7519 4.1.4: the token is not valid at or after `exp`.
    if now_seconds >= claims["exp"]:
        raise InvalidServiceTokenError(Reason.EXPIRED)
    return claims


def _signing_key(key: ClusterKey) -> bytes:
    # RFC 7518 3.2: HS256 needs a key of at least 256 bits, and a join key may have 128.
    if key.purpose is not Purpose.JOIN:
        raise ValueError("only a join key signs")
    return key.derive(_SIGNING_INFO, _SIGNING_BYTES)


def _payload(claims: Mapping[str, Any]) -> bytes:
    try:
        payload = to_json(claims)
        parse_object(payload)
    except (ValueError, TypeError, RecursionError):
        # `from None`: the cause quotes the claims.
        raise UnsignableTokenError("the claims are not JSON without fractions and with few levels") from None
    return payload


def _parsed(unverified_token: str) -> UnverifiedJws:
    try:
        unverified = parse_compact(unverified_token, max_length=MAX_TOKEN_LENGTH)
    except MalformedError:
        raise InvalidServiceTokenError(Reason.MALFORMED) from None
    # RFC 8725 3.11: an explicit typ, compared exactly. No jku, jwk, crit or zip.
    header = unverified.header
    if header.keys() != {"alg", "kid", "typ"} or (header["alg"], header["typ"]) != (ALGORITHM, TYP):
        raise InvalidServiceTokenError(Reason.HEADER)
    return unverified


def _key_for(header: Mapping[str, Any], membership: Membership) -> ClusterKey:
    kid = header["kid"]
    # The message repeats the kid, so it must be a fingerprint.
    if not isinstance(kid, str) or not _KEY_ID.fullmatch(kid):
        raise InvalidServiceTokenError(Reason.HEADER)
    keys = membership.keys()
    for key in keys:
        if key.fingerprint == kid:
            return key
    raise JoinKeyMismatchError(kid, [key.fingerprint for key in keys])


def _check_signature(unverified_token: str, key: ClusterKey) -> None:
    try:
        _JWS.decode(unverified_token, _signing_key(key), algorithms=[ALGORITHM])
    except InvalidTokenError:
        raise InvalidServiceTokenError(Reason.SIGNATURE) from None


def _checked_claims(payload: bytes) -> dict[str, Any]:
    try:
        claims = parse_object(payload)
    except MalformedError:
        raise InvalidServiceTokenError(Reason.CLAIMS) from None
    if not _is_well_formed(claims):
        raise InvalidServiceTokenError(Reason.CLAIMS)
    return claims


def _is_well_formed(claims: Mapping[str, Any]) -> bool:
    """Return whether the required claims have their form. Others are the business of the services."""
    if not all(name in claims and check(claims[name]) for name, check in _CHECKS.items()):
        return False
    lifetime: int = claims["exp"] - claims["iat"]
    return 0 < lifetime <= MAX_LIFETIME
