"""Which signing keys live tokens name: those may not leave the keyring."""

from datetime import datetime

from tallystick.api.master_token import MasterToken, MasterTokenState
from tallystick.api.pairing_token import PairingToken, PairingTokenState


def keys_of_pairing_token(token: PairingToken, now: datetime) -> set[str]:
    """Return the keys of a pairing token that can be redeemed, and of a claim that may still be answered again.

    Both end with the pairing token's own expiry; what the claim has yielded is recorded in its MasterToken.
    """
    status = token.status
    if status.expiration_time is None or status.expiration_time <= now:
        return set()
    keys = set()
    if status.state is PairingTokenState.ACTIVE and status.key_id is not None:
        keys.add(status.key_id)
    if status.state is PairingTokenState.USED and status.claim is not None:
        keys.add(status.claim.key_id)
    return keys


def keys_of_master_token(token: MasterToken, now: datetime) -> set[str]:
    """Return the key of a master token that is in force."""
    revoked = token.spec.revoked or token.status.state is MasterTokenState.REVOKED
    return set() if revoked or token.spec.expiration_time <= now else {token.spec.key_id}
