"""The words of `kubectl get`: each state says what to do next."""

import pytest

from tallystick.objects.conditions import Progress
from tallystick.pairing.api.master_token import MasterTokenState
from tallystick.pairing.domain.messages import Trust, master_readiness, readiness_of
from tests.builders import MASTER_TOKEN_ID, a_master_token, a_pairing_token, issued_status, used_status


@pytest.mark.parametrize(
    ("token", "progress", "reason", "message"),
    [
        pytest.param(
            a_pairing_token(),
            Progress.RECONCILING,
            "Issuing",
            "the controller is issuing the token of serial 1",
            id="Pending",
        ),
        pytest.param(
            a_pairing_token(status=issued_status()),
            Progress.READY,
            "Issued",
            "Secret edge/press-1-pairing-token holds the token; it can be redeemed once until 2030-01-01T12:05:00Z",
            id="Active",
        ),
        pytest.param(
            a_pairing_token(status=used_status()),
            Progress.READY,
            "Paired",
            f"the token was redeemed; see MasterToken mtok-{MASTER_TOKEN_ID}; raise spec.serial to 2 to pair again",
            id="Used",
        ),
        pytest.param(
            a_pairing_token(status=issued_status(state="Expired")),
            Progress.ENDED,
            "Expired",
            "the token expired: no client redeemed it within 300 seconds; raise spec.serial to 2 to issue a new one",
            id="Expired",
        ),
        pytest.param(
            a_pairing_token(status=issued_status(state="Revoked"), revoked=True),
            Progress.ENDED,
            "Revoked",
            "the token and its master token are revoked; raise spec.serial to 2 and set spec.revoked to false to "
            "issue a new one",
            id="Revoked in spec",
        ),
        pytest.param(
            a_pairing_token(status=issued_status(state="Revoked")),
            Progress.ENDED,
            "Revoked",
            "the token and its master token are revoked; raise spec.serial to 2 to issue a new one",
            id="Revoked by its holder",
        ),
        pytest.param(
            a_pairing_token(status=issued_status(), deleting=True),
            Progress.RECONCILING,
            "Deleted",
            "the object is being deleted; the token and its master token are revoked; "
            "it is gone when metadata.finalizers is empty",
            id="being deleted",
        ),
        pytest.param(
            a_pairing_token(status=issued_status(), deleting=True, masterToken={"deletionPolicy": "Retain"}),
            Progress.RECONCILING,
            "Deleted",
            "the object is being deleted; its token cannot be redeemed; its master token is retained; "
            "it is gone when metadata.finalizers is empty",
            id="being deleted, with Retain",
        ),
    ],
)
def test_a_pairing_token_says(token, progress, reason, message):
    readiness = readiness_of(token)

    assert (readiness.progress, readiness.reason, readiness.message) == (progress, reason, message)


@pytest.mark.parametrize(
    ("trust", "progress", "reason", "message"),
    [
        (Trust.STANDS, Progress.READY, "Paired", "the token was redeemed; see {}; {}"),
        (Trust.REVOKED, Progress.ENDED, "MasterTokenRevoked", "the token was redeemed, and {} is revoked; {}"),
        (Trust.EXPIRED, Progress.ENDED, "MasterTokenExpired", "the token was redeemed, and {} has expired; {}"),
        (
            Trust.MISSING,
            Progress.ENDED,
            "MasterTokenMissing",
            "the token was redeemed, but {} does not exist, so its token is not valid; {}",
        ),
    ],
)
def test_a_used_token_says_what_its_master_token_is(trust, progress, reason, message):
    readiness = readiness_of(a_pairing_token(status=used_status()), trust)

    text = message.format(f"MasterToken mtok-{MASTER_TOKEN_ID}", "raise spec.serial to 2 to pair again")
    assert (readiness.progress, readiness.reason, readiness.message) == (progress, reason, text)


@pytest.mark.parametrize(
    ("state", "progress", "message"),
    [
        (
            MasterTokenState.ACTIVE,
            Progress.READY,
            "the master token is valid until 2031-01-01T12:00:00Z; set spec.revoked to true to revoke it",
        ),
        (
            MasterTokenState.EXPIRED,
            Progress.ENDED,
            "the master token has expired; raise spec.serial of PairingToken press-1 to pair again",
        ),
        (
            MasterTokenState.REVOKED,
            Progress.ENDED,
            "the master token is revoked; raise spec.serial of PairingToken press-1 to pair again",
        ),
    ],
)
def test_a_master_token_says(state, progress, message):
    readiness = master_readiness(a_master_token(), state)

    assert (readiness.progress, readiness.reason, readiness.message) == (progress, state.value, message)


def test_the_bootstrap_token_names_no_pairing():
    bootstrap = a_master_token(pairingTokenRef=None, serial=None, redemptionID=None)

    assert master_readiness(bootstrap, MasterTokenState.REVOKED).message == "the master token is revoked"
