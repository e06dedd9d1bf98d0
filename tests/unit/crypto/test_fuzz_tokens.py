"""Whatever the text, the strict verifiers return what was signed, or refuse by their one documented error (FI-17).

The mutants are made with knowledge of the form: segments, header and claims are changed one by one and then signed
properly, so that they get as far as such a mutant can. What is accepted is compared with what two others say: the
text itself, and PyJWT with its plain settings.
"""

import copy
import json
import re
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st

from tallystick.crypto.dpop import MAX_AGE, InvalidProofError, verify_proof
from tallystick.crypto.keys import SigningKey
from tallystick.crypto.tokens import ExpiredTokenError, InvalidTokenError, VerifiedClaims, unverified_typ, verify
from tests.harness.fuzzing import seed_of
from tests.harness.proofs import Figure
from tests.unit.crypto.builders import (
    ISSUER,
    NOW,
    NOW_SECONDS,
    PROFILES,
    TOKEN_URL,
    a_key,
    a_keyring,
    b64,
    forge,
    master_claims,
    pairing_claims,
    raw_signature,
)

Json = dict[str, Any]

# The same keys in every run, so that a seed gives the same mutants.
OURS, FOREIGN = (SigningKey(ec.derive_private_key(number, ec.SECP256R1())) for number in (1, 2))
SIGNERS = [OURS, OURS, OURS, OURS, FOREIGN, a_key("of RSA", "RS256")]
KEYRING = a_keyring(OURS)
# Issued a while ago, so that an `exp` of now is one that has passed.
AGO = NOW_SECONDS - 100
CLAIMS = {"pairing+jwt": pairing_claims(iat=AGO), "at+jwt": master_claims(iat=AGO, cnf={"jkt": OURS.key_id})}
PUBLIC = {name: OURS.public_jwk()[name] for name in ("kty", "crv", "x", "y")}
PROOF_HEADER = {"typ": "dpop+jwt", "alg": "ES256", "jwk": PUBLIC}
PROOF_CLAIMS = {"jti": "p-1", "htm": "POST", "htu": TOKEN_URL, "iat": NOW_SECONDS}

# Values that have fooled verifiers: other types, other spellings, edges of numbers, names of algorithms, long texts.
ODD = st.sampled_from(
    [
        *(None, True, False, 0, 1, -1, 1.0, 1e400, NOW_SECONDS, NOW_SECONDS + 0.5, str(NOW_SECONDS)),
        *(10**15, 10**16, 10**400, -(10**15), 253_402_300_799, 253_402_300_800),
        *("", " ", "none", "None", "HS256", "RS256", "ES256", "ES256 ", "es256", "ES512", "EdDSA"),
        *("JWT", "at+jwt", "pairing+jwt", "dpop+jwt", "AT+JWT", "application/at+jwt"),
        *(ISSUER, ISSUER + "/", ISSUER.upper(), TOKEN_URL, TOKEN_URL + "?x=1", TOKEN_URL.replace(".com", ".com:443")),
        *("GET", "POST", "post", "/dev/null", "../../key", "https://evil.example/jwks", "a\u0000b", "\u202e", "\ud800"),
        *([], {}, [[]], {"": {}}, [ISSUER], [ISSUER, ISSUER], ["other", ISSUER], "x" * 2049, ["x"] * 17),
    ]
)
# What is nearly right for one name.
NEARLY = {
    "kid": [FOREIGN.key_id, OURS.key_id[:-1], OURS.key_id + "x", [OURS.key_id], {}, 1],
    "iss": [ISSUER + "/", ISSUER.upper(), [ISSUER]],
    "aud": [ISSUER + "/", [ISSUER], [ISSUER, "https://other.example"], "https://other.example"],
    "iat": [NOW_SECONDS + second for second in (-61, -60, 59, 60, 61)],
    "exp": [NOW_SECONDS + second for second in (-1, 0, 1)],
    "htu": [TOKEN_URL + "?x=1", TOKEN_URL + "/", TOKEN_URL.replace(".com", ".com:443"), TOKEN_URL.replace("s:", ":")],
    "htm": ["GET", "post"],
}
JSON_VALUES = ODD | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(
    [
        *("alg", "kid", "typ", "jwk", "jku", "x5u", "x5c", "crit", "zip", "b64", "cty", "ALG"),
        *("iss", "sub", "aud", "exp", "nbf", "iat", "jti", "scope", "ext", "tallystick", "cnf", "exp "),
        *("htm", "htu", "ath", "nonce"),
    ]
) | st.text(max_size=4)


