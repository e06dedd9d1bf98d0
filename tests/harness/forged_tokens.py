"""Tokens that must be refused: a good one taken apart, changed, put together again and signed.

Most are signed with the key of the running system, which only an administrator can read: so each is refused for what
was changed in it, and not because its signature is bad as well.
"""

import base64
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from tallystick.cli.settings import DEFAULT_NAMESPACE
from tallystick.crypto.keyring import Keyring
from tallystick.crypto.keys import SigningKey
from tallystick.objects.labels import KEYRING_SECRET
from tallystick.tokens.keyrings import stored_keyring
from tests.harness.api import Api
from tests.harness.objects import read_token

Json = dict[str, Any]
Signer = Callable[[bytes], bytes]
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

ABSENT = object()
"""Takes a member out."""

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Of the group of P-256."""


def keyring_of(admin: Api) -> Keyring:
    """Read the system's signing keys, as its administrator can."""
    metadata = {"name": KEYRING_SECRET, "namespace": DEFAULT_NAMESPACE}
    return stored_keyring(admin.get({"kind": "Secret", "metadata": metadata}))


# Who signs.


def by(key: SigningKey | PrivateKey) -> Signer:
    """Sign as ES256 or RS256, with `cryptography` alone: the signer of the operator would refuse most of this."""
    private = key.private_key if isinstance(key, SigningKey) else key

    def sign(message: bytes) -> bytes:
        if isinstance(private, rsa.RSAPrivateKey):
            return private.sign(message, padding.PKCS1v15(), hashes.SHA256())
        return _raw(*decode_dss_signature(private.sign(message, ec.ECDSA(hashes.SHA256()))))

    return sign


def by_secret(secret: bytes, digest: str = "sha256") -> Signer:
    """Sign as HS256 and its like."""
    return lambda message: hmac.digest(secret, message, digest)


def as_is(signature: bytes) -> Signer:
    """Put a signature there, whatever is signed."""
    return lambda _: signature


def twin_of(signature: bytes) -> bytes:
    """Compute the other ECDSA signature of the same message, (r, n - s), which needs no key."""
    r, s = signature[:32], int.from_bytes(signature[32:], "big")
    return _raw(int.from_bytes(r, "big"), ORDER - s)


def _raw(r: int, s: int) -> bytes:
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


# What is signed.


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def as_bytes(part: Json | bytes) -> bytes:
    """Write a part as JSON; bytes are taken as they are."""
    return part if isinstance(part, bytes) else json.dumps(part, ensure_ascii=False, separators=(",", ":")).encode()


def jws(header: Json | bytes, payload: Json | bytes, sign: Signer) -> str:
    """Put a JWS together (RFC 7515 3.1), whatever its parts say."""
    signing_input = f"{b64(as_bytes(header))}.{b64(as_bytes(payload))}"
    return f"{signing_input}.{b64(sign(signing_input.encode()))}"


def changed(members: Json, changes: Json) -> Json:
    """Return members with some replaced, added or (ABSENT) left out."""
    return {name: value for name, value in {**members, **changes}.items() if value is not ABSENT}


def other_last_bits(text: str, by_bits: int) -> str:
    """Change bits of the last character that a lenient decoder ignores (RFC 4648 3.5)."""
    return text[:-1] + ALPHABET[ALPHABET.index(text[-1]) ^ by_bits]


@dataclass(frozen=True, slots=True)
class Forge:
    """Makes bad tokens of a good one.

    Attributes:
        token: the good one.
        key: the key that signed it.
        stranger: a key that the system does not know.
        now: the system's time in seconds when the forge was made.
    """

    token: str = field(repr=False)
    key: SigningKey
    stranger: SigningKey
    now: int

    @property
    def time(self) -> datetime:
        """The same as an instant."""
        return datetime.fromtimestamp(self.now, UTC)

    @property
    def header(self) -> Json:
        return read_token(self.token).header

    @property
    def claims(self) -> Json:
        return read_token(self.token).claims

    @property
    def segments(self) -> tuple[str, str, str]:
        header, payload, signature = self.token.split(".")
        return header, payload, signature

    @property
    def signature(self) -> bytes:
        return unb64(self.segments[2])

    def with_header(self, sign: Signer | None = None, **changes: Any) -> str:
        """Change members of the header, and sign anew; with the good key unless somebody else signs."""
        return self.with_parts(changed(self.header, changes), self.claims, sign)

    def with_claims(self, sign: Signer | None = None, **changes: Any) -> str:
        """Change claims, and sign anew."""
        return self.with_parts(self.header, changed(self.claims, changes), sign)

    def about(self, **changes: Any) -> str:
        """Change what the claim `tallystick` says, and sign anew."""
        return self.with_claims(tallystick=changed(self.claims["tallystick"], changes))

    def with_raw_claim(self, name: str, text: str) -> str:
        """Write a claim's value as this text, which may be no JSON at all, and sign anew."""
        mark = '"\N{SNOWMAN}"'
        payload = as_bytes(changed(self.claims, {name: json.loads(mark)})).decode()
        return self.with_parts(self.header, payload.replace(mark, text).encode())

    def with_parts(self, header: Json | bytes, payload: Json | bytes, sign: Signer | None = None) -> str:
        """Put any parts together, and sign."""
        return jws(header, payload, sign or by(self.key))

    def with_signature(self, signature: bytes) -> str:
        """Keep what is signed and put another signature there."""
        return f"{self.segments[0]}.{self.segments[1]}.{b64(signature)}"

    def with_texts(self, header: str, payload: str) -> str:
        """Put two segments together that may be no base64url, and sign what they are as text."""
        return f"{header}.{payload}.{b64(by(self.key)(f'{header}.{payload}'.encode()))}"
