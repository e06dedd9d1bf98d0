"""Class C3: other claims, properly signed by the right key."""

import json

import pytest

from tallystick.crypto.profiles import MASTER
from tallystick.crypto.tokens import Reason, sign
from tests.unit.crypto.builders import (
    ABSENT,
    ISSUER,
    NOW_SECONDS,
    a_key,
    as_bytes,
    changed,
    forge,
    master_claims,
    pairing_claims,
    pairing_header,
    refusal_of,
    verified_master,
)

KEY, OTHER_KEY = a_key("first"), a_key("second")


@pytest.mark.parametrize("claim", list(pairing_claims()))
def test_a_pairing_token_without_a_claim_is_refused(claim):
    assert refusal_of(forge(pairing_header(), pairing_claims(**{claim: ABSENT}))) is Reason.CLAIMS


@pytest.mark.parametrize("claim", list(master_claims()))
def test_a_master_token_without_a_claim_is_refused(claim):
    token = forge(pairing_header(typ=MASTER.typ), master_claims(**{claim: ABSENT}))

    assert refusal_of(token, typ=MASTER.typ) is Reason.CLAIMS


@pytest.mark.parametrize("member", list(pairing_claims()["tallystick"]))
@pytest.mark.parametrize(
    "value",
    [ABSENT, None, "", "\0", True, 0, -1, 1.5, [], {}],
    ids=lambda value: "absent" if value is ABSENT else repr(value),
)
def test_a_wrong_reference_to_the_object_is_refused(member, value):
    thing = changed(pairing_claims()["tallystick"], **{member: value})

    assert refusal_of(forge(pairing_header(), pairing_claims(tallystick=thing))) is Reason.CLAIMS


