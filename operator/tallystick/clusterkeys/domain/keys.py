"""Join keys and master keys in memory: read, generated, named by a fingerprint, and never shown.

This module needs `cryptography` alone, because the services that share a key import it too (`clusterkeys/client`).
"""

import hmac
import itertools
import string
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Final, Literal, NoReturn, Self, final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_BITS_BY_CHARACTERS = {32: 128, 64: 256}
_HEXADECIMAL = frozenset(string.hexdigits)
# The blanks that editors and `openssl rand -hex` leave around a key. str.strip would also drop those of Unicode.
_BLANKS = " \t\r\n\v\f"
_FINGERPRINT_BYTES = 12
# A key that is published is known to everybody. This one stands in the manuals of JFrog.
_PUBLISHED = frozenset({bytes.fromhex("2672b66f91e12ff207d77cd34d94d997")})
# A random key is weak once in 2^63, so a source that returns this many weak ones is broken.
_MOST_ATTEMPTS = 16

ProblemReason = Literal["WaitingForKey", "WrongSecretType", "KeyMissing", "InvalidKey", "KeySizeMismatch", "WeakKey"]
"""Why a key cannot be used, as the reason of a condition."""


class Purpose(StrEnum):
    """The purpose of a key. The value is the data key of its Secrets."""

    JOIN = "join-key"
    MASTER = "master-key"

    @property
    def secret_type(self) -> str:
        """The type of a Secret that holds such a key."""
        return f"tallystick.dev/{self.value}"

    @property
    def prefix(self) -> str:
        """The start of its fingerprints, so that neither is mistaken for the other or for a key."""
        return {Purpose.JOIN: "jk-", Purpose.MASTER: "mk-"}[self]


@dataclass(frozen=True, slots=True)
class KeyProblem:
    """Why a text is not a usable key. `text` never contains a part of that text."""

    reason: ProblemReason
    text: str


@final
class ClusterKey:
    """An AES key of 128 or 256 bits. Only `to_hex` and `to_bytes` return its value; nothing prints or copies it.

    Two keys are compared in constant time. Python cannot remove a value from memory, so a core dump would contain it.
    """

    __slots__ = ("_raw", "fingerprint", "purpose")
    # A hash of the value would be one more way to test a guess.
    __hash__: ClassVar[None]  # type: ignore[assignment]

    def __init__(self, purpose: Purpose, raw: bytes) -> None:
        if len(raw) * 8 not in _BITS_BY_CHARACTERS.values():
            raise ValueError("a key has 128 or 256 bits")
        self._raw: Final = bytes(raw)
        self.purpose: Final = purpose
        info = f"tallystick.dev/{purpose.value}/fingerprint/v1"
        self.fingerprint: Final = purpose.prefix + derive(self._raw, info, _FINGERPRINT_BYTES).hex()

    @classmethod
    def generate(cls, purpose: Purpose, bits: int, random: Callable[[int], bytes]) -> Self:
        """Create a key of 128 or 256 bits from `random`, which returns so many bytes, such as `secrets.token_bytes`."""
        for _ in range(_MOST_ATTEMPTS):
            raw = random(bits // 8)
            if not _is_weak(raw):
                return cls(purpose, raw)
        raise RuntimeError("the source of random numbers repeats itself")

    @property
    def bits(self) -> int:
        """Its size: 128 or 256."""
        return len(self._raw) * 8

    def to_hex(self) -> str:
        """Return the value as 32 or 64 lower-case hexadecimal characters: for a Secret or a file of mode 0600 only."""
        return self._raw.hex()

    def to_bytes(self) -> bytes:
        """Return the value as 16 or 32 bytes: for a cipher only."""
        return self._raw

    def derive(self, info: str, length: int) -> bytes:
        """Return so many bytes for the use that `info` names."""
        return derive(self._raw, info, length)

    def same_bytes(self, other: "ClusterKey") -> bool:
        """Return whether the other key has this value, whatever its purpose."""
        return hmac.compare_digest(self._raw, other._raw)  # noqa: SLF001 - of the same class

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ClusterKey):
            return NotImplemented
        return self.purpose is other.purpose and self.same_bytes(other)

    def __repr__(self) -> str:
        return f"ClusterKey({self.fingerprint})"

    def __reduce_ex__(self, _: object) -> NoReturn:
        raise TypeError("a key is never pickled or copied")


def parse_key(purpose: Purpose, text: str | bytes) -> ClusterKey | KeyProblem:
    """Read 32 or 64 hexadecimal characters, in upper or lower case, with or without surrounding blanks."""
    characters = _decoded(text).strip(_BLANKS)
    wrong = _what_is_wrong(characters)
    if wrong:
        form = "must be 32 or 64 hexadecimal characters (AES-128 or AES-256)"
        return KeyProblem("InvalidKey", f"{form}; {wrong}")
    raw = bytes.fromhex(characters)
    if _is_weak(raw):
        advice = "make one with openssl rand -hex 32"
        return KeyProblem("WeakKey", f"is not random: it repeats itself, counts, or stands in a manual; {advice}")
    return ClusterKey(purpose, raw)


def derive(raw: bytes, info: str, length: int) -> bytes:
    """Derive bytes by HKDF-SHA-256 without salt (RFC 5869). `info` is ASCII and names the use."""
    return HKDF(algorithm=SHA256(), length=length, salt=None, info=info.encode("ascii")).derive(raw)


def _decoded(text: str | bytes) -> str:
    if isinstance(text, str):
        return text
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        return text.decode("latin-1")  # such as 32 raw bytes: each counts as one character


def _what_is_wrong(characters: str) -> str:
    if len(characters) not in _BITS_BY_CHARACTERS:
        return f"got {len(characters)} characters"
    # str.isalnum and int() accept digits of other scripts; bytes.fromhex skips blanks between the bytes.
    wrong = next((place for place, one in enumerate(characters, 1) if one not in _HEXADECIMAL), None)
    return f"contains a non-hexadecimal character at position {wrong}" if wrong else ""


def _is_weak(raw: bytes) -> bool:
    """Return whether the bytes have a short period or a constant difference, or are published.

    So each constant key of old charts is rejected, a 128-bit key written twice, and all test vectors.
    """
    periodic = any(raw[period:] == raw[:-period] for period in range(1, len(raw) // 2 + 1))
    differences = {(later - earlier) % 256 for earlier, later in itertools.pairwise(raw)}
    return periodic or len(differences) == 1 or raw in _PUBLISHED
