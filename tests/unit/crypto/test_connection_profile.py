"""The profile of connection tokens: what they say, exactly, and that no other token passes for one (R14, R22, C3)."""

import itertools
from datetime import timedelta

import pytest

from tallystick.connections.domain.tokens import CONNECTION
from tallystick.crypto.tokens import ObjectReference, Reason, UnsignableClaimsError, sign, unverified_typ
from tallystick.pairing.domain.tokens import MASTER, PAIRING
from tests.unit.crypto.builders import (
    ABSENT,
    ISSUER,
    NOW,
    NOW_SECONDS,
    PROFILES,
    a_key,
    changed,
    forge,
    master_claims,
    pairing_claims,
    pairing_header,
    refusal_of,
    verified,
)

KEY, OTHER_KEY = a_key("first"), a_key("second")
HEADER = pairing_header(typ=CONNECTION.typ)
# RFC 3339's last second, of which datetime can still make a time.
LAST = 253_402_300_799


def connection_claims(**changes):
    claims = {
        "iss": ISSUER,
        "sub": "connection:edge/dc-west",
        "aud": ISSUER,
        "scope": "protector",
        "iat": NOW_SECONDS,
        "jti": "4be13896-2fef-518d-b07c-951cbd05ba71",
        "deployment_type": "Kubernetes",
        "tallystick": {
            "kind": "ConnectionConfiguration",
            "ns": "edge",
            "name": "dc-west",
            "uid": "0b9f7a52-98a0-4f0e-8f5b-3c9d1d6a7a10",
            "serial": 1,
        },
    }
    return changed(claims, **changes)


THING = connection_claims()["tallystick"]


def checked(token, **changes):
    return verified(token, **{"profile": CONNECTION, **changes})


def reason_of(token, **changes):
    return refusal_of(token, **{"profile": CONNECTION, **changes})


def test_a_connection_token_says_what_was_signed():
    claims = checked(sign(connection_claims(), profile=CONNECTION, key=KEY))

    assert (claims.typ, claims.key_id, claims.issuer) == ("connection+jwt", KEY.key_id, ISSUER)
    assert (claims.subject, claims.audience, claims.scope) == ("connection:edge/dc-west", (ISSUER,), ("protector",))
    assert claims.reference == ObjectReference("ConnectionConfiguration", "edge", "dc-west", THING["uid"], 1)
    assert claims.claims == connection_claims()


@pytest.mark.parametrize("years", [0, 1, 100, 1000])
def test_r22_it_has_no_end(years):
    claims = checked(sign(connection_claims(), profile=CONNECTION, key=KEY), now=NOW + timedelta(days=365 * years))

    assert claims.expiration_time is None


@pytest.mark.parametrize("claim", list(connection_claims()))
def test_without_a_claim_it_is_refused_and_not_signed(claim):
    claims = connection_claims(**{claim: ABSENT})

    assert reason_of(forge(HEADER, claims)) is Reason.CLAIMS
    with pytest.raises(UnsignableClaimsError):
        sign(claims, profile=CONNECTION, key=KEY)


