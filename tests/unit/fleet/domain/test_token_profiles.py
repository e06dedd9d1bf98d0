"""The profiles of the tokens of a fleet: what a copy and a value say, exactly, and which readings are behind them."""

from datetime import timedelta

import pytest

from tallystick.crypto.tokens import ExpiredTokenError, InvalidTokenError, Reason, UnsignableClaimsError, sign, verify
from tallystick.fleet.domain.copies import DEVICE
from tallystick.fleet.domain.token_types import has_copy, has_value
from tallystick.pairing.domain.enrollment_values import ENROLLMENT
from tests.unit.crypto.builders import ABSENT, ISSUER, NOW, NOW_SECONDS, a_key, changed

KEY = a_key("first")
UID = "0b9f7a52-98a0-4f0e-8f5b-3c9d1d6a7a10"


def copy_claims(**changes):
    claims = {
        "iss": ISSUER,
        "sub": "device:edge/d-x",
        "aud": ISSUER,
        "iat": NOW_SECONDS,
        "jti": UID,
        "project": "edge/fleet01",
        "pairingToken": {"name": "cams", "uid": UID},
        "cnf": {"jkt": "A" * 43},
        "tallystick": {"kind": "Device", "ns": "edge", "name": "d-x", "uid": UID, "serial": 2},
    }
    return changed(claims, **changes)


def value_claims(**changes):
    claims = {
        "iss": ISSUER,
        "sub": "project:edge/fleet01",
        "aud": ISSUER,
        "iat": NOW_SECONDS,
        "jti": UID,
        "project": "edge/fleet01",
        "tallystick": {"kind": "PairingToken", "ns": "edge", "name": "cams", "uid": UID, "serial": 1, "generation": 2},
    }
    return changed(claims, **changes)


def checked(claims, profile, *, now=NOW):
    return verify(
        sign(claims, profile=profile, key=KEY),
        {KEY.key_id: KEY.verifying_key()},
        profile=profile,
        issuer=ISSUER,
        now=now,
    )


def test_a_copy_has_no_scope_and_no_expiry():
    verified = checked(copy_claims(), DEVICE)

    assert (verified.scope, verified.expiration_time) == ((), None)
    assert verified.reference.serial == 2
    assert verified.key_thumbprint == "A" * 43


def test_a_copy_without_a_key_has_no_cnf():
    assert checked(copy_claims(cnf=ABSENT), DEVICE).key_thumbprint is None


def test_a_value_has_an_expiry_or_none():
    later = NOW_SECONDS + 86_400 * 365 * 20

    assert checked(value_claims(), ENROLLMENT).expiration_time is None
    assert checked(value_claims(exp=later), ENROLLMENT).expiration_time == NOW + timedelta(days=365 * 20)


def test_an_expired_value_is_not_valid():
    with pytest.raises(ExpiredTokenError):
        checked(value_claims(exp=NOW_SECONDS + 60), ENROLLMENT, now=NOW + timedelta(seconds=60))


@pytest.mark.parametrize("exp", [NOW_SECONDS, NOW_SECONDS - 1, -1, "soon", True, None])
def test_a_value_whose_expiry_is_not_after_its_issue_is_not_signed(exp):
    with pytest.raises(UnsignableClaimsError):
        sign(value_claims(exp=exp), profile=ENROLLMENT, key=KEY)


@pytest.mark.parametrize(
    ("claims", "profile"),
    [
        (copy_claims(project="fleet01"), DEVICE),
        (copy_claims(project="edge/fleet01/x"), DEVICE),
        (copy_claims(pairingToken=ABSENT), DEVICE),
        (copy_claims(cnf={"jkt": "short"}), DEVICE),
        (copy_claims(exp=NOW_SECONDS + 60), DEVICE),
        (copy_claims(scope="x"), DEVICE),
        (value_claims(cnf={"jkt": "A" * 43}), ENROLLMENT),
        (value_claims(tallystick=copy_claims()["tallystick"]), ENROLLMENT),
        (value_claims(project=ABSENT), ENROLLMENT),
    ],
)
def test_no_other_claims_are_signed(claims, profile):
    with pytest.raises(UnsignableClaimsError):
        sign(claims, profile=profile, key=KEY)


@pytest.mark.parametrize(
    ("claims", "mine", "other"), [(copy_claims(), DEVICE, ENROLLMENT), (value_claims(), ENROLLMENT, DEVICE)]
)
def test_a_token_of_one_type_is_not_valid_as_the_other(claims, mine, other):
    signed = sign(claims, profile=mine, key=KEY)

    with pytest.raises(InvalidTokenError) as refused:
        verify(signed, {KEY.key_id: KEY.verifying_key()}, profile=other, issuer=ISSUER, now=NOW)

    assert refused.value.reason is Reason.HEADER


# Readings that are behind a token.


@pytest.mark.parametrize(
    ("status", "newest"),
    [
        (None, 1),
        ({}, 1),
        ({"generation": 2}, 2),
        ({"generation": 2, "offer": {"generation": 3}}, 3),
        ({"offer": {"generation": 4}}, 4),
    ],
)
def test_a_reading_of_a_device_is_behind_each_copy_that_is_newer_than_its_offer(status, newest):
    body = {"spec": {"generation": 1}, **({"status": status} if status is not None else {})}

    assert [has_copy(generation)(body) for generation in (newest, newest + 1)] == [True, False]


@pytest.mark.parametrize(
    ("serial", "generation", "reached"), [(1, 1, True), (2, 3, True), (3, 1, False), (1, 4, False), (2, 4, False)]
)
def test_a_reading_of_a_token_is_behind_a_value_of_a_later_serial_or_generation(serial, generation, reached):
    body = {"spec": {"serial": 2}, "status": {"generation": 3}}

    assert has_value(serial, generation)(body) is reached
