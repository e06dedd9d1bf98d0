"""Whatever text comes in, the answer is a refusal, and it is one of those that callers know."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick.crypto.dpop import InvalidProofError, make_proof, verify_proof
from tallystick.crypto.keyring import Keyring, KeyringError
from tallystick.crypto.tokens import InvalidTokenError, sign, unverified_typ, verify
from tallystick.pairing.domain.tokens import MASTER, PAIRING
from tests.unit.crypto.builders import (
    ISSUER,
    NOW,
    PROFILES,
    TOKEN_URL,
    a_key,
    a_keyring,
    as_bytes,
    forge,
    master_claims,
    pairing_claims,
    pairing_header,
)

ROUNDS = settings(max_examples=200, deadline=None, derandomize=True)
TOKENS = (
    sign(pairing_claims(), profile=PAIRING, key=a_key()),
    sign(master_claims(), profile=MASTER, key=a_key()),
)
PROOF = make_proof(a_key(), method="POST", url=TOKEN_URL, now=NOW, proof_id="p-1")
KEYRING = a_keyring()


def mutations_of(text: str) -> st.SearchStrategy[str]:
    """Texts made of one valid text by replacing, cutting out or adding a piece."""
    places = st.integers(min_value=0, max_value=len(text))
    pieces = st.one_of(st.text(max_size=4), st.text(alphabet="ABCgw048-_.=+/", min_size=1, max_size=4))
    mutants = st.builds(lambda at, cut, piece: text[:at] + piece + text[at + cut :], places, st.integers(0, 8), pieces)
    return mutants.filter(lambda mutant: mutant != text)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def refuses(unverified_jwt):
    for profile in PROFILES.values():
        with pytest.raises(InvalidTokenError, match=r"^the token is not valid$"):
            verify(unverified_jwt, KEYRING, profile=profile, issuer=ISSUER, now=NOW)
    return True


@ROUNDS
@given(st.text() | st.binary() | st.text(alphabet="eyJ.-_AB=", max_size=40))
def test_no_text_at_all_is_a_token(text):
    assert refuses(text)
    assert unverified_typ(text, PROFILES) is None


@ROUNDS
@given(st.sampled_from(TOKENS).flatmap(mutations_of))
def test_no_changed_token_is_a_token(mutant):
    assert refuses(mutant)


@ROUNDS
@given(st.binary(max_size=60) | json_values.map(lambda value: as_bytes({"alg": "ES256", "kid": value})))
def test_no_other_header_makes_a_token(header):
    assert refuses(forge(header, pairing_claims()))


@ROUNDS
@given(st.binary(max_size=60) | st.dictionaries(st.sampled_from(list(master_claims())), json_values).map(as_bytes))
def test_no_other_payload_makes_a_token(payload):
    assert refuses(forge(pairing_header(), payload))


@ROUNDS
@given(st.sampled_from(list(pairing_claims())), json_values)
def test_no_other_value_of_a_claim_crashes_the_verifier(claim, value):
    token = forge(pairing_header(), as_bytes(pairing_claims(**{claim: value})))

    try:
        claims = verify(token, KEYRING, profile=PAIRING, issuer=ISSUER, now=NOW).claims
    except InvalidTokenError:
        return

    # A free text, such as a subject, may have been changed to another good one.
    assert PAIRING.first_wrong(claims) is None
    assert claims == pairing_claims(**{claim: value})


@ROUNDS
@given(st.text() | st.binary() | mutations_of(PROOF))
def test_no_changed_proof_is_a_proof(text):
    with pytest.raises(InvalidProofError):
        verify_proof(text, method="POST", urls=[TOKEN_URL], now=NOW)


@ROUNDS
@given(st.sampled_from(["jti", "htm", "htu", "iat"]), json_values)
def test_no_other_value_of_a_proofs_claim_crashes_the_verifier(claim, value):
    key = a_key()
    public = {name: key.public_jwk()[name] for name in ("kty", "crv", "x", "y")}
    payload = {"jti": "p-1", "htm": "POST", "htu": TOKEN_URL, "iat": int(NOW.timestamp()), claim: value}
    proof = forge({"typ": "dpop+jwt", "alg": "ES256", "jwk": public}, as_bytes(payload), key)

    try:
        thumbprint = verify_proof(proof, method="POST", urls=[TOKEN_URL], now=NOW)
    except InvalidProofError:
        return

    assert thumbprint == key.key_id
    assert claim in {"jti", "iat"}


def read_or_refusal(raw: bytes) -> Keyring | str:
    try:
        return Keyring.from_bytes(raw)
    except KeyringError as refusal:
        return str(refusal)


@ROUNDS
@given(st.binary() | mutations_of(KEYRING.to_bytes().decode()).map(lambda text: text.encode("utf-8", "replace")))
def test_a_changed_keyring_is_read_as_itself_or_refused_without_its_key(raw):
    outcome = read_or_refusal(raw)

    if isinstance(outcome, Keyring):
        assert [entry.key for entry in outcome.entries] == [a_key()]
    else:
        assert not any(line in outcome for line in a_key().to_pem().decode().splitlines()[1:-1])
