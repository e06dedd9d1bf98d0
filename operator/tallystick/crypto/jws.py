"""JWS compact serialisation (RFC 7515): strict to read, deterministic to write. PyJWT does the signatures."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from jwt import PyJWS
from jwt.algorithms import ECAlgorithm
from jwt.utils import der_to_raw_signature

from tallystick.crypto.encoding import MalformedError, from_base64url, parse_object, to_json
from tallystick.crypto.keys import SigningKey

_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_MAX_HEADER_BYTES = 1024


@dataclass(frozen=True, slots=True)
class UnverifiedJws:
    """A JWS taken apart: its form is right, its signature has not been looked at."""

    header: Mapping[str, Any]
    payload: bytes


def parse_compact(unverified_text: object, *, max_length: int) -> UnverifiedJws:
    """Take a compact JWS apart; raises MalformedError for any spelling but the canonical one."""
    if not isinstance(unverified_text, str) or len(unverified_text) > max_length:
        raise MalformedError("not a text, or too long")
    if not _COMPACT.fullmatch(unverified_text):
        raise MalformedError("not three segments of base64url")
    header, payload, _ = map(from_base64url, unverified_text.split("."))
    if len(header) > _MAX_HEADER_BYTES:
        raise MalformedError("the header is too long")
    return UnverifiedJws(header=parse_object(header), payload=payload)


def sign_compact(claims: Mapping[str, Any], *, header: Mapping[str, Any], key: SigningKey) -> str:
    """Sign claims; the same claims, header and key always give the same text.

    `header` is all of the JOSE header but `alg`, which the key decides.
    """
    return _jws().encode(to_json(claims), key.private_key, algorithm=key.alg, headers=dict(header))


def numeric_date(time: datetime) -> int:
    """Write an aware time as a NumericDate (RFC 7519 2): whole seconds since 1970, rounded down."""
    if time.tzinfo is None:
        raise ValueError("a time without a zone names no instant")
    return int(time.timestamp() // 1)


class _DeterministicES256(ECAlgorithm):
    """ES256 with the nonce of RFC 6979: a Secret is healed, and a retry answered, with identical bytes.

    It also takes the random number generator out of every signature, where a bad one gives the key away.
    """

    def __init__(self) -> None:
        super().__init__(ECAlgorithm.SHA256, ec.SECP256R1)

    def sign(self, msg: bytes, key: ec.EllipticCurvePrivateKey) -> bytes:
        signature = key.sign(msg, ec.ECDSA(self.hash_alg(), deterministic_signing=True))
        return der_to_raw_signature(signature, key.curve)


def _jws() -> PyJWS:
    # RS256 (PKCS #1 v1.5) is deterministic as it is. No other algorithm exists for this signer.
    jws = PyJWS(algorithms=["RS256"])
    jws.register_algorithm("ES256", _DeterministicES256())
    return jws
