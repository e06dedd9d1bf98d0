"""Validity is existence: S7 (spec or status, either ends it), S8 (existence, Retain), S24 (uid), revokedThrough."""

from datetime import timedelta

import pytest

from tallystick.pairing.domain.tokens import pairing_token_id
from tallystick.pairing.domain.validity import revoked_by_pairing, why_master_invalid, why_pairing_invalid
from tallystick.tokens.validity import Invalid
from tests.builders import (
    MASTER_TOKEN_ID,
    MASTER_UID,
    OTHER_UID,
    UID,
    a_master_token,
    a_pairing_token,
    issued_status,
    used_status,
)
from tests.fakes import NOON

YEAR = timedelta(days=365)


def pairing_problem(token, *, uid=UID, serial=1, token_id=None):
    return why_pairing_invalid(token, uid=uid, serial=serial, token_id=token_id or pairing_token_id(uid, serial))


def master_problem(token, pairing, *, uid=MASTER_UID, token_id=MASTER_TOKEN_ID, now=NOON):
    return why_master_invalid(token, pairing, uid=uid, token_id=token_id, now=now)


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        pytest.param(a_pairing_token(status=issued_status()), None, id="Active"),
        pytest.param(a_pairing_token(status=used_status()), None, id="Used, which redeeming looks at"),
        pytest.param(a_pairing_token(), None, id="issued, not recorded yet"),
        pytest.param(a_pairing_token(status={"state": "Pending"}), None, id="Pending"),
        pytest.param(
            a_pairing_token(status=issued_status(), revoked=True), Invalid.REVOKED, id="S7 revoked in spec alone"
        ),
        pytest.param(a_pairing_token(revoked=True), Invalid.REVOKED, id="S7 revoked in spec before it was recorded"),
        pytest.param(
            a_pairing_token(status=issued_status(state="Revoked")), Invalid.REVOKED, id="S7 revoked in status alone"
        ),
        pytest.param(
            a_pairing_token(status=issued_status(), deleting=True), Invalid.REVOKED, id="S7 the object is being deleted"
        ),
        pytest.param(
            a_pairing_token(status=issued_status(), serial=2), Invalid.REVOKED, id="S7 a higher serial in spec alone"
        ),
        pytest.param(
            a_pairing_token(status=issued_status(serial=2)), Invalid.REVOKED, id="S2 a higher serial in status alone"
        ),
        pytest.param(
            a_pairing_token(status={"serial": 1, "state": "Active", "revokedThrough": 1}),
            Invalid.REVOKED,
            id="S7 a serial that is revoked through, whatever the state says",
        ),
        pytest.param(a_pairing_token(status=issued_status(state="Expired")), Invalid.EXPIRED, id="Expired"),
    ],
)
def test_a_pairing_token_of_serial_1_is_judged_by_its_object(token, expected):
    assert pairing_problem(token) == expected


def test_s24_a_token_of_a_re_created_object_is_unknown():
    token = a_pairing_token(uid=OTHER_UID, status=issued_status(uid=OTHER_UID))

    assert pairing_problem(token) == Invalid.UNKNOWN


def test_s2_an_id_from_the_status_makes_no_token_valid():
    token = a_pairing_token(status=issued_status(tokenID="forged"))

    assert pairing_problem(token, token_id="forged") == Invalid.UNKNOWN


def test_a_serial_before_the_revoked_one_says_nothing_of_the_next():
    token = a_pairing_token(serial=2, status=issued_status(serial=2, revokedThrough=1))

    assert pairing_problem(token, serial=2) is None


