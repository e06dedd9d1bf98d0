"""Describe a PairingToken and a MasterToken: the part of the status that follows from the rest of the object."""

from datetime import datetime

from tallystick.objects.conditions import Description
from tallystick.pairing.api.master_token import MasterToken, MasterTokenState
from tallystick.pairing.api.pairing_token import PairingToken, PairingTokenState
from tallystick.pairing.domain.messages import master_readiness, readiness_of


def describe_pairing_token(token: PairingToken, _: datetime) -> Description:
    """Describe a token by its state; it is due again when it expires."""
    # The expiry of an earlier serial is not due. It may be in the past, and would requeue the object without end.
    active = token.status.state is PairingTokenState.ACTIVE and token.status.serial == token.spec.serial
    return Description(readiness_of(token), requeue_at=token.status.expiration_time if active else None)


def describe_master_token(token: MasterToken, _: datetime) -> Description:
    """Describe a master token by its state; it is due again when it expires."""
    state = token.status.state or MasterTokenState.ACTIVE
    active = state is MasterTokenState.ACTIVE
    return Description(master_readiness(token, state), requeue_at=token.spec.expiration_time if active else None)
