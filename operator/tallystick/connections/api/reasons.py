"""The reasons of conditions and events of ConnectionConfiguration, beside `SharedReason`.

Reasons are part of the API: never rename one.
"""

from enum import StrEnum


class ConnectionConfigurationReason(StrEnum):
    """Reasons of the conditions of a ConnectionConfiguration, and of the events that report the same."""

    ISSUING = "Issuing"
    """Ready, Reconciling: the controller issues a token."""

    ISSUED = "Issued"
    """Ready: the Secret holds all active tokens."""

    LICENSE_EXPIRED = "LicenseExpired"
    """Ready, Stalled, LicenseValid: the license has expired, and all tokens are revoked."""

    CONFIGURATION_DELETED = "ConfigurationDeleted"
    """Ready, Reconciling: the object is being deleted, and all tokens are revoked."""

    LICENSE_VALID = "LicenseValid"
    """LicenseValid: the license has not expired."""

    TOKEN_AGE = "TokenAge"  # noqa: S105 - a reason
    """RotationRecommended, RotationOverdue: the newest token is older than `spec.rotationPolicy` allows."""

    TOKEN_STILL_IN_USE = "TokenStillInUse"  # noqa: S105 - a reason
    """InstancesCutOff: an instance last used a token that is revoked."""


class ConnectionEventReason(StrEnum):
    """Reasons of Warning events about a ConnectionConfiguration that no condition has."""

    ROTATION_OVERDUE = "RotationOverdue"
    """The newest token is now older than `spec.rotationPolicy.requireAfter`."""

    DEPLOYMENT_TYPE_MISMATCH = "DeploymentTypeMismatch"
    """An instance presented a token that was issued for another deployment type."""

    HEARTBEATS_NOT_READ = "HeartbeatsNotRead"
    """The API server rejects the reads of the ConfigMaps with heartbeats. The status is not written without them."""

    HEARTBEATS_NOT_STORED = "HeartbeatsNotStored"
    """The API server rejects the ConfigMap in which the exchange stores the heartbeats."""
