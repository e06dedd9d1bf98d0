"""Keys that sign tokens and proofs, and their public halves. A key is named by its RFC 7638 thumbprint."""

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tallystick.crypto.encoding import MalformedError, from_base64url, to_base64url, to_json

Algorithm = Literal["ES256", "RS256"]
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey

_COORDINATE_BYTES = 32
_RSA_BITS = 3072
_RSA_MIN_BITS, _RSA_MAX_BITS = 2048, 4096
# RFC 7638 3.2: what goes into the thumbprint, and all that makes the key.
_IDENTITY = {"EC": ("crv", "kty", "x", "y"), "RSA": ("e", "kty", "n")}
_ANNOTATIONS = frozenset({"kid", "use", "alg"})


class InvalidKeyError(ValueError):
    """The key cannot be used. The text says why, and never holds key material."""


def thumbprint(public_jwk: Mapping[str, Any]) -> str:
    """Compute the RFC 7638 thumbprint (SHA-256, base64url, 43 characters) of an EC or RSA JWK."""
    names = _IDENTITY.get(str(public_jwk.get("kty")), ())
    if not names or any(not isinstance(public_jwk.get(name), str) for name in names):
        raise InvalidKeyError("the JWK is neither an EC nor an RSA key")
    identity = {name: public_jwk[name] for name in names}
    return to_base64url(hashlib.sha256(to_json(identity)).digest())


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """The public half of a key: verifies, cannot sign."""

    alg: Algorithm = field(init=False)
    key_id: str = field(init=False)
    public_key: PublicKey = field(repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "alg", _algorithm_for(self.public_key))
        object.__setattr__(self, "key_id", thumbprint(_identity_of(self.public_key)))

    @classmethod
    def from_jwk(cls, jwk: Mapping[str, Any]) -> Self:
        """Read a public JWK of P-256 or RSA; raises InvalidKeyError.

        Private members, and any others but `kid`, `use` and `alg`, are refused; a `kid` is not believed but computed.
        """
        kty = jwk.get("kty") if isinstance(jwk, Mapping) else None
        identity = frozenset(_IDENTITY[kty]) if kty in ("EC", "RSA") else frozenset()
        if not identity or not identity <= jwk.keys() <= identity | _ANNOTATIONS:
            raise InvalidKeyError("the JWK is not a public EC or RSA key")
        try:
            key = cls(_ec_public_key(jwk) if kty == "EC" else _rsa_public_key(jwk))
        except (ValueError, TypeError):
            raise InvalidKeyError("the JWK is not a usable P-256 or RSA key") from None
        if jwk.get("alg", key.alg) != key.alg or jwk.get("use", "sig") != "sig":
            raise InvalidKeyError("the JWK is not a key for signatures of its kind")
        return key

    def public_jwk(self) -> dict[str, str]:
        """Write the key as verifiers want it: with `kid`, `use` and `alg` (RFC 7517 4)."""
        return {**_identity_of(self.public_key), "kid": self.key_id, "use": "sig", "alg": self.alg}


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key with its algorithm and name. Two are equal when they have the same name."""

    alg: Algorithm = field(init=False)
    key_id: str = field(init=False)
    private_key: PrivateKey = field(repr=False, compare=False)

    def __post_init__(self) -> None:
        public = VerifyingKey(self.private_key.public_key())
        object.__setattr__(self, "alg", public.alg)
        object.__setattr__(self, "key_id", public.key_id)

    @classmethod
    def generate(cls, alg: Algorithm) -> Self:
        """Make a fresh key: P-256 for ES256, 3072 bits for RS256."""
        if alg == "ES256":
            return cls(ec.generate_private_key(ec.SECP256R1()))
        return cls(rsa.generate_private_key(public_exponent=65537, key_size=_RSA_BITS))

    @classmethod
    def from_pem(cls, pem: bytes) -> Self:
        """Read an unencrypted private key; the algorithm follows from its kind. Raises InvalidKeyError."""
        try:
            private_key = serialization.load_pem_private_key(pem, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            # The cause is cut off: a parser's message may quote what it could not parse.
            raise InvalidKeyError("not an unencrypted private key in PEM") from None
        if not isinstance(private_key, PrivateKey):
            raise InvalidKeyError("the key is neither P-256 nor RSA")
        return cls(private_key)

    def to_pem(self) -> bytes:
        """Write the private key as PKCS #8 PEM, unencrypted: for a Secret or a file of mode 0600 only."""
        return self.private_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def verifying_key(self) -> VerifyingKey:
        """Give the public half."""
        return VerifyingKey(self.private_key.public_key())

    def public_jwk(self) -> dict[str, str]:
        """Write the public half as a JWK with `kid`, `use` and `alg`."""
        return self.verifying_key().public_jwk()


