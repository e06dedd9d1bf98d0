"""A service token is accepted in one form, from a member of the cluster, under a key of the cluster, in its time."""

import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import jwt
import pytest

from tallystick.clusterkeys.client.service_tokens import (
    InvalidServiceTokenError,
    JoinKeyMismatchError,
    Membership,
    Reason,
    UnsignableTokenError,
    sign,
    verify,
)
from tallystick.clusterkeys.domain.keys import ClusterKey, Purpose
from tallystick.crypto.encoding import to_base64url, to_json
from tests.unit.clusterkeys.vectors import VECTORS, Json, a_join_key, a_master_key, counting_key

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
SECONDS = int(NOW.timestamp())
INFO = "tallystick.dev/join-key/hs256/v1"
OURS = Membership(a_join_key(), None, "jpd-1", {"artifactory", "access"})
HEADER = {"alg": "HS256", "kid": a_join_key().fingerprint, "typ": "service+jwt"}
CLAIMS = {"iss": "access", "aud": "jpd-1", "iat": SECONDS, "exp": SECONDS + 300, "jti": "t-1"}


def a_token(membership: Membership = OURS, service: str = "access", lifetime: int = 300, **claims: Any) -> str:
    return sign(membership, service, claims, now=NOW, lifetime=lifetime, token_id="t-1")


def forged(
    header: Json | bytes = HEADER, claims: Json | bytes = CLAIMS, *, key: bytes = a_join_key().derive(INFO, 32)
) -> str:
    """Sign any bytes with `hmac` alone, so that a text is refused for the reason under test and no other."""
    parts = [part if isinstance(part, bytes) else to_json(part) for part in (header, claims)]
    text = ".".join(map(to_base64url, parts))
    return f"{text}.{to_base64url(hmac.digest(key, text.encode(), 'sha256'))}"


def refusal(token: str, membership: Membership = OURS, now: datetime = NOW) -> Reason:
    with pytest.raises(InvalidServiceTokenError) as caught:
        verify(token, membership, now=now)
    if not isinstance(caught.value, JoinKeyMismatchError):
        assert str(caught.value) == "the token is not valid"
    return caught.value.reason


def test_what_is_signed_is_verified_with_all_its_claims() -> None:
    claims = verify(a_token(scope="read", sub="user-1"), OURS, now=NOW)

    assert claims == {**CLAIMS, "scope": "read", "sub": "user-1"}


def test_the_forgery_of_these_tests_is_accepted_if_it_is_none() -> None:
    assert forged() == a_token()
    assert verify(forged(), OURS, now=NOW) == CLAIMS


@pytest.mark.parametrize("vector", VECTORS["hs256"])
def test_a_token_of_the_vectors_is_signed_byte_for_byte_and_verified(vector: Json) -> None:
    key, claims = counting_key(Purpose.JOIN, vector["joinKey"]), json.loads(vector["claims"])
    membership, issued = Membership(key, None, "example"), datetime.fromtimestamp(claims["iat"], UTC)

    token = sign(membership, "artifactory", {}, now=issued, lifetime=300, token_id=claims["jti"])

    parts = [to_base64url(vector["header"].encode()), to_base64url(vector["claims"].encode()), vector["signature"]]
    assert token == ".".join(parts)
    assert verify(token, membership, now=issued) == claims
    assert key.derive(vector["info"], vector["length"]).hex() == vector["signingKey"]


def test_the_header_and_the_signature_are_those_that_pyjwt_reads() -> None:
    token = a_token()

    assert jwt.get_unverified_header(token) == HEADER
    decoded = jwt.decode(
        token, a_join_key().derive(INFO, 32), ["HS256"], audience="jpd-1", options={"verify_exp": False}
    )
    assert decoded == CLAIMS


def test_a_token_of_another_join_key_is_refused_and_both_are_named() -> None:
    other = Membership(a_join_key("second"), a_join_key("third"), "jpd-1")

    with pytest.raises(JoinKeyMismatchError) as caught:
        verify(a_token(), other, now=NOW)

    local = f"{other.signing.fingerprint}, {a_join_key('third').fingerprint}"
    assert str(caught.value) == f"join key mismatch (token kid {a_join_key().fingerprint}, local kid {local})"


@pytest.mark.parametrize("signer", ["first", "second"])
def test_both_keys_of_a_replacement_are_accepted_and_the_first_signs(signer: str) -> None:
    during = Membership(a_join_key("second"), a_join_key("first"), "jpd-1")
    token = a_token(Membership(a_join_key(signer), None, "jpd-1"))

    assert verify(token, during, now=NOW)["iss"] == "access"
    assert jwt.get_unverified_header(a_token(during))["kid"] == a_join_key("second").fingerprint


def test_without_a_list_of_services_any_may_sign() -> None:
    membership = Membership(a_join_key(), None, "jpd-1")

    assert verify(a_token(membership, "anything-else"), membership, now=NOW)["iss"] == "anything-else"


