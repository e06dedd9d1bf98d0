"""What a revocation writes: revokedThrough is never lowered, and one serial's facts never stand beside another's."""

from tallystick.pairing.domain.revocation import revoking_changes
from tests.builders import a_pairing_token, issued_status, used_status
from tests.fakes import NOON


def revoked(token, serial):
    return token.status.model_copy(update=revoking_changes(token, serial=serial, now=NOON))


def test_a_serial_on_record_keeps_its_facts():
    token = a_pairing_token(status=used_status())

    status = revoked(token, 1)

    assert (status.state, status.serial, status.revoked_through, status.revoked_time) == ("Revoked", 1, 1, NOON)
    assert (status.redemption, status.token_id) == (token.status.redemption, token.status.token_id)


def test_a_serial_that_is_not_on_record_has_no_facts():
    status = revoked(a_pairing_token(status=used_status(), serial=2), 2)

    assert (status.state, status.serial, status.revoked_through) == ("Revoked", 2, 2)
    assert status.to_json().keys() == {
        "observedGeneration",
        "state",
        "serial",
        "revokedTime",
        "revokedThrough",
        "conditions",
    }


def test_what_is_revoked_through_is_never_lowered():
    token = a_pairing_token(serial=2, status=issued_status(serial=2, revokedThrough=5))

    assert revoked(token, 2).revoked_through == 5
