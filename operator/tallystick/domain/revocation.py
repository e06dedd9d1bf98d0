"""What a revocation writes into the status of a token, by whomever it is ordered."""

from datetime import datetime
from typing import Any

from tallystick.api.master_token import MasterToken, MasterTokenState, MasterTokenStatus
from tallystick.api.pairing_token import PairingToken, PairingTokenState, PairingTokenStatus
from tallystick.domain.conditions import conditions
from tallystick.domain.phrases import master_verdict, verdict_of
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


def revoked_pairing_status(token: PairingToken, now: datetime) -> PairingTokenStatus:
    """Return the status that revokes a pairing token and the trust it made."""
    revoked = token.status.model_copy(update=revoking_changes(token, serial=token.spec.serial, now=now))
    verdict = verdict_of(token.model_copy(update={"status": revoked}))
    said = conditions(verdict, before=token.status.conditions, generation=token.metadata.generation, now=now)
    return revoked.model_copy(update={"conditions": said})


def master_status(token: MasterToken, state: MasterTokenState, now: datetime) -> MasterTokenStatus:
    """Return the status that says of a master token that it is in this state."""
    verdict = master_verdict(token, state)
    said = conditions(verdict, before=token.status.conditions, generation=token.metadata.generation, now=now)
    revoked_time = (token.status.revoked_time or whole_second(now)) if state is MasterTokenState.REVOKED else None
    return token.status.model_copy(update={"state": state, "revoked_time": revoked_time, "conditions": said})
