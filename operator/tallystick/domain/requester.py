"""Who asked for a token (R86, S4). The mode is a setting and is never detected."""

from enum import StrEnum

from tallystick.api.pairing_token import PairingToken

# The guard's own words: the policy says them, and the controller's probe takes them as proof of protection.
GUARD_REFUSES_FORGED = "requestedBy must be the requester"
GUARD_REFUSES_CHANGED = "requestedBy cannot be changed"


class RequesterMode(StrEnum):
    """Whose name a token carries."""

    POLICY = "Policy"
    SERVICE_ACCOUNT = "ServiceAccount"


def requester_of(token: PairingToken, mode: RequesterMode) -> str | None:
    """Return the subject of the token, or None where admission has stamped nobody.

    In ServiceAccount mode `requestedBy` is ignored: nothing protects it there.
    """
    if mode is RequesterMode.SERVICE_ACCOUNT:
        account = token.spec.service_account_name or "default"
        return f"system:serviceaccount:{token.metadata.namespace}:{account}"
    return token.spec.requested_by or None
