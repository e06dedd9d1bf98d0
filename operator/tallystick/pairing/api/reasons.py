"""The reasons of conditions and events of PairingToken and MasterToken, beside `SharedReason`.

Reasons are part of the API: never rename one.
"""

from enum import StrEnum


class PairingTokenReason(StrEnum):
    """Reasons of the conditions Ready, Ended, Stalled and Reconciling of a PairingToken."""

    ISSUING = "Issuing"
    """The controller issues the token of the current `spec.serial`."""

    ISSUED = "Issued"
    """The Secret holds the token, and the token can be redeemed."""

    PAIRED = "Paired"
    """The token was redeemed, and its master token has not ended."""

    MASTER_TOKEN_REVOKED = "MasterTokenRevoked"  # noqa: S105 - a reason
    """The token was redeemed, and its master token is revoked."""

    MASTER_TOKEN_EXPIRED = "MasterTokenExpired"  # noqa: S105 - a reason
    """The token was redeemed, and its master token has expired."""

    MASTER_TOKEN_MISSING = "MasterTokenMissing"  # noqa: S105 - a reason
    """The token was redeemed, and its MasterToken does not exist: it was deleted, or it could not be created."""

    DELETED = "Deleted"
    """The object is being deleted, so the exchange rejects its token."""

    EXPIRED = "Expired"
    """The token expired before it was redeemed."""

    REVOKED = "Revoked"
    """The token is revoked, and so is its master token."""

    REQUESTER_POLICY_MISSING = "RequesterPolicyMissing"
    """The admission policy that sets `spec.requestedBy` is not in force, so the controller issues no token."""

    REQUESTER_MISSING = "RequesterMissing"
    """`spec.requestedBy` is empty."""

    UNKNOWN_USE_CASE = "UnknownUseCase"
    """The operator has no use case of the name `spec.useCase`."""

    FOREIGN_URL = "ForeignURL"
    """`spec.baseURL` or `spec.exchangeURL` is not a URL of this operator."""

    UNSIGNABLE_CLAIMS = "UnsignableClaims"
    """The operator cannot sign a token with the values of this spec."""


class MasterTokenReason(StrEnum):
    """Reasons of the conditions Ready, Ended and Reconciling of a MasterToken."""

    ACTIVE = "Active"
    """The master token is valid."""

    EXPIRED = "Expired"
    """The master token has expired."""

    DELETED = "Deleted"
    """The object is being deleted, so the exchange rejects its token."""

    REVOKED = "Revoked"
    """The master token, or the PairingToken that it came from, is revoked."""


class PairingEventReason(StrEnum):
    """Reasons of Warning events about a PairingToken or MasterToken that no condition has."""

    REPLAY_DETECTED = "ReplayDetected"
    """A client presented a pairing token that was redeemed before."""

    MASTER_TOKEN_CONFLICT = "MasterTokenConflict"  # noqa: S105 - a reason
    """The MasterToken exists, and it differs from the one that the redemption creates."""

    REVOKED_BY_HOLDER = "RevokedByHolder"
    """The holder of the token revoked it at the revocation endpoint."""

    MASTER_TOKEN_REJECTED = "MasterTokenRejected"  # noqa: S105 - a reason
    """The API server rejects the MasterToken of a redemption: a quota, a policy, a webhook or RBAC."""


class BootstrapReason(StrEnum):
    """Reasons of Warning events about the ConfigMap that asks for the first admin token, beside SecretConflict."""

    TRIGGER_IGNORED = "BootstrapTriggerIgnored"
    """The controller makes no admin token for this ConfigMap, and leaves it where it is."""

    MASTER_TOKEN_CONFLICT = "MasterTokenConflict"  # noqa: S105 - a reason
    """A MasterToken of the name exists, and it is not that of the admin token."""