def test_a_service_that_is_not_listed_neither_signs_nor_is_accepted() -> None:
    with pytest.raises(UnsignableTokenError, match=r"not among the services of the JoinKey"):
        a_token(OURS, "xray")

    assert refusal(a_token(Membership(a_join_key(), None, "jpd-1"), "xray")) is Reason.SERVICE


def test_a_token_of_another_cluster_under_the_same_key_is_refused() -> None:
    assert refusal(a_token(Membership(a_join_key(), None, "jpd-2"))) is Reason.AUDIENCE


@pytest.mark.parametrize(
    ("shift", "reason"), [(-61, Reason.ISSUED_AHEAD), (-60, None), (0, None), (299, None), (300, Reason.EXPIRED)]
)
def test_a_token_is_valid_from_a_minute_before_iat_until_exp(shift: int, reason: Reason | None) -> None:
    now = datetime.fromtimestamp(SECONDS + shift, UTC)

    if reason is None:
        assert verify(a_token(), OURS, now=now)["jti"] == "t-1"
    else:
        assert refusal(a_token(), now=now) is reason


FORMS: dict[str, Callable[[str], object]] = {
    "empty": lambda _: "",
    "none": lambda _: None,
    "bytes": lambda token: token.encode(),
    "padding": lambda token: token + "=",
    "line end": lambda token: token + "\n",
    "blank before": lambda token: " " + token,
    "bearer": lambda token: f"Bearer {token}",
    "two segments": lambda token: token.rpartition(".")[0],
    "without signature": lambda token: token.rpartition(".")[0] + ".",
    "four segments": lambda token: token + ".AA",
    "unused bits": lambda token: token[:-1] + chr(ord(token[-1]) + 1),
    "base64 instead of base64url": lambda token: token.replace(".", "+", 1),
    "too long": lambda token: "A" * 8000 + token,
    "json": lambda token: json.dumps({"payload": token}),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_text_of_another_form_is_refused(form: str) -> None:
    token: Any = FORMS[form](a_token())

    assert refusal(token) is Reason.MALFORMED


HEADERS: dict[str, Json] = {
    "alg none": {**HEADER, "alg": "none"},
    "alg None": {**HEADER, "alg": None},
    "another HMAC": {**HEADER, "alg": "HS512"},
    "a public key algorithm": {**HEADER, "alg": "RS256"},
    "lower case": {**HEADER, "alg": "hs256"},
    "typ of another token": {**HEADER, "typ": "at+jwt"},
    "typ JWT": {**HEADER, "typ": "JWT"},
    "typ in upper case": {**HEADER, "typ": "SERVICE+JWT"},
    "no typ": {"alg": "HS256", "kid": HEADER["kid"]},
    "no kid": {"alg": "HS256", "typ": "service+jwt"},
    "kid of a master key": {**HEADER, "kid": "mk-" + "0" * 24},
    "kid with a path": {**HEADER, "kid": "../join-key"},
    "kid in upper case": {**HEADER, "kid": HEADER["kid"].upper()},
    "kid is a list": {**HEADER, "kid": [HEADER["kid"]]},
    "crit": {**HEADER, "crit": ["exp"]},
    "jwk": {**HEADER, "jwk": {"kty": "oct", "k": "AA"}},
    "jku": {**HEADER, "jku": "https://example.com"},
    "b64": {**HEADER, "b64": False},
    "zip": {**HEADER, "zip": "DEF"},
}


@pytest.mark.parametrize("case", HEADERS)
def test_another_header_is_refused_though_its_signature_is_right(case: str) -> None:
    assert refusal(forged(HEADERS[case])) is Reason.HEADER


@pytest.mark.parametrize("raw", [to_json(HEADER)[:-1] + b',"alg":"HS256"}', b"[]", b"null", b"{", b"\xff"])
def test_a_header_that_is_no_strict_json_object_is_refused(raw: bytes) -> None:
    assert refusal(forged(raw)) is Reason.MALFORMED


BAD_CLAIMS: dict[str, Json] = {
    **{f"no {name}": {other: CLAIMS[other] for other in CLAIMS if other != name} for name in CLAIMS},
    **{
        f"{name} {value!r}": {**CLAIMS, name: value}
        for name in CLAIMS
        for value in (None, True, [], {}, "", -1, 10**13, ["jpd-1"], "a b", "A")
        if (name, value) != ("jti", "A")
    },
    "aud a list": {**CLAIMS, "aud": ["jpd-1"]},
    "aud two clusters": {**CLAIMS, "aud": ["jpd-1", "jpd-2"]},
    "iss a list": {**CLAIMS, "iss": ["access"]},
    "times as text": {**CLAIMS, "iat": str(SECONDS), "exp": str(SECONDS + 300)},
    "longer than an hour": {**CLAIMS, "exp": SECONDS + 3601},
    "no lifetime": {**CLAIMS, "exp": SECONDS},
    "expires before it is issued": {**CLAIMS, "exp": SECONDS - 1},
    "a long jti": {**CLAIMS, "jti": "j" * 65},
    "a long iss": {**CLAIMS, "iss": "a" * 64},
}


@pytest.mark.parametrize("case", BAD_CLAIMS)
def test_other_claims_are_refused_though_their_signature_is_right(case: str) -> None:
    assert refusal(forged(claims=BAD_CLAIMS[case])) is Reason.CLAIMS


@pytest.mark.parametrize(
    "raw",
    [
        to_json(CLAIMS)[:-1] + b',"aud":"jpd-1"}',
        to_json(CLAIMS)[:-1] + b',"more":1.5}',
        to_json(CLAIMS)[:-1] + b',"more":NaN}',
        to_json(CLAIMS).replace(str(SECONDS).encode(), f"{SECONDS}.0".encode()),
        b"\xef\xbb\xbf" + to_json(CLAIMS),
        b"null",
        b"[" * 2000,
    ],
)
def test_claims_that_are_no_strict_json_object_are_refused(raw: bytes) -> None:
    assert refusal(forged(claims=raw)) is Reason.CLAIMS


KEYS = {
    "the join key itself": a_join_key().to_bytes(),
    "its text": a_join_key().to_hex().encode(),
    "its fingerprint": a_join_key().fingerprint.encode(),
    "another use": a_join_key().derive("tallystick.dev/join-key/hs256/v2", 32),
    "too few bytes": a_join_key().derive(INFO, 16),
    "another key": a_join_key("second").derive(INFO, 32),
    "a master key": a_master_key().derive(INFO, 32),
    "nothing": b"",
    "zeros": bytes(32),
}


@pytest.mark.parametrize("case", KEYS)
def test_a_signature_under_anything_else_is_refused(case: str) -> None:
    assert refusal(forged(key=KEYS[case])) is Reason.SIGNATURE


def test_each_character_of_a_token_counts() -> None:
    token = a_token()
    accepted = []
    for place, character in enumerate(token):
        for other in ("A", "B", "."):
            changed = token[:place] + other + token[place + 1 :]
            if other == character:
                continue
            try:
                verify(changed, OURS, now=NOW)
            except InvalidServiceTokenError:
                continue
            accepted.append(place)

    assert accepted == []


def test_a_master_key_never_signs_and_never_verifies() -> None:
    master = Membership(ClusterKey(Purpose.MASTER, a_join_key().to_bytes()), None, "jpd-1")
    header = {**HEADER, "kid": master.signing.fingerprint}

    with pytest.raises(ValueError, match="only a join key signs"):
        a_token(master)
    assert refusal(forged(header), master) is Reason.HEADER


@pytest.mark.parametrize("name", ["iss", "aud", "iat", "exp", "jti"])
def test_a_service_does_not_set_the_claims_of_the_signer(name: str) -> None:
    with pytest.raises(UnsignableTokenError, match="claims must not contain iss, aud, iat, exp, jti"):
        a_token(**{name: "x"})


@pytest.mark.parametrize("lifetime", [-1, 0, 3601, 1.5, True])
def test_a_lifetime_of_less_than_a_second_or_more_than_an_hour_is_not_signed(lifetime: Any) -> None:
    if lifetime is True:
        lifetime = None
    with pytest.raises((UnsignableTokenError, TypeError)):
        a_token(lifetime=lifetime)


@pytest.mark.parametrize("lifetime", [1, 3600])
def test_the_shortest_and_the_longest_lifetime_are_signed(lifetime: int) -> None:
    assert verify(a_token(lifetime=lifetime), OURS, now=NOW)["exp"] == SECONDS + lifetime


@pytest.mark.parametrize("claim", [1.5, float("nan"), object(), "\ud800", 10**20, b"x", [[[]]] * 40])
def test_a_claim_that_a_verifier_would_reject_is_not_signed_or_shown(claim: Any) -> None:
    with pytest.raises(UnsignableTokenError) as caught:
        a_token(more=claim)

    assert str(caught.value) == "the claims are not JSON without fractions and with few levels"


def test_a_token_of_more_than_8192_characters_is_not_signed() -> None:
    with pytest.raises(UnsignableTokenError, match="8192 are accepted"):
        a_token(more="x" * 8000)


def test_a_service_name_that_is_no_label_is_not_signed() -> None:
    with pytest.raises(UnsignableTokenError, match="service, lifetime"):
        a_token(Membership(a_join_key(), None, "jpd-1"), "Artifactory")


def test_the_derived_key_is_32_bytes_for_both_sizes() -> None:
    for bits in (128, 256):
        membership = Membership(a_join_key(bits=bits), None, "jpd-1")
        text, _, signature = a_token(membership).rpartition(".")

        mac = hmac.new(a_join_key(bits=bits).derive(INFO, 32), text.encode(), hashlib.sha256)
        assert signature == to_base64url(mac.digest())
