"""Random changes of a good token that need no key, as recipes: what a failing test prints holds no token."""

import json
from dataclasses import dataclass
from typing import Any, Protocol

from hypothesis import strategies as st

from tests.harness.forged_tokens import Forge, as_bytes, as_is, b64, by, by_secret, changed, unb64

_SEGMENTS = 3
_MEMBERS = ("alg", "typ", "kid", "iss", "aud", "sub", "exp", "iat", "jti", "scope", "tallystick", "ext", "crit", "jwk")
_ALPHABET = "ABCgw048-_.=+/ \0\n"


class Mutation(Protocol):
    """A change. `others` are further good tokens, to take pieces of."""

    def of(self, forge: Forge, others: tuple[str, ...]) -> str: ...


@dataclass(frozen=True, slots=True)
class FlipBits:
    """Flip bits of what a segment encodes."""

    segment: int
    bits: tuple[int, ...]

    def of(self, forge: Forge, _: tuple[str, ...]) -> str:
        segments = list(forge.segments)
        raw = bytearray(unb64(segments[self.segment]))
        for bit in self.bits:
            raw[bit // 8 % len(raw)] ^= 1 << bit % 8
        segments[self.segment] = b64(bytes(raw))
        return ".".join(segments)


@dataclass(frozen=True, slots=True)
class Splice:
    """Cut a piece out of the text and put another one in."""

    at: int
    cut: int
    piece: str

    def of(self, forge: Forge, _: tuple[str, ...]) -> str:
        at = self.at % len(forge.token)
        return forge.token[:at] + self.piece + forge.token[at + self.cut :]


@dataclass(frozen=True, slots=True)
class Swap:
    """Put a token together from segments of several, in any order and number."""

    picks: tuple[tuple[int, int], ...]

    def of(self, forge: Forge, others: tuple[str, ...]) -> str:
        tokens = (forge.token, *others)
        return ".".join(tokens[token % len(tokens)].split(".")[segment] for token, segment in self.picks)


@dataclass(frozen=True, slots=True)
class Edit:
    """Change a member of the header or a claim, and sign as somebody who has not the key."""

    part: str
    member: str
    value: Any
    signer: str

    def of(self, forge: Forge, _: tuple[str, ...]) -> str:
        change = {self.member: self.value}
        header = changed(forge.header, change) if self.part == "header" else forge.header
        claims = changed(forge.claims, change) if self.part == "claims" else forge.claims
        signers = {
            "kept": as_is(forge.signature),
            "stranger": by(forge.stranger),
            "public key as secret": by_secret(as_bytes(forge.key.public_jwk())),
            "nobody": as_is(b""),
        }
        return forge.with_parts(as_ascii(header), as_ascii(claims), signers[self.signer])


def as_ascii(part: dict[str, Any]) -> bytes:
    """Write a part as JSON that has a spelling for lone surrogates, too."""
    return json.dumps(part, separators=(",", ":")).encode()


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["none", "HS256"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=4) | st.text(_ALPHABET, min_size=1, max_size=4)

mutations: st.SearchStrategy[Mutation] = st.one_of(
    st.builds(
        FlipBits, st.integers(0, _SEGMENTS - 1), st.lists(st.integers(0, 2**14), min_size=1, max_size=3).map(tuple)
    ),
    st.builds(Splice, st.integers(0, 2**14), st.integers(0, 8), _texts),
    st.builds(
        Swap,
        st.lists(st.tuples(st.integers(0, 3), st.integers(0, _SEGMENTS - 1)), min_size=1, max_size=4).map(tuple),
    ),
    st.builds(
        Edit,
        st.sampled_from(["header", "claims"]),
        st.sampled_from(_MEMBERS) | st.text(max_size=8),
        _values,
        st.sampled_from(["kept", "stranger", "public key as secret", "nobody"]),
    ),
)