@st.composite
def changed_members(draw: st.DrawFn, members: Json) -> Json:
    """An object with up to three members replaced, added or left out, also deep inside."""
    changed: Json = json.loads(json.dumps(members))
    for _ in range(draw(st.integers(0, 3))):
        inner = [changed, *(value for value in changed.values() if isinstance(value, dict))]
        place = draw(st.sampled_from(inner))
        there = st.sampled_from(sorted(place)) if place else NAMES
        name = draw(st.one_of(there, there, there, NAMES))
        kind = draw(st.sampled_from(["nearly", "odd", "absent"] if name in NEARLY else ["odd", "absent"]))
        if kind == "absent":
            place.pop(name, None)
        else:
            # A copy: the next change may go into it, and a sample is the same object each time.
            place[name] = copy.deepcopy(draw(st.sampled_from(NEARLY[name]) if kind == "nearly" else JSON_VALUES))
    return changed


@st.composite
def written(draw: st.DrawFn, members: Json) -> bytes:
    """JSON, now and then in a spelling that no strict reader takes."""
    text = json.dumps(members, ensure_ascii=draw(st.booleans()))
    match draw(st.sampled_from([*["usual"] * 16, "doubled", "encoded", "mangled"])):
        case "doubled":
            # The same name twice (RFC 8725 2.4): two readers may each see another value.
            name, value = draw(st.sampled_from(sorted(members)) if members else NAMES), draw(JSON_VALUES)
            return f"{{{json.dumps(name)}:{json.dumps(value)},{text[1:]}".encode("utf-8", "surrogatepass")
        case "encoded":
            return text.encode(draw(st.sampled_from(["utf-8-sig", "utf-16", "utf-32"])), "surrogatepass")
        case "mangled":
            return draw(mangled(text.encode("utf-8", "surrogatepass")))
        case _:
            return text.encode("utf-8", "surrogatepass")


@st.composite
def mangled(draw: st.DrawFn, raw: bytes) -> bytes:
    """Bytes with one piece replaced, cut out or added."""
    at, cut = draw(st.integers(0, len(raw))), draw(st.integers(0, 6))
    return raw[:at] + draw(st.binary(max_size=4)) + raw[at + cut :]


@st.composite
def compact(draw: st.DrawFn, header: Json, claims: Json) -> str:
    """A token of a changed header and changed claims, signed by some key, with its segments changed at times."""
    # Most with a header that passes, or hardly any would have its claims looked at.
    usual = st.just(header)
    heads = st.one_of(usual, usual, changed_members(header))
    head, payload = draw(heads.flatmap(written)), draw(changed_members(claims).flatmap(written))
    token = forge(head, payload, draw(st.sampled_from(SIGNERS)))
    match draw(st.sampled_from([*["usual"] * 9, "segments", "mangled", "another text signed"])):
        case "segments":
            segments = token.split(".")
            order = draw(st.lists(st.sampled_from([*segments, "", b64(b"{}"), "="]), max_size=5))
            return ".".join(order)
        case "mangled":
            return draw(mangled(token.encode())).decode("latin-1")
        case "another text signed":
            # Not over the text that is sent, but over one that means the same.
            signature = b64(raw_signature(head + b"." + payload, OURS))
            return f"{b64(head)}.{b64(payload)}.{signature}"
        case _:
            return token


TOKENS = st.sampled_from(sorted(CLAIMS)).flatmap(
    lambda typ: compact({"alg": "ES256", "kid": OURS.key_id, "typ": typ}, CLAIMS[typ])
)
PROOFS = compact(PROOF_HEADER, PROOF_CLAIMS)
TEXTS = st.text() | st.binary() | st.none() | st.integers()


def try_many(strategy: st.SearchStrategy[Any], rounds: int, seed: int, attempt: Callable[[Any], str]) -> Counter[str]:
    """Attempt `rounds` examples and count how they ended."""
    ends: Counter[str] = Counter()

    @seeded(seed)
    @settings(max_examples=rounds, deadline=None, database=None)
    @given(strategy)
    def run(example: Any) -> None:
        ends[attempt(example)] += 1

    run()
    return ends


def documented(error: Exception, kind: type[Exception], message: str) -> None:
    assert (type(error), str(error)) == (kind, message)
    assert error.__cause__ is None, "the cause may quote what was sent"


