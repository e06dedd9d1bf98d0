"""Keys, claims and forgeries for the tests of `crypto`.

`forge` signs any bytes with `cryptography` alone, so that a bad token fails for the reason under test and no other.
"""

import base64
import functools
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from tallystick.crypto.keyring import Keyring
from tallystick.crypto.keys import Algorithm, SigningKey
from tallystick.crypto.tokens import InvalidTokenError, sign, verify
from tallystick.pairing.domain.tokens import MASTER, PAIRING
from tallystick.registry import TOKEN_TYPES

ISSUER = "https://trust.example.com"
NOW = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
NOW_SECONDS = int(NOW.timestamp())
TOKEN_URL = f"{ISSUER}/oauth2/token"
ABSENT = object()
PROFILES = {token_type.profile.typ: token_type.profile for token_type in TOKEN_TYPES}


def a_key(name: str = "first", alg: Algorithm = "ES256") -> SigningKey:
    """The same key for the same name, all through a test run."""
    return _key_of(name, alg)


@functools.cache
def _key_of(_: str, alg: Algorithm) -> SigningKey:
    if alg == "RS256":
        return SigningKey(rsa.generate_private_key(public_exponent=65537, key_size=2048))
    return SigningKey.generate(alg)


def a_keyring(key: SigningKey | None = None) -> Keyring:
    return Keyring.first(ISSUER, key or a_key(), NOW)


def changed(members: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return members with some replaced, added or (ABSENT) left out."""
    return {name: value for name, value in {**members, **changes}.items() if value is not ABSENT}


def pairing_claims(**changes: Any) -> dict[str, Any]:
    claims = {
        "iss": ISSUER,
        "sub": "system:serviceaccount:edge:default",
        "aud": ISSUER,
        "scope": "service-trust/pairing/mission-control",
        "iat": NOW_SECONDS,
        "exp": NOW_SECONDS + 300,
        "jti": "4be13896-2fef-518d-b07c-951cbd05ba71",
        "ext": {"base_url": ISSUER, "exchange_url": TOKEN_URL, "revocable": True},
        "tallystick": {
            "kind": "PairingToken",
            "ns": "edge",
            "name": "press-1",
            "uid": "0b9f7a52-98a0-4f0e-8f5b-3c9d1d6a7a10",
            "serial": 1,
        },
    }
    return changed(claims, **changes)


def master_claims(**changes: Any) -> dict[str, Any]:
    claims = {
        "iss": ISSUER,
        "sub": "system:serviceaccount:edge:default",
        "aud": "https://mc.example.net",
        "scope": "mission-control:admin mission-control:read",
        "iat": NOW_SECONDS,
        "exp": NOW_SECONDS + 31_536_000,
        "jti": "b1c0f5d2-9c1e-5a52-9f0e-1f2d3c4b5a69",
        "tallystick": {
            "kind": "MasterToken",
            "ns": "edge",
            "name": "press-1-7f3a",
            "uid": "6f1f2b1e-1c55-4a4e-9a3c-0d9f3c2b1a00",
            "serial": 1,
        },
    }
    return changed(claims, **changes)


def pairing_header(key: SigningKey | None = None, **changes: Any) -> dict[str, Any]:
    key = key or a_key()
    return changed({"alg": key.alg, "kid": key.key_id, "typ": "pairing+jwt"}, **changes)


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def as_bytes(part: dict[str, Any] | bytes) -> bytes:
    return part if isinstance(part, bytes) else json.dumps(part).encode()


def forge(header: dict[str, Any] | bytes, payload: dict[str, Any] | bytes, key: SigningKey | None = None) -> str:
    """Sign any header and payload, properly, whatever they say."""
    signing_input = f"{b64(as_bytes(header))}.{b64(as_bytes(payload))}"
    return f"{signing_input}.{b64(raw_signature(signing_input.encode(), key or a_key()))}"


def raw_signature(message: bytes, key: SigningKey) -> bytes:
    private_key = key.private_key
    if isinstance(private_key, rsa.RSAPrivateKey):
        return private_key.sign(message, padding.PKCS1v15(), hashes.SHA256())
    r, s = decode_dss_signature(private_key.sign(message, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def signed(**changes):
    return sign(pairing_claims(**changes), profile=PAIRING, key=a_key())


def verified(unverified_jwt, **changes):
    expected = {"keys": a_keyring(), "profile": PAIRING, "issuer": ISSUER, "now": NOW}
    return verify(unverified_jwt, **{**expected, **changes})


def verified_master(unverified_jwt, **changes):
    return verified(unverified_jwt, **{"profile": MASTER, **changes})


def refusal_of(unverified_jwt, **changes):
    """The reason for which a token is refused; the message must never tell it."""
    with pytest.raises(InvalidTokenError) as refusal:
        verified(unverified_jwt, **changes)
    assert str(refusal.value) == "the token is not valid"
    return refusal.value.reason
