"""How our objects name the PairingToken that they belong to, for the garbage collector."""

from typing import Any

from tallystick.api.meta import API_VERSION
from tallystick.api.pairing_token import PAIRING_TOKENS, PairingToken


def owner_reference(token: PairingToken) -> dict[str, Any]:
    """Return the reference by which an object is deleted with its PairingToken."""
    return {
        "apiVersion": API_VERSION,
        "kind": PAIRING_TOKENS.kind,
        "name": token.metadata.name,
        "uid": token.metadata.uid,
        "controller": True,
        # true would need a right on our finalizers where that admission plugin is on.
        "blockOwnerDeletion": False,
    }