def attempt_token(unverified_jwt: Any) -> str:
    typ = unverified_typ(unverified_jwt, PROFILES) or "at+jwt"
    try:
        verified = verify(unverified_jwt, KEYRING, profile=PROFILES[typ], issuer=ISSUER, now=NOW)
    except ExpiredTokenError as expired:
        documented(expired, ExpiredTokenError, "the token has expired")
        assert_sound(unverified_jwt, expired.claims, typ, expired=True)
        return "expired"
    except InvalidTokenError as refused:
        documented(refused, InvalidTokenError, "the token is not valid")
        return str(refused.reason)
    assert_sound(unverified_jwt, verified, typ, expired=False)
    return "accepted"


def assert_sound(token: str, verified: VerifiedClaims, typ: str, *, expired: bool) -> None:
    """What was accepted is what our key has signed, says what the profile wants, and PyJWT accepts it too."""
    header, claims = jwt.get_unverified_header(token), dict(verified.claims)
    assert header == {"alg": "ES256", "kid": OURS.key_id, "typ": typ}
    read = jwt.decode(
        token,
        OURS.verifying_key().public_key,
        algorithms=["ES256"],
        options={"verify_exp": False, "verify_aud": False},
    )
    assert claims == read
    assert PROFILES[typ].first_wrong(claims) is None
    assert claims["iss"] == ISSUER
    assert (claims["exp"] <= NOW_SECONDS) is expired
    assert claims["iat"] <= NOW_SECONDS + 60
    assert token.count(".") == 2
    assert token.isascii()


def attempt_proof(unverified_proof: Any) -> str:
    try:
        thumbprint = verify_proof(unverified_proof, method="POST", urls=[TOKEN_URL], now=NOW)
    except InvalidProofError as refused:
        documented(refused, InvalidProofError, "the DPoP proof is not valid")
        return refused.reason
    header = jwt.get_unverified_header(unverified_proof)
    read = jwt.decode(
        unverified_proof, jwt.PyJWK(header["jwk"], "ES256").key, algorithms=["ES256"], options={"verify_iat": False}
    )
    assert header.keys() == {"typ", "alg", "jwk"}
    assert read.keys() == {"jti", "htm", "htu", "iat"}
    assert read["htm"] == "POST"
    # RFC 9449 4.3, check 9: without query and fragment, with the port of the scheme left out.
    assert re.split("[?#]", read["htu"])[0].lower().replace(":443/", "/") == TOKEN_URL
    assert abs(timedelta(seconds=read["iat"] - NOW_SECONDS)) <= timedelta(seconds=MAX_AGE)
    assert thumbprint in {OURS.key_id, FOREIGN.key_id}
    return "accepted"


@pytest.mark.proof(gate=800, soak=10_000)
def test_a_mutant_of_a_token_is_refused_or_says_what_our_key_has_signed(
    rounds: int, figure: Figure, pytestconfig: pytest.Config
) -> None:
    seed = seed_of(pytestconfig)

    ends = try_many(TOKENS, rounds, seed, attempt_token)

    figure(f"seed {seed}: {_counted(ends)}")
    assert "Unexpected" not in ends, "a parser's bug is caught as a refusal, but it is still a bug"
    # Mutants that all end at the first check would prove nothing.
    assert ends.keys() >= {"accepted", "Malformed", "Header", "UnknownKey", "Signature", "Claims"}


@pytest.mark.proof(gate=200, soak=3_000)
def test_what_is_neither_token_nor_proof_is_refused(rounds: int, figure: Figure, pytestconfig: pytest.Config) -> None:
    seed = seed_of(pytestconfig)

    ends = try_many(TEXTS, rounds, seed, attempt_token) + try_many(TEXTS, rounds, seed, attempt_proof)

    figure(f"seed {seed}: {_counted(ends)}")
    assert ends.keys() == {"Malformed"}


@pytest.mark.proof(gate=400, soak=5_000)
def test_a_mutant_of_a_proof_is_refused_or_proves_the_key_that_it_shows(
    rounds: int, figure: Figure, pytestconfig: pytest.Config
) -> None:
    seed = seed_of(pytestconfig)

    ends = try_many(PROOFS, rounds, seed, attempt_proof)

    figure(f"seed {seed}: {_counted(ends)}")
    assert "Unexpected" not in ends, "a parser's bug is caught as a refusal, but it is still a bug"
    assert ends.keys() >= {"accepted", "Malformed", "Header", "Signature", "Claims", "Request"}


def _counted(ends: Counter[str]) -> str:
    return ", ".join(f"{end} {count}" for end, count in ends.most_common())
