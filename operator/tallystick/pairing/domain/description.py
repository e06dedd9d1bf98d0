"""Describe a PairingToken and a MasterToken: the part of the status that follows from the rest of the object."""

from datetime import datetime, timedelta

from tallystick.objects.conditions import Description
from tallystick.pairing.api.master_token import MasterToken, MasterTokenState
from tallystick.pairing.api.pairing_token import PairingToken, PairingTokenState
from tallystick.pairing.domain.messages import Trust, master_readiness, readiness_of
from tallystick.pairing.domain.pairing_request import unused_until
from tallystick.pairing.domain.redemption import RECORD_WITHIN, record_may_be_made
from tallystick.pairing.domain.validity import why_master_invalid
from tallystick.tokens.validity import Invalid


def describe_pairing_token(token: PairingToken, now: datetime, master: MasterToken | None = None) -> Description:
    """Describe a token by its state; it is due again when it expires, or when it is deleted because it is unused.

    Args:
        token: The object.
        now: The time.
        master: The MasterToken that the redemption on record names, for a Used token; None if it does not exist.
    """
    if token.status.state is PairingTokenState.USED:
        return _describe_used(token, now, master)
    # The expiry of an earlier serial is not due. It may be in the past, and would requeue the object without end.
    active = token.status.state is PairingTokenState.ACTIVE and token.status.serial == token.spec.serial
    return Description(readiness_of(token), requeue_at=token.status.expiration_time if active else unused_until(token))


def trust_of(token: PairingToken, master: MasterToken | None, now: datetime) -> Trust:
    """Return what the exchange answers for the master token of a Used pairing token."""
    redemption = token.status.redemption
    if redemption is None:
        return Trust.MISSING
    if master is None:
        return Trust.STANDS if record_may_be_made(redemption, now) else Trust.MISSING
    uid, token_id = master.metadata.uid, redemption.master_token_id
    match why_master_invalid(master, token, uid=uid, token_id=token_id, now=now):
        case None:
            return Trust.STANDS
        case Invalid.REVOKED:
            return Trust.REVOKED
        case Invalid.EXPIRED:
            return Trust.EXPIRED
        case Invalid.UNKNOWN:
            return Trust.MISSING


def _describe_used(token: PairingToken, now: datetime, master: MasterToken | None) -> Description:
    trust, redemption = trust_of(token, master, now), token.status.redemption
    if trust is not Trust.STANDS or redemption is None:
        return Description(readiness_of(token, trust))
    missing_at = redemption.time + RECORD_WITHIN + timedelta(seconds=1)
    return Description(readiness_of(token), requeue_at=master.spec.expiration_time if master else missing_at)


def describe_master_token(token: MasterToken, _: datetime) -> Description:
    """Describe a master token by its state; it is due again when it expires."""
    state = token.status.state or MasterTokenState.ACTIVE
    active = state is MasterTokenState.ACTIVE
    return Description(master_readiness(token, state), requeue_at=token.spec.expiration_time if active else None)