@pytest.mark.parametrize(
    ("pairing", "policy", "revoked"),
    [
        pytest.param(a_pairing_token(status=used_status()), "Revoke", False, id="Used"),
        pytest.param(a_pairing_token(status=used_status(), serial=2), "Revoke", False, id="a higher serial alone"),
        pytest.param(
            a_pairing_token(status=issued_status(serial=2), serial=2), "Revoke", False, id="a higher serial, issued"
        ),
        pytest.param(None, "Revoke", True, id="S8 the pairing token is gone"),
        pytest.param(None, "Retain", False, id="S8 gone, but retained"),
        pytest.param(a_pairing_token(deleting=True), "Revoke", True, id="S8 being deleted"),
        pytest.param(a_pairing_token(deleting=True), "Retain", False, id="S8 being deleted, but retained"),
        pytest.param(a_pairing_token(uid=OTHER_UID), "Revoke", True, id="S24 re-created"),
        pytest.param(a_pairing_token(uid=OTHER_UID), "Retain", False, id="S24 re-created, but retained"),
        pytest.param(
            a_pairing_token(uid=OTHER_UID, revoked=True), "Retain", False, id="S24 another object's revocation"
        ),
        pytest.param(
            a_pairing_token(status=used_status(), revoked=True), "Revoke", True, id="S7 revoked, controller stopped"
        ),
        pytest.param(
            a_pairing_token(status=used_status(), revoked=True), "Retain", True, id="S7 Retain is about deletion only"
        ),
        pytest.param(
            a_pairing_token(status=issued_status(serial=2), serial=2, revoked=True),
            "Revoke",
            True,
            id="revoking serial 2 ends serial 1 too",
        ),
        pytest.param(
            a_pairing_token(status=issued_status(state="Revoked", revokedThrough=1)),
            "Revoke",
            True,
            id="revoked through its serial",
        ),
        pytest.param(
            a_pairing_token(status=issued_status(serial=3, revokedThrough=2), serial=3),
            "Revoke",
            True,
            id="revoked through a later serial, and issued again",
        ),
    ],
)
def test_s8_a_master_token_of_serial_1_is_revoked_by_its_pairing_token(pairing, policy, revoked):
    master = a_master_token(deletionPolicy=policy)

    assert revoked_by_pairing(master, pairing) is revoked
    assert master_problem(master, pairing) == (Invalid.REVOKED if revoked else None)


def test_a_master_token_of_a_later_serial_outlives_the_revocation_of_an_earlier_one():
    pairing = a_pairing_token(serial=2, status=used_status(serial=2, revokedThrough=1))

    assert revoked_by_pairing(a_master_token(serial=2), pairing) is False


def test_s8_no_owner_reference_is_read():
    orphan = a_master_token()  # --cascade=orphan has taken the reference, and the owner is gone

    assert master_problem(orphan, None) == Invalid.REVOKED


def test_s8_the_bootstrap_token_came_from_no_pairing():
    bootstrap = a_master_token(pairingTokenRef=None, serial=None, redemptionID=None)

    assert master_problem(bootstrap, None) is None


@pytest.mark.parametrize(
    ("master", "expected"),
    [
        pytest.param(a_master_token(), None, id="no status means Active"),
        pytest.param(a_master_token(status={"state": "Active"}), None, id="Active"),
        pytest.param(a_master_token(revoked=True), Invalid.REVOKED, id="S7 revoked in spec alone"),
        pytest.param(a_master_token(status={"state": "Revoked"}), Invalid.REVOKED, id="S7 revoked in status alone"),
        pytest.param(a_master_token(deleting=True), Invalid.REVOKED, id="S7 being deleted"),
        pytest.param(a_master_token(status={"state": "Expired"}), Invalid.EXPIRED, id="Expired once is for ever"),
    ],
)
def test_a_master_token_is_judged_by_its_object(master, expected):
    assert master_problem(master, a_pairing_token(status=used_status())) == expected


@pytest.mark.parametrize(
    "presented",
    [
        pytest.param({"uid": OTHER_UID}, id="S24 another uid"),
        pytest.param({"token_id": "forged"}, id="another jti"),
    ],
)
def test_a_token_that_is_not_of_this_object_is_unknown(presented):
    assert master_problem(a_master_token(), a_pairing_token(status=used_status()), **presented) == Invalid.UNKNOWN


@pytest.mark.parametrize(("seconds", "expected"), [(-1, None), (0, Invalid.EXPIRED), (1, Invalid.EXPIRED)])
def test_a_master_token_expires_at_exp(seconds, expected):
    now = NOON + YEAR + timedelta(seconds=seconds)

    assert master_problem(a_master_token(), a_pairing_token(status=used_status()), now=now) == expected


def test_revoked_is_said_before_expired():
    assert master_problem(a_master_token(revoked=True), None, now=NOON + 2 * YEAR) == Invalid.REVOKED
