"""What a revocation writes into the status of a PairingToken, for `spec.revoked` and for RFC 7009 alike."""

from datetime import datetime
from typing import Any

from tallystick.api.pairing_token import PairingToken, PairingTokenState
from tallystick.domain.times import whole_second

# What is recorded of the serial that was issued last.
_FACTS = (
    "token_id",
    "key_id",
    "subject",
    "claims_digest",
    "issued_time",
    "expiration_time",
    "expires_in",
    "used_time",
    "claim",
)


def revoking_changes(token: PairingToken, *, serial: int, now: datetime) -> dict[str, Any]:
    """Return the members of the status that revoke a serial and all before it.

    A serial can be revoked before it is on record. Then the facts of the one before do not stay beside its number:
    its `tokenID`, times and claim would be read as those of the serial that was revoked.
    """
    status = token.status
    facts = {} if status.serial == serial else dict.fromkeys(_FACTS)
    return {
        **facts,
        "state": PairingTokenState.REVOKED,
        "serial": serial,
        "revoked_time": whole_second(now),
        "revoked_through": max(serial, status.revoked_through or 0),
    }
