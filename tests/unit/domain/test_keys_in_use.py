"""Which signing keys may not leave the keyring: those that a live token names."""

from datetime import timedelta

import pytest

from tallystick.domain.keys_in_use import keys_of_master_token, keys_of_pairing_token
from tests.builders import a_claim, a_master_token, a_pairing_token, issued_status, used_status
from tests.fakes import NOON

YEAR = timedelta(days=365)


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        pytest.param(a_pairing_token(), set(), id="not issued"),
        pytest.param(a_pairing_token(status=issued_status(kid="k1")), {"k1"}, id="Active"),
        pytest.param(
            a_pairing_token(status=used_status(kid="k1", claim=a_claim(kid="k2"))),
            {"k1", "k2"},
            id="Used: its own, for it may be shown again, and the claim's",
        ),
        pytest.param(a_pairing_token(status=issued_status(state="Expired", kid="k1")), set(), id="Expired"),
        pytest.param(a_pairing_token(status=used_status(state="Revoked", kid="k1")), set(), id="Revoked"),
    ],
)
def test_a_pairing_token_needs_the_keys_of_what_can_still_be_answered(token, expected):
    assert keys_of_pairing_token(token, NOON) == expected


def test_a_pairing_token_that_is_over_needs_no_key():
    token = a_pairing_token(status=used_status(claim=a_claim(kid="k2")))
    assert token.status.expiration_time is not None

    assert keys_of_pairing_token(token, token.status.expiration_time) == set()


@pytest.mark.parametrize(
    ("token", "now", "expected"),
    [
        pytest.param(a_master_token(kid="k1"), NOON, {"k1"}, id="in force"),
        pytest.param(a_master_token(kid="k1", revoked=True), NOON, set(), id="revoked in spec"),
        pytest.param(a_master_token(kid="k1", status={"state": "Revoked"}), NOON, set(), id="revoked in status"),
        pytest.param(a_master_token(kid="k1"), NOON + YEAR, set(), id="expired"),
        pytest.param(a_master_token(kid="k1"), NOON + YEAR - timedelta(seconds=1), {"k1"}, id="its last second"),
    ],
)
def test_a_master_token_needs_its_key_while_it_is_in_force(token, now, expected):
    assert keys_of_master_token(token, now) == expected
