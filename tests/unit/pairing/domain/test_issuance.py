"""The next step for a PairingToken: S7 (spec is the order), S22 (healing), R85 (expiry), D11 (only by order)."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tallystick.objects.held_secrets import HeldSecret
from tallystick.pairing.domain.issuance import (
    Done,
    Expire,
    Heal,
    Input,
    Issue,
    RemoveSecret,
    ReportConflict,
    Revoke,
    next_step,
)
from tests.builders import OTHER_UID, UID, a_pairing_token, issued_status, used_status
from tests.fakes import NOON

INTACT = "as issued"
RETAIN = {"deletionPolicy": "Retain"}


def a_secret(*, owner_uid: str | None = UID, content_digest: str = INTACT, immutable: bool = False) -> HeldSecret:
    return HeldSecret("edge", "press-1-pairing-token", "s1", "7", owner_uid, content_digest, immutable)


def step(token, *, secret=None, expected_digest=INTACT, seconds=0):
    return next_step(Input(token, secret, expected_digest, NOON + timedelta(seconds=seconds)))


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        pytest.param(a_pairing_token(), Issue(), id="a new object is issued"),
        pytest.param(a_pairing_token(status={}), Issue(), id="an empty status is no record of an issue"),
        pytest.param(
            a_pairing_token(status={"state": "Pending"}), Issue(), id="a refused object is tried again when looked at"
        ),
        pytest.param(a_pairing_token(status=used_status(), serial=2), Issue(), id="a raised serial is issued"),
        pytest.param(
            a_pairing_token(status=issued_status(), serial=2), Issue(), id="also while the last one is Active"
        ),
        pytest.param(
            a_pairing_token(status=issued_status(state="Revoked", revokedThrough=1), serial=2),
            Issue(),
            id="also after Revoked",
        ),
        pytest.param(a_pairing_token(revoked=True), Revoke(), id="revoked before issue is never issued"),
        pytest.param(a_pairing_token(status=issued_status(), revoked=True), Revoke(), id="revoked while Active"),
        pytest.param(a_pairing_token(status=used_status(), revoked=True), Revoke(), id="revoked after Used"),
        pytest.param(
            a_pairing_token(status=issued_status(state="Expired"), revoked=True), Revoke(), id="revoked after Expired"
        ),
        pytest.param(
            a_pairing_token(status=issued_status(state="Revoked"), serial=2, revoked=True),
            Revoke(),
            id="a raised serial that is revoked before it was issued",
        ),
        pytest.param(
            a_pairing_token(status=issued_status(state="Revoked"), revoked=True),
            Done(),
            id="a revocation on record rests",
        ),
        pytest.param(a_pairing_token(deleting=True), Revoke(), id="a deletion revokes, also before the issue"),
        pytest.param(a_pairing_token(status=used_status(), deleting=True), Revoke(), id="and after Used"),
        pytest.param(
            a_pairing_token(status=issued_status(state="Revoked"), deleting=True),
            Done(),
            id="and rests then",
        ),
        pytest.param(
            a_pairing_token(status=issued_status(), deleting=True, masterToken=RETAIN),
            Expire(),
            id="a retaining deletion ends an Active token alone",
        ),
        pytest.param(
            a_pairing_token(status=used_status(), deleting=True, masterToken=RETAIN),
            Done(),
            id="a retaining deletion leaves Used",
        ),
        pytest.param(
            a_pairing_token(deleting=True, masterToken=RETAIN), Done(), id="a retaining deletion issues nothing"
        ),
        pytest.param(
            a_pairing_token(status=issued_status(state="Revoked")), Done(), id="Revoked without a Secret rests"
        ),
        pytest.param(a_pairing_token(status=used_status()), Done(), id="Used without a Secret rests"),
    ],
)
def test_without_a_secret_the_next_step_is(token, expected):
    assert step(token) == expected


@pytest.mark.parametrize("state", ["Used", "Expired", "Revoked"])
def test_the_secret_of_a_used_token_is_removed(state):
    secret = a_secret()

    assert step(a_pairing_token(status=issued_status(state=state)), secret=secret) == RemoveSecret(secret)


def test_the_secret_of_an_object_that_is_being_deleted_is_removed_whatever_its_state():
    secret = a_secret()

    assert step(a_pairing_token(deleting=True, masterToken=RETAIN), secret=secret) == RemoveSecret(secret)


@pytest.mark.parametrize("owner", [None, OTHER_UID])
def test_s22_a_secret_of_another_user_is_never_removed(owner):
    token = a_pairing_token(status=used_status())

    assert step(token, secret=a_secret(owner_uid=owner)) == Done()


def test_s22_a_secret_that_only_names_the_token_as_its_owner_is_reported():
    token, secret = a_pairing_token(status=used_status()), replace(a_secret(owner_uid=None), controller_uid=UID)

    assert step(token, secret=secret) == ReportConflict()


def test_a_secret_that_waits_for_its_deletion_is_not_deleted_again():
    assert step(a_pairing_token(status=used_status()), secret=replace(a_secret(), is_terminating=True)) == Done()


def test_an_intact_secret_of_an_active_token_rests():
    assert step(a_pairing_token(status=issued_status()), secret=a_secret()) == Done()


@pytest.mark.parametrize(
    ("secret", "expected_digest"),
    [
        pytest.param(None, INTACT, id="deleted"),
        pytest.param(a_secret(content_digest="edited"), INTACT, id="edited"),
        pytest.param(a_secret(), None, id="or it cannot be told what it should be"),
        pytest.param(None, None, id="deleted, and it cannot be told what it should be"),
    ],
)
def test_s22_the_secret_of_an_active_token_is_healed_when_it_is(secret, expected_digest):
    token = a_pairing_token(status=issued_status())

    assert step(token, secret=secret, expected_digest=expected_digest) == Heal()


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        pytest.param(299, Done(), id="a second before"),
        pytest.param(300, Expire(), id="at the very second"),
        pytest.param(301, Expire(), id="a second after"),
    ],
)
def test_r85_a_token_expires_at_exp(seconds, expected):
    token = a_pairing_token(status=issued_status(life=300))

    assert step(token, secret=a_secret(), seconds=seconds) == expected


@pytest.mark.parametrize("state", ["Used", "Revoked"])
def test_used_and_revoked_do_not_expire(state):
    token = a_pairing_token(status=issued_status(state=state))

    assert step(token, seconds=3600) == Done()


def test_an_expired_token_is_expired_and_not_healed():
    token = a_pairing_token(status=issued_status())

    assert step(token, secret=None, seconds=300) == Expire()


def test_d11_a_lost_secret_of_an_expired_token_issues_nothing():
    assert step(a_pairing_token(status=issued_status(state="Expired")), seconds=3600) == Done()
