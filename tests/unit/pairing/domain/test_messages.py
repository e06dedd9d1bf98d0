"""The words of `kubectl get`: each state says what to do next."""

import pytest

from tallystick.objects.conditions import Progress
from tallystick.pairing.api.master_token import MasterTokenState
from tallystick.pairing.domain.messages import master_readiness, readiness_of
from tests.builders import MASTER_TOKEN_ID, a_master_token, a_pairing_token, issued_status, used_status


@pytest.mark.parametrize(
    ("token", "ready", "reason", "message"),
    [
        pytest.param(
            a_pairing_token(), False, "Issuing", "the controller is issuing the token of serial 1", id="Pending"
        ),
        pytest.param(
            a_pairing_token(status=issued_status()),
            True,
            "Issued",
            "Secret edge/press-1-pairing-token holds the token; it can be redeemed once until 2030-01-01T12:05:00Z",
            id="Active",
        ),
        pytest.param(
            a_pairing_token(status=used_status()),
            True,
            "Paired",
            f"the token was redeemed; see MasterToken mtok-{MASTER_TOKEN_ID}; raise spec.serial to 2 to pair again",
            id="Used",
        ),
        pytest.param(
            a_pairing_token(status=issued_status(state="Expired")),
            False,
            "Expired",
            "the token expired: no client redeemed it within 300 seconds; raise spec.serial to 2 to issue a new one",
            id="Expired",
        ),
        pytest.param(
            a_pairing_token(status=issued_status(state="Revoked"), revoked=True),
            True,
            "Revoked",
            "the token and its master token are revoked; raise spec.serial to 2 and set spec.revoked to false to "
            "issue a new one",
            id="Revoked in spec",
        ),
        pytest.param(
            a_pairing_token(status=issued_status(state="Revoked")),
            True,
            "Revoked",
            "the token and its master token are revoked; raise spec.serial to 2 to issue a new one",
            id="Revoked by its holder",
        ),
    ],
)
def test_a_pairing_token_says(token, ready, reason, message):
    readiness = readiness_of(token)

    assert (readiness.progress is Progress.READY, readiness.reason, readiness.message) == (ready, reason, message)


def test_only_pending_is_reconciling_and_only_expired_is_stalled():
    states = ["Pending", "Active", "Used", "Expired", "Revoked"]

    found = {state: readiness_of(a_pairing_token(status=issued_status(state=state))).progress for state in states}

    assert found == {
        **dict.fromkeys(states, Progress.READY),
        "Pending": Progress.RECONCILING,
        "Expired": Progress.STALLED,
    }


@pytest.mark.parametrize(
    ("state", "ready", "message"),
    [
        (
            MasterTokenState.ACTIVE,
            True,
            "the master token is valid until 2031-01-01T12:00:00Z; set spec.revoked to true to revoke it",
        ),
        (
            MasterTokenState.EXPIRED,
            False,
            "the master token has expired; raise spec.serial of PairingToken press-1 to pair again",
        ),
        (
            MasterTokenState.REVOKED,
            True,
            "the master token is revoked; raise spec.serial of PairingToken press-1 to pair again",
        ),
    ],
)
def test_a_master_token_says(state, ready, message):
    readiness = master_readiness(a_master_token(), state)

    assert (readiness.progress is Progress.READY, readiness.reason, readiness.message) == (ready, state.value, message)


def test_the_bootstrap_token_names_no_pairing():
    bootstrap = a_master_token(pairingTokenRef=None, serial=None, redemptionID=None)

    assert master_readiness(bootstrap, MasterTokenState.REVOKED).message == "the master token is revoked"
