"""Proofs of possession (RFC 9449): who asks shows that they hold a key, for this request and at this time.

Proofs may be sent again within their time: what they open is safe to ask twice (S14), so none is remembered.
"""

import hashlib
import re
from collections.abc import Collection
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import jwt

from tallystick.crypto.encoding import MalformedError, parse_object, to_base64url
from tallystick.crypto.jws import UnverifiedJws, numeric_date, parse_compact, sign_compact
from tallystick.crypto.keys import InvalidKeyError, SigningKey, VerifyingKey

MAX_AGE = 60
"""How many seconds a proof's `iat` may lie from the verifier's time, before or after."""

_TYP = "dpop+jwt"
_ALG = "ES256"
_MAX_PROOF_LENGTH = 4096
_MAX_URL_LENGTH = 2048
_REQUIRED = {"jti", "htm", "htu", "iat"}
_JTI = re.compile(r"[!-~]{1,128}")
_URL_CHARACTERS = re.compile(r"[!-~]+")
_DEFAULT_PORTS = {"https": 443, "http": 80}


class InvalidProofError(Exception):
    """The proof does not hold. The message is always the same; `reason` is for the audit log."""

    def __init__(self, reason: str) -> None:
        super().__init__("the DPoP proof is not valid")
        self.reason = reason


def make_proof(key: SigningKey, *, method: str, url: str, now: datetime, proof_id: str) -> str:
    """Make a proof for one request; `key` is of ES256, `proof_id` is fresh and random."""
    if key.alg != _ALG:
        raise InvalidKeyError(f"a proof needs a key of {_ALG}, not of {key.alg}")
    public = key.public_jwk()
    jwk = {name: public[name] for name in ("kty", "crv", "x", "y")}
    claims = {"jti": proof_id, "htm": method, "htu": _without_query(url), "iat": numeric_date(now)}
    return sign_compact(claims, header={"typ": _TYP, "jwk": jwk}, key=key)


def verify_proof(
    unverified_proof: str,
    *,
    method: str,
    urls: Collection[str],
    now: datetime,
    max_age: int = MAX_AGE,
    access_token: str | None = None,
) -> str:
    """Check a proof and return its key's RFC 7638 thumbprint (`jkt`); raises InvalidProofError, whatever the text.

    Args:
        unverified_proof: The `DPoP` header, from outside.
        method: The request's method.
        urls: The addresses of this endpoint as the settings have them, never as a request has them (S14).
        now: The time, aware.
        max_age: How many seconds `iat` may lie from now, either way.
        access_token: The token that the proof comes with; its hash must then be there as `ath`.
    """
    now_seconds, known = numeric_date(now), {_normalised(url) for url in urls}
    try:
        unverified = _parsed(unverified_proof)
        key = _proven_key(unverified_proof, unverified)
        claims = parse_object(unverified.payload)
        _check_claims(claims, access_token=access_token)
        addressed = claims["htm"] == method and _normalised(claims["htu"]) in known
    except InvalidProofError:
        raise
    except (MalformedError, InvalidKeyError):
        raise InvalidProofError("Malformed") from None
    except Exception:  # noqa: BLE001 - a bug in a parser is a refusal too, never a crash that an outsider can cause
        raise InvalidProofError("Unexpected") from None
    if not addressed:
        raise InvalidProofError("Request")
    if abs(now_seconds - claims["iat"]) > max_age:
        raise InvalidProofError("Time")
    return key.key_id


def _parsed(unverified_proof: str) -> UnverifiedJws:
    unverified = parse_compact(unverified_proof, max_length=_MAX_PROOF_LENGTH)
    header = unverified.header
    # RFC 9449 4.3, checks 4 to 7. Symmetric algorithms and none are not the one that we advertise.
    if header.keys() != {"typ", "alg", "jwk"} or header["typ"] != _TYP or header["alg"] != _ALG:
        raise InvalidProofError("Header")
    return unverified


def _proven_key(unverified_proof: str, unverified: UnverifiedJws) -> VerifyingKey:
    jwk = unverified.header["jwk"]
    if not isinstance(jwk, dict):
        raise InvalidProofError("Header")
    key = VerifyingKey.from_jwk(jwk)
    if key.alg != _ALG:
        raise InvalidProofError("Header")
    try:
        jwt.PyJWS(algorithms=[_ALG]).decode(unverified_proof, key.public_key, algorithms=[_ALG])
    except jwt.PyJWTError:
        raise InvalidProofError("Signature") from None
    return key


def _check_claims(claims: dict[str, Any], *, access_token: str | None) -> None:
    expected = _REQUIRED if access_token is None else _REQUIRED | {"ath"}
    if claims.keys() != expected:
        raise InvalidProofError("Claims")
    if not isinstance(claims["jti"], str) or not _JTI.fullmatch(claims["jti"]):
        raise InvalidProofError("Claims")
    if not isinstance(claims["htm"], str) or not isinstance(claims["htu"], str) or type(claims["iat"]) is not int:
        raise InvalidProofError("Claims")
    if access_token is not None and claims["ath"] != _token_hash(access_token):
        raise InvalidProofError("AccessToken")


def _token_hash(access_token: str) -> str:
    # RFC 9449 4.2: `ath`.
    return to_base64url(hashlib.sha256(access_token.encode()).digest())


def _without_query(url: str) -> str:
    return urlsplit(url)._replace(query="", fragment="").geturl()


def _normalised(url: str) -> tuple[str, str, int | None, str]:
    """Write a URL such that equal places compare equal (RFC 9449 4.3, RFC 3986 6.2.2 and 6.2.3)."""
    if len(url) > _MAX_URL_LENGTH or not _URL_CHARACTERS.fullmatch(url):
        raise MalformedError("not a URL")
    try:
        parts = urlsplit(url)
        scheme, host, port = parts.scheme, parts.hostname, parts.port
    except ValueError:
        raise MalformedError("not a URL") from None
    if scheme not in _DEFAULT_PORTS or not host or "@" in parts.netloc:
        raise MalformedError("not a URL of a place")
    return scheme, host, _DEFAULT_PORTS[scheme] if port is None else port, parts.path or "/"
