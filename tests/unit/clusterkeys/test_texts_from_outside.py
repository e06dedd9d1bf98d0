"""Whatever text comes in, verifier and opener return what was signed or sealed, or refuse it in their one way."""

import hmac
import json
import secrets
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick.clusterkeys.client.service_tokens import InvalidServiceTokenError, Membership, sign, verify
from tallystick.clusterkeys.domain.sealing import SealedFor, SealProblem, open_sealed, read_sealed, seal
from tallystick.crypto.encoding import to_base64url
from tests.harness.proofs import Figure
from tests.unit.clusterkeys.vectors import a_join_key, a_master_key

GATE = 150
NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
SECONDS = int(NOW.timestamp())
OURS = Membership(a_join_key(), a_join_key("second"), "jpd-1", {"access"})
ABOUT = SealedFor("JoinKey", "edge", "jpd-1", "5d3c5a0e-0000-4000-8000-000000000000", 3)
TOKEN = sign(OURS, "access", {"scope": "read"}, now=NOW, lifetime=300, token_id="t-1")
SEALED = seal(a_join_key(), a_master_key(), ABOUT, lambda size: bytes(range(size)))
HEADER = {"alg": "HS256", "kid": a_join_key().fingerprint, "typ": "service+jwt"}
CLAIMS = {"iss": "access", "aud": "jpd-1", "iat": SECONDS, "exp": SECONDS + 300, "jti": "t-1"}
OWNER = {"kind": "JoinKey", "name": "jpd-1", "ns": "edge", "uid": ABOUT.uid, "version": 3}
SEAL_HEADER = {
    "alg": "dir",
    "enc": "A256GCM",
    "kid": a_master_key().fingerprint,
    "tallystick": OWNER,
    "typ": "join-key+jwe",
}

ANY_TEXT = st.one_of(st.text(), st.text(alphabet="eyJ.-_AB=", max_size=60), st.text(alphabet="A.", min_size=30))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["none", "jpd-1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def examples(rounds: int) -> settings:
    """Try so many examples: the same in every gate, others in every soak."""
    return settings(max_examples=rounds, deadline=None, database=None, derandomize=rounds <= GATE)


def spliced(text: str) -> st.SearchStrategy[str]:
    """Texts made of a good one by replacing, cutting out or adding a piece."""
    places = st.integers(min_value=0, max_value=len(text))
    pieces = st.text(max_size=4) | st.text(alphabet="ABCgw048-_.=+/ \n\0", min_size=1, max_size=4)
    mutants = st.builds(lambda at, cut, piece: text[:at] + piece + text[at + cut :], places, st.integers(0, 8), pieces)
    return mutants.filter(lambda mutant: mutant != text)


def edits(parts: dict[str, Any]) -> st.SearchStrategy[Any]:
    """JSON objects with another value of a member, another member, or one member less; and other values."""
    names = st.sampled_from([*parts, "crit", "zip", "jwk", "nbf"]) | st.text(max_size=8)
    changed = st.builds(lambda name, value: {**parts, name: value}, names, VALUES)
    less = names.map(lambda name: {other: value for other, value in parts.items() if other != name})
    return changed | less | VALUES


def is_refused(token: str) -> bool:
    with pytest.raises(InvalidServiceTokenError) as caught:
        verify(token, OURS, now=NOW)
    return str(caught.value) == "the token is not valid" or str(caught.value).startswith("join key mismatch (token kid")


def spelled(part: Any) -> bytes:
    return json.dumps(part, separators=(",", ":"), sort_keys=True).encode()


def signed(header: Any, claims: Any) -> str:
    text = ".".join(to_base64url(spelled(part)) for part in (header, claims))
    mac = hmac.digest(a_join_key().derive("tallystick.dev/join-key/hs256/v1", 32), text.encode(), "sha256")
    return f"{text}.{to_base64url(mac)}"


@pytest.mark.proof(gate=GATE, soak=3_000)
def test_no_other_text_is_a_service_token(rounds: int, figure: Figure) -> None:
    seen = 0

    @examples(rounds)
    @given(text=ANY_TEXT | spliced(TOKEN))
    def check(text: str) -> None:
        nonlocal seen
        seen += 1
        assert is_refused(text)

    check()
    figure(f"{seen} texts, 0 accepted")


@pytest.mark.proof(gate=GATE, soak=3_000)
def test_a_signed_text_is_refused_or_says_what_the_verifier_returns(rounds: int, figure: Figure) -> None:
    """The signature is always right, so each of these gets as far as it can."""
    accepted = 0

    @examples(rounds)
    @given(header=st.just(HEADER) | edits(HEADER), claims=st.just(CLAIMS) | edits(CLAIMS))
    def check(header: Any, claims: Any) -> None:
        nonlocal accepted
        try:
            returned = verify(signed(header, claims), OURS, now=NOW)
        except InvalidServiceTokenError:
            assert is_refused(signed(header, claims))
            return
        accepted += 1
        assert (header, returned) == (HEADER, claims)
        assert (claims["aud"], claims["iss"]) == ("jpd-1", "access")
        assert claims["iat"] <= SECONDS + 60 < claims["exp"] + 60 <= claims["iat"] + 3660

    check()
    figure(f"{rounds} signed texts, {accepted} accepted, each as it was signed")


@pytest.mark.proof(gate=GATE, soak=3_000)
def test_no_other_text_is_a_sealed_key(rounds: int, figure: Figure) -> None:
    seen = 0

    @examples(rounds)
    @given(text=ANY_TEXT | spliced(SEALED))
    def check(text: str) -> None:
        nonlocal seen
        seen += 1
        problem = open_sealed(text, [a_master_key()], ABOUT)
        assert isinstance(problem, SealProblem)
        assert problem.kid in {None, a_master_key().fingerprint} or problem.reason == "MasterKeyMismatch"

    check()
    figure(f"{seen} texts, 0 opened")


@pytest.mark.proof(gate=GATE, soak=3_000)
def test_a_sealed_text_is_refused_or_belongs_to_the_object(rounds: int, figure: Figure) -> None:
    """The encryption is always right, so each of these gets as far as it can."""
    opened = 0

    @examples(rounds)
    @given(header=st.just(SEAL_HEADER) | edits(SEAL_HEADER), owner=st.just(OWNER) | edits(OWNER))
    def check(header: Any, owner: Any) -> None:
        nonlocal opened
        if isinstance(header, dict) and header.get("tallystick") == OWNER:
            header = {**header, "tallystick": owner}
        protected, iv = to_base64url(spelled(header)), secrets.token_bytes(12)
        key = a_join_key().to_hex().encode()
        box = AESGCM(a_master_key().to_bytes()).encrypt(iv, key, protected.encode())
        text = ".".join([protected, "", to_base64url(iv), to_base64url(box[:-16]), to_base64url(box[-16:])])

        result = open_sealed(text, [a_master_key()], ABOUT)

        if isinstance(result, SealProblem):
            assert isinstance(read_sealed(text), SealProblem) or result.kid is not None
            return
        opened += 1
        assert (result, header) == (a_join_key(), SEAL_HEADER)

    check()
    figure(f"{rounds} sealed texts, {opened} opened, each for its object")