def verifying_keys(jwks: Mapping[str, Any]) -> dict[str, VerifyingKey]:
    """Read a JWK Set into keys by their id, as `tokens.verify` takes them; raises InvalidKeyError if it is none.

    Keys that we cannot use are left out (RFC 7517 5): a newer issuer may have kinds that we do not know.
    """
    listed = jwks.get("keys")
    if not isinstance(listed, list):
        raise InvalidKeyError("not a JWK Set")
    keys = {}
    for jwk in listed:
        with suppress(InvalidKeyError):
            key = VerifyingKey.from_jwk(jwk)
            keys[key.key_id] = key
    return keys


def _algorithm_for(key: PublicKey) -> Algorithm:
    if isinstance(key, ec.EllipticCurvePublicKey):
        if not isinstance(key.curve, ec.SECP256R1):
            raise InvalidKeyError("the key is not on P-256, as ES256 demands (RFC 7518 3.4)")
        return "ES256"
    if not _RSA_MIN_BITS <= key.key_size <= _RSA_MAX_BITS:
        raise InvalidKeyError(f"the RSA key has {key.key_size} bits; {_RSA_MIN_BITS} to {_RSA_MAX_BITS} are accepted")
    return "RS256"


def _identity_of(key: PublicKey) -> dict[str, str]:
    if isinstance(key, ec.EllipticCurvePublicKey):
        point = key.public_numbers()
        # RFC 7518 6.2.1.2: coordinates have full length, with their leading zeros.
        x, y = (to_base64url(n.to_bytes(_COORDINATE_BYTES, "big")) for n in (point.x, point.y))
        return {"kty": "EC", "crv": "P-256", "x": x, "y": y}
    numbers = key.public_numbers()
    # RFC 7518 6.3.1: modulus and exponent have minimal length.
    n, e = (to_base64url(n.to_bytes((n.bit_length() + 7) // 8, "big")) for n in (numbers.n, numbers.e))
    return {"kty": "RSA", "n": n, "e": e}


def _ec_public_key(jwk: Mapping[str, Any]) -> ec.EllipticCurvePublicKey:
    x, y = from_base64url(jwk["x"]), from_base64url(jwk["y"])
    if jwk["crv"] != "P-256" or len(x) != _COORDINATE_BYTES or len(y) != _COORDINATE_BYTES:
        raise MalformedError("not a point of P-256")
    # The library refuses a point that is not on the curve (RFC 8725 3.4).
    point = ec.EllipticCurvePublicNumbers(int.from_bytes(x, "big"), int.from_bytes(y, "big"), ec.SECP256R1())
    return point.public_key()


def _rsa_public_key(jwk: Mapping[str, Any]) -> rsa.RSAPublicKey:
    n, e = from_base64url(jwk["n"]), from_base64url(jwk["e"])
    if n.startswith(b"\0") or e.startswith(b"\0"):
        raise MalformedError("not minimal")
    return rsa.RSAPublicNumbers(int.from_bytes(e, "big"), int.from_bytes(n, "big")).public_key()