@pytest.mark.parametrize("member", list(THING))
@pytest.mark.parametrize(
    "value",
    [ABSENT, None, "", "\0", True, 0, -1, 1.5, [], {}],
    ids=lambda value: "absent" if value is ABSENT else repr(value),
)
def test_a_wrong_reference_to_the_object_is_refused(member, value):
    assert reason_of(forge(HEADER, connection_claims(tallystick=changed(THING, **{member: value})))) is Reason.CLAIMS


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"deployment_type": ""}, id="type empty"),
        pytest.param({"deployment_type": None}, id="type null"),
        pytest.param({"deployment_type": True}, id="type a boolean"),
        pytest.param({"deployment_type": ["Kubernetes"]}, id="type a list"),
        pytest.param({"deployment_type": ["Kubernetes", "ReverseProxy"]}, id="type a list of both"),
        pytest.param({"deployment_type": "kubernetes"}, id="type in lower case"),
        pytest.param({"deployment_type": "Kubernetes\n"}, id="type with a newline"),
        pytest.param({"deployment_type": "Kubernetes ReverseProxy"}, id="two types"),
        pytest.param({"deployment_type": "K" * 64}, id="type too long"),
        # R22: an end would be one more reason for which a token dies (R37).
        pytest.param({"exp": NOW_SECONDS + 300}, id="exp"),
        pytest.param({"exp": LAST}, id="exp at the end of all times"),
        pytest.param({"nbf": NOW_SECONDS}, id="nbf"),
        pytest.param({"cnf": {"jkt": KEY.key_id}}, id="a key"),
        pytest.param({"ext": pairing_claims()["ext"]}, id="a claim of pairing tokens"),
        pytest.param({"deploymentType": "Kubernetes"}, id="the type in another spelling too"),
        pytest.param({"admin": True}, id="unknown claim"),
        pytest.param({"iat": -1}, id="iat negative"),
        pytest.param({"iat": float(NOW_SECONDS)}, id="iat a fraction"),
        pytest.param({"tallystick": changed(THING, kind="PairingToken")}, id="another kind"),
        pytest.param({"tallystick": changed(THING, kind="connectionconfiguration")}, id="kind in lower case"),
        pytest.param({"tallystick": changed(THING, ns="../kube-system")}, id="ns a path"),
        pytest.param({"tallystick": changed(THING, serial=10**10)}, id="serial too large"),
        pytest.param({"tallystick": changed(THING, slot="default")}, id="unknown member of tallystick"),
    ],
)
def test_other_claims_are_refused_though_properly_signed(changes):
    claims = connection_claims(**changes)

    assert reason_of(forge(HEADER, claims)) is Reason.CLAIMS
    with pytest.raises(UnsignableClaimsError):
        sign(claims, profile=CONNECTION, key=KEY)


@pytest.mark.parametrize("aud", [f"{ISSUER}/", "*", [ISSUER], [ISSUER, "https://evil.example"]], ids=repr)
def test_another_audience_is_refused(aud):
    assert reason_of(forge(HEADER, connection_claims(aud=aud))) is Reason.AUDIENCE


def test_a_token_of_another_issuer_or_key_is_refused():
    other = forge(pairing_header(OTHER_KEY, typ=CONNECTION.typ), connection_claims(), OTHER_KEY)

    assert reason_of(forge(HEADER, connection_claims(iss="https://evil.example"))) is Reason.ISSUER
    assert reason_of(other) is Reason.KEY
    assert reason_of(forge(HEADER, connection_claims(), OTHER_KEY)) is Reason.SIGNATURE


CLAIMS = {
    PAIRING.typ: pairing_claims(),
    MASTER.typ: master_claims(aud=ISSUER),
    CONNECTION.typ: connection_claims(),
}
CONFUSIONS = list(itertools.permutations(CLAIMS, 2))


@pytest.mark.parametrize(("own", "taken_for"), CONFUSIONS)
def test_no_kind_of_token_passes_for_another_whatever_its_header_says(own, taken_for):
    """RFC 8725 3.12: the claims of one kind are never right for another."""
    token = forge(pairing_header(typ=taken_for), CLAIMS[own])

    assert unverified_typ(token, PROFILES) == taken_for
    assert refusal_of(token, profile=PROFILES[taken_for]) is Reason.CLAIMS


@pytest.mark.parametrize(("own", "taken_for"), CONFUSIONS)
def test_a_good_token_is_refused_where_another_kind_is_asked_for(own, taken_for):
    token = sign(CLAIMS[own], profile=PROFILES[own], key=KEY)

    assert refusal_of(token, profile=PROFILES[taken_for]) is Reason.HEADER


def test_a_connection_token_that_is_issued_ahead_is_refused():
    assert reason_of(forge(HEADER, connection_claims(iat=NOW_SECONDS + 61))) is Reason.ISSUED_AHEAD
    assert checked(forge(HEADER, connection_claims(iat=NOW_SECONDS + 60))).expiration_time is None
