"""Seal a join key under a master key, and open it again: a JWE that has one spelling (docs/join-keys.md).

    outside text -> form -> header -> master key by kid -> object -> decryption -> join key

Each step rejects a text before the next step. joserfc encrypts and decrypts, and this module alone reads and writes
the compact form. The reader of joserfc is lenient: it accepts duplicate names, `zip`, and base64url with unused bits.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from joserfc.errors import JoseError
from joserfc.jwe import JWERegistry

from tallystick.clusterkeys.domain.keys import ClusterKey, Purpose
from tallystick.crypto.encoding import MalformedError, from_base64url, parse_object, to_base64url, to_json
from tallystick.crypto.profiles import Members, exactly, identifier, matching, object_name, serial

_MAX_LENGTH = 4096
_IV_BYTES = 12
# Header, no encrypted key (`dir`, RFC 7518 4.5), 12 bytes of IV, ciphertext, 16 bytes of tag (RFC 7518 5.3).
_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.\.([A-Za-z0-9_-]{16})\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]{22})")
_PLAINTEXT = re.compile(rb"[0-9a-f]{32}|[0-9a-f]{64}")
_ENCRYPTION_BY_BITS = {bits: JWERegistry.algorithms["enc"][f"A{bits}GCM"] for bits in (128, 256)}
_TYP = "join-key+jwe"
_OBJECT = {"kind": exactly("JoinKey"), "name": object_name, "ns": object_name, "uid": identifier, "version": serial}
# RFC 7516 4.1: no zip, crit, jwk or any other parameter.
_HEADER = Members(
    {
        "alg": exactly("dir"),
        "enc": matching("A128GCM|A256GCM"),
        "kid": matching(r"mk-[0-9a-f]{24}"),
        "tallystick": Members(_OBJECT),
        "typ": exactly(_TYP),
    }
)


@dataclass(frozen=True, slots=True)
class SealedFor:
    """The object that a sealed key belongs to, and which of its keys it is, counted from 1."""

    kind: str
    namespace: str
    name: str
    uid: str
    version: int


@dataclass(frozen=True, slots=True)
class SealProblem:
    """Why a text cannot be opened. `kid` is the fingerprint of the master key that it names; None if it names none."""

    reason: Literal["MasterKeyMismatch", "NotASealedKey"]
    text: str
    kid: str | None = None


@dataclass(frozen=True, slots=True)
class UnverifiedSeal:
    """A text that has the form of a sealed join key. Its header is not authenticated until it is opened."""

    kid: str
    encryption: str
    about: SealedFor
    protected: str
    iv: bytes
    ciphertext: bytes
    tag: bytes


def seal(join: ClusterKey, master: ClusterKey, about: SealedFor, random: Callable[[int], bytes]) -> str:
    """Seal a join key for one object.

    The text is opened again before it is returned, so that no text is stored that cannot be opened.
    `random` returns so many bytes, such as `secrets.token_bytes`; each call must return other bytes.
    """
    if (join.purpose, master.purpose) != (Purpose.JOIN, Purpose.MASTER) or join.same_bytes(master):
        raise ValueError("a join key is sealed with a master key, and the two must differ")
    encryption, iv = _ENCRYPTION_BY_BITS[master.bits], random(_IV_BYTES)
    protected = to_base64url(to_json(_header(encryption.name, master, about)))
    ciphertext, tag = encryption.encrypt(join.to_hex().encode(), master.to_bytes(), iv, protected.encode())
    compact = f"{protected}..{to_base64url(iv)}.{to_base64url(ciphertext)}.{to_base64url(tag)}"
    if open_sealed(compact, [master], about) != join:
        raise RuntimeError("a new sealed join key cannot be opened again")
    return compact


def open_sealed(text: str, masters: Sequence[ClusterKey], about: SealedFor) -> ClusterKey | SealProblem:
    """Open a sealed join key with that one of the master keys which it names.

    `about` is the object that it must belong to.
    """
    unverified = read_sealed(text)
    if isinstance(unverified, SealProblem):
        return unverified
    kid = unverified.kid
    master = next((one for one in masters if one.fingerprint == kid), None)
    if master is None:
        ours = " and ".join(one.fingerprint for one in masters) or "none"
        mismatch = f"encrypted join key was made with master key {kid}, this service has {ours}"
        return SealProblem("MasterKeyMismatch", mismatch, kid)
    if unverified.encryption != _ENCRYPTION_BY_BITS[master.bits].name:
        return SealProblem("NotASealedKey", "enc does not fit the master key", kid)
    if unverified.about != about:
        return SealProblem("NotASealedKey", "sealed for another object", kid)
    plaintext = _decrypted(unverified, master)
    if plaintext is None:
        return SealProblem("NotASealedKey", "it was changed", kid)
    if not _PLAINTEXT.fullmatch(plaintext):
        return SealProblem("NotASealedKey", "it does not contain a join key", kid)
    # A weak key is opened too: it was in use, and parse_key decides which keys come into use.
    return ClusterKey(Purpose.JOIN, bytes.fromhex(plaintext.decode("ascii")))


def sealed_kid(text: str) -> str | None:
    """Return the fingerprint of the master key that a sealed key names; None if the text is not a sealed key."""
    return read_sealed(text).kid


def read_sealed(text: str) -> UnverifiedSeal | SealProblem:
    """Read the form and the header of a sealed key. Only one spelling is accepted."""
    segments = _COMPACT.fullmatch(text) if len(text) <= _MAX_LENGTH else None
    if segments is None:
        return SealProblem("NotASealedKey", "not the compact form of a sealed join key")
    try:
        raw, iv, ciphertext, tag = map(from_base64url, segments.groups())
        header = parse_object(raw)
    except MalformedError:
        return _not_canonical()
    if to_json(header) != raw:
        return _not_canonical()
    if _HEADER.first_wrong(header):
        return SealProblem("NotASealedKey", "not the header of a sealed join key")
    owner = header["tallystick"]
    about = SealedFor(owner["kind"], owner["ns"], owner["name"], owner["uid"], owner["version"])
    return UnverifiedSeal(header["kid"], header["enc"], about, segments[1], iv, ciphertext, tag)


def _not_canonical() -> SealProblem:
    return SealProblem("NotASealedKey", "not the canonical form of a sealed join key")


def _header(encryption: str, master: ClusterKey, about: SealedFor) -> dict[str, Any]:
    return {
        "alg": "dir",
        "enc": encryption,
        "kid": master.fingerprint,
        "tallystick": {
            "kind": about.kind,
            "name": about.name,
            "ns": about.namespace,
            "uid": about.uid,
            "version": about.version,
        },
        "typ": _TYP,
    }


def _decrypted(unverified: UnverifiedSeal, master: ClusterKey) -> bytes | None:
    encryption, aad = _ENCRYPTION_BY_BITS[master.bits], unverified.protected.encode()
    try:
        return encryption.decrypt(unverified.ciphertext, unverified.tag, master.to_bytes(), unverified.iv, aad)
    except JoseError:
        return None
