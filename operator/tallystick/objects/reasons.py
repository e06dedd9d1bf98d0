"""Reasons that several kinds share, of conditions and of events. Reasons are part of the API: never rename one."""

from enum import StrEnum


class SharedReason(StrEnum):
    """Reasons of the conditions Ready, Stalled and Reconciling that any kind may report."""

    CLOCK_UNSAFE = "ClockUnsafe"
    """The clock of the controller differs from the clock of the API server by more than 30 seconds."""

    SECRET_CONFLICT = "SecretConflict"  # noqa: S105 - a reason
    """The Secret exists, and it is not one that the operator has written for this object. It does not change it."""

    WRITE_REJECTED = "WriteRejected"
    """The API server rejects a request of the operator for this object: a quota, a policy, a webhook or RBAC."""

    KEYRING_MISSING = "KeyringMissing"
    """The Secret with the signing keys does not exist, and valid tokens name its keys."""

    KEYRING_UNUSABLE = "KeyringUnusable"
    """The Secret with the signing keys is damaged, or holds the keys of another issuer."""

    SIGNING_KEY_MISSING = "SigningKeyMissing"
    """The Secret with the signing keys lacks the key that signed a token of the object."""

    CERTIFICATE_BLOCKED = "CertificateBlocked"
    """The controller cannot keep the certificate of the exchange, so it has no CA for the Secret of the object."""

    CLAIMS_CHANGED = "ClaimsChanged"
    """The Secret lacks a token that the operator cannot sign again, because its settings or keys have changed."""
