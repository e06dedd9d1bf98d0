"""Validity is existence: what makes a token invalid, read from the objects it names (S7, S8, S24).

Spec is the order and status the record, and either is enough: what stands in spec counts from the moment it is
stored, with the controller stopped too.
"""

from datetime import datetime
from enum import Enum

from tallystick.api.connection_configuration import ConnectionConfiguration, ConnectionToken, ConnectionTokenState
from tallystick.api.master_token import MasterToken, MasterTokenState
from tallystick.api.pairing_token import DeletionPolicy, PairingToken, PairingTokenState
from tallystick.domain.names import connection_token_id, pairing_token_id
from tallystick.domain.slots import has_place, is_over


class Invalid(Enum):
    """Why a token is not valid. UNKNOWN is all that may be told of a token that is not of this object."""

    UNKNOWN = "unknown"
    REVOKED = "revoked"
    EXPIRED = "expired"


def why_pairing_invalid(token: PairingToken, *, uid: str, serial: int, token_id: str) -> Invalid | None:
    """Check a verified pairing token against the object that it names. Being used is not looked at here.

    The `jti` is derived from uid and serial, never taken from the status (S2).
    """
    if token.metadata.uid != uid or token_id != pairing_token_id(uid, serial):
        return Invalid.UNKNOWN
    if token.metadata.deletion_timestamp is not None or token.spec.revoked:
        return Invalid.REVOKED
    if token.spec.serial != serial or (token.status.serial or 0) > serial:
        return Invalid.REVOKED  # a higher serial ends the old pairing token
    if serial <= (token.status.revoked_through or 0):
        return Invalid.REVOKED
    if token.status.serial != serial:
        return None  # issued, not recorded yet
    if token.status.state is PairingTokenState.REVOKED:
        return Invalid.REVOKED
    return Invalid.EXPIRED if token.status.state is PairingTokenState.EXPIRED else None


def why_master_invalid(
    token: MasterToken, pairing: PairingToken | None, *, uid: str, token_id: str, now: datetime
) -> Invalid | None:
    """Check a verified master token against its object and the PairingToken that it came from.

    Args:
        token: the object that the verified token names.
        pairing: the PairingToken of the recorded name, None where there is none.
        uid: from the verified token.
        token_id: from the verified token.
        now: the time of day.
    """
    if token.metadata.uid != uid or token.spec.token_id != token_id:
        return Invalid.UNKNOWN
    if token.metadata.deletion_timestamp is not None or token.spec.revoked:
        return Invalid.REVOKED
    if token.status.state is MasterTokenState.REVOKED:
        return Invalid.REVOKED
    # What is on record stays so: a clock that is set back revives nothing.
    if now >= token.spec.expiration_time or token.status.state is MasterTokenState.EXPIRED:
        return Invalid.EXPIRED
    return Invalid.REVOKED if revoked_by_pairing(token, pairing) else None


def revoked_by_pairing(token: MasterToken, pairing: PairingToken | None) -> bool:
    """Tell whether the PairingToken that a master token came from has ended it (S8).

    Nothing here reads an ownerReference: `--cascade=orphan` and a dead garbage collector change nothing.
    """
    reference = token.spec.pairing_token_ref
    if reference is None:
        return False  # the bootstrap token came from no pairing
    if pairing is None or pairing.metadata.uid != reference.uid:
        return token.spec.deletion_policy is not DeletionPolicy.RETAIN
    if pairing.metadata.deletion_timestamp is not None and token.spec.deletion_policy is not DeletionPolicy.RETAIN:
        return True
    serial = token.spec.serial or 0
    if pairing.spec.revoked and serial <= pairing.spec.serial:
        return True
    return serial <= (pairing.status.revoked_through or 0)


def why_connection_invalid(
    configuration: ConnectionConfiguration, *, uid: str, serial: int, token_id: str, now: datetime
) -> Invalid | None:
    """Check a verified connection token against the object that it names.

    An id that has left the record stays invalid (R33). A Pending token is as good as an Active one: it was planned, and
    whoever holds it has it from the Secret, which may have been written by a controller that has died since.
    """
    recorded = _recorded(configuration, serial)
    if configuration.metadata.uid != uid or recorded is None:
        return Invalid.UNKNOWN
    if token_id != connection_token_id(uid, recorded.slot, serial):
        return Invalid.UNKNOWN
    if configuration.metadata.deletion_timestamp is not None or recorded.state is ConnectionTokenState.REVOKED:
        return Invalid.REVOKED
    if is_over(recorded, configuration, now):
        return Invalid.EXPIRED
    return None if has_place(recorded, configuration) else Invalid.REVOKED


def _recorded(configuration: ConnectionConfiguration, serial: int) -> ConnectionToken | None:
    return next((token for token in configuration.status.tokens if token.serial == serial), None)