EXT = pairing_claims()["ext"]
THING = pairing_claims()["tallystick"]


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"exp": str(NOW_SECONDS + 300)}, id="exp a string"),
        pytest.param({"exp": NOW_SECONDS + 300.0}, id="exp a fraction"),
        pytest.param({"exp": -1}, id="exp negative"),
        pytest.param({"exp": True}, id="exp a boolean"),
        pytest.param({"exp": None}, id="exp null"),
        pytest.param({"exp": float("inf")}, id="exp infinite"),
        pytest.param({"exp": float("nan")}, id="exp NaN"),
        pytest.param({"exp": 2**63}, id="exp 2^63"),
        pytest.param({"exp": NOW_SECONDS + 100 * 365 * 86_400}, id="exp in 100 years"),
        pytest.param({"exp": NOW_SECONDS + 86_401}, id="exp beyond the longest life"),
        pytest.param({"exp": NOW_SECONDS}, id="exp is iat"),
        pytest.param({"exp": NOW_SECONDS - 1}, id="exp before iat"),
        pytest.param({"iat": True}, id="iat a boolean"),
        pytest.param({"iat": float(NOW_SECONDS)}, id="iat a fraction"),
        pytest.param({"iat": str(NOW_SECONDS)}, id="iat a string"),
        pytest.param({"nbf": NOW_SECONDS - 1}, id="nbf past"),
        pytest.param({"nbf": NOW_SECONDS + 600}, id="nbf future"),
        pytest.param({"jti": ""}, id="jti empty"),
        pytest.param({"jti": 7}, id="jti a number"),
        pytest.param({"jti": "a" * 65}, id="jti too long"),
        pytest.param({"jti": "a\0b"}, id="jti with NUL"),
        pytest.param({"jti": "a\nb"}, id="jti with a newline"),
        pytest.param({"jti": "a\u202eb"}, id="jti right to left"),
        pytest.param({"jti": "ä"}, id="jti outside of ASCII"),
        pytest.param({"sub": ""}, id="sub empty"),
        pytest.param({"sub": "a" * 1025}, id="sub too long"),
        pytest.param({"sub": "admin\x1b[2K"}, id="sub with ESC"),
        pytest.param({"sub": "a\u202eb"}, id="sub right to left"),
        pytest.param({"sub": "\ud800"}, id="sub with a lone surrogate"),
        pytest.param({"sub": ["admin"]}, id="sub a list"),
        pytest.param({"scope": ""}, id="scope empty"),
        pytest.param({"scope": "a  b"}, id="scope with two blanks"),
        pytest.param({"scope": " a"}, id="scope with a leading blank"),
        pytest.param({"scope": 'a"b'}, id="scope with a quote"),
        pytest.param({"scope": ["a"]}, id="scope a list"),
        pytest.param({"scope": "a" * 2064}, id="scope too long"),
        pytest.param({"ext": "{}"}, id="ext a string"),
        pytest.param({"ext": changed(EXT, base_url=ABSENT)}, id="no base_url"),
        pytest.param({"ext": changed(EXT, exchange_url=ABSENT)}, id="no exchange_url"),
        pytest.param({"ext": changed(EXT, exchange_url="")}, id="exchange_url empty"),
        pytest.param({"ext": changed(EXT, base_url="u" * 2049)}, id="base_url too long"),
        pytest.param({"ext": changed(EXT, pairing_url=None)}, id="pairing_url null"),
        pytest.param({"ext": changed(EXT, revocable=False)}, id="not revocable"),
        pytest.param({"ext": changed(EXT, revocable=1)}, id="revocable a number"),
        pytest.param({"ext": changed(EXT, admin=True)}, id="unknown member of ext"),
        pytest.param({"tallystick": changed(THING, kind="MasterToken")}, id="another kind"),
        pytest.param({"tallystick": changed(THING, ns="../kube-system")}, id="ns a path"),
        pytest.param({"tallystick": changed(THING, ns="Edge")}, id="ns in another case"),
        pytest.param({"tallystick": changed(THING, name="a/../b")}, id="name a path"),
        pytest.param({"tallystick": changed(THING, name="a" * 64)}, id="name too long"),
        pytest.param({"tallystick": changed(THING, name="a\n")}, id="name with a newline"),
        pytest.param({"tallystick": changed(THING, uid="u" * 65)}, id="uid too long"),
        pytest.param({"tallystick": changed(THING, serial=10**10)}, id="serial too large"),
        pytest.param({"tallystick": changed(THING, extra=1)}, id="unknown member of tallystick"),
        pytest.param({"cnf": {"jkt": KEY.key_id}}, id="a claim of another profile"),
        pytest.param({"admin": True}, id="unknown claim"),
        pytest.param({"": ""}, id="nameless claim"),
    ],
)
def test_other_claims_are_refused_though_properly_signed(changes):
    assert refusal_of(forge(pairing_header(), pairing_claims(**changes))) is Reason.CLAIMS


def payload_with(claim, text):
    """The payload's JSON, with one value replaced by raw text that json.dumps would not write."""
    return as_bytes(pairing_claims(**{claim: "@"})).replace(b'"@"', text)


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(payload_with("exp", b"1e400"), id="exp 1e400"),
        pytest.param(payload_with("exp", b"9" * 5000), id="exp of 5000 digits"),
        pytest.param(payload_with("exp", b"-0"), id="exp minus zero"),
        pytest.param(payload_with("sub", b"[" * 2000 + b"]" * 2000), id="nested thousands deep"),
        pytest.param(payload_with("sub", b'"\\ud800"'), id="escaped lone surrogate"),
        pytest.param(payload_with("sub", b'"a","sub":"admin"'), id="duplicate sub"),
        pytest.param(payload_with("jti", b'"a","jti":"a"'), id="duplicate jti"),
        pytest.param(payload_with("ext", as_bytes(EXT)[:-1] + b',"revocable":true}'), id="duplicate inside ext"),
        pytest.param(b"\xef\xbb\xbf" + as_bytes(pairing_claims()), id="byte order mark"),
        pytest.param(json.dumps(pairing_claims()).encode("utf-16"), id="UTF-16"),
        pytest.param(as_bytes(pairing_claims()) + b"{}", id="two objects"),
        pytest.param(b"[]", id="array"),
        pytest.param(b"7", id="number"),
        pytest.param(b"\0", id="NUL"),
    ],
)
def test_a_payload_that_is_not_strict_json_is_refused(payload):
    assert refusal_of(forge(pairing_header(), payload)) is Reason.CLAIMS


@pytest.mark.parametrize(
    "iss",
    [f"{ISSUER}/", f"{ISSUER}.evil.example", ISSUER.upper(), ISSUER[:-1], "https://evil.example", [ISSUER], ""],
    ids=repr,
)
def test_another_issuer_is_refused(iss):
    assert refusal_of(forge(pairing_header(), pairing_claims(iss=iss))) is Reason.ISSUER


@pytest.mark.parametrize(
    "aud",
    [
        f"{ISSUER}/",
        f"{ISSUER}.evil.example",
        ISSUER.upper(),
        ISSUER[:-1],
        "*",
        [ISSUER],
        [ISSUER, "https://evil.example"],
        {"0": ISSUER},
    ],
    ids=repr,
)
def test_another_audience_of_a_pairing_token_is_refused(aud):
    assert refusal_of(forge(pairing_header(), pairing_claims(aud=aud))) is Reason.AUDIENCE


def test_a_pairing_token_is_for_its_issuer_when_no_audience_is_asked_for():
    token = forge(pairing_header(), pairing_claims(aud="https://elsewhere.example"))

    assert refusal_of(token, audience=None) is Reason.AUDIENCE


@pytest.mark.parametrize(
    "aud",
    [
        pytest.param([], id="no audience"),
        pytest.param(["https://a.example"], id="a list of one"),
        pytest.param(["https://a.example", "https://a.example"], id="the same twice"),
        pytest.param(["https://a.example", 7], id="a number"),
        pytest.param(["https://a.example", ""], id="an empty one"),
        pytest.param([f"https://{n}.example" for n in range(17)], id="seventeen"),
        pytest.param("", id="empty"),
    ],
)
def test_an_odd_audience_of_a_master_token_is_refused(aud):
    token = forge(pairing_header(typ=MASTER.typ), master_claims(aud=aud))

    assert refusal_of(token, typ=MASTER.typ) is Reason.CLAIMS


@pytest.mark.parametrize("aud", ["https://mc.example.net", ["https://mc.example.net", "https://b.example"]])
def test_a_master_token_is_refused_by_whom_it_is_not_for(aud):
    token = sign(master_claims(aud=aud), typ=MASTER.typ, key=KEY)

    assert verified_master(token, audience="https://mc.example.net").typ == MASTER.typ
    assert refusal_of(token, typ=MASTER.typ, audience="https://mc.example.ne") is Reason.AUDIENCE


@pytest.mark.parametrize(
    "jkt", ["", "A" * 42, "A" * 44, "A" * 42 + "B", "A" * 42 + "=", 7, None, ABSENT], ids=lambda jkt: repr(jkt)[:12]
)
def test_an_odd_key_thumbprint_of_a_master_token_is_refused(jkt):
    token = forge(pairing_header(typ=MASTER.typ), master_claims(cnf=changed({}, jkt=jkt)))

    assert refusal_of(token, typ=MASTER.typ) is Reason.CLAIMS


def test_a_master_token_of_more_than_ten_years_is_refused():
    token = forge(pairing_header(typ=MASTER.typ), master_claims(exp=NOW_SECONDS + 3654 * 86_400))

    assert refusal_of(token, typ=MASTER.typ) is Reason.CLAIMS


def test_a_master_token_is_no_pairing_token():
    token = sign(master_claims(aud=ISSUER), typ=MASTER.typ, key=KEY)

    assert refusal_of(token) is Reason.HEADER
