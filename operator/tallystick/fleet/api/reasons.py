"""The reasons of conditions and events of Device and TokenRotation, beside `SharedReason`.

Reasons are part of the API: never rename one.
"""

from enum import StrEnum


class TokenRotationReason(StrEnum):
    """Reasons of the conditions Succeeded, Stalled and Reconciling of a TokenRotation."""

    IN_PROGRESS = "InProgress"
    """Devices get their new copies."""

    WAITING_FOR_ROTATION = "WaitingForRotation"
    """Another rotation of the same token runs."""

    WAITING_FOR_BATCH = "WaitingForBatch"
    """A batch is done, and `spec.openBatches` does not permit the next one."""

    WAITING_FOR_WINDOW = "WaitingForWindow"
    """No window of `spec.strategy.windows` is open."""

    WAITING_FOR_DEVICES = "WaitingForDevices"
    """The devices that may start have not checked in."""

    PAUSED = "Paused"
    """`spec.desiredState` is Paused, so no further device starts."""

    ABORTING = "Aborting"
    """`spec.desiredState` is Aborted, and devices that have started may finish."""

    TOO_MANY_FAILURES = "TooManyFailures"
    """More devices have failed than `spec.strategy.maxFailures` permits, so no further device starts."""

    NOT_ROTATABLE = "NotRotatable"
    """The target is a token that cannot be rotated."""

    INVALID_WINDOW = "InvalidWindow"
    """A window of `spec.strategy.windows` has a schedule or a time zone that does not exist."""

    ALREADY_RUN = "AlreadyRun"
    """A TokenRotation of this name has run for this token before."""

    TARGET_NOT_FOUND = "TargetNotFound"
    """The target does not exist."""

    DEADLINE_EXCEEDED = "DeadlineExceeded"
    """Devices were left when `spec.strategy.deadline` was over."""

    COMPLETED = "Completed"
    """Each device has used its new copy."""

    ABORTED = "Aborted"
    """The rotation was aborted."""

    TARGET_REVOKED = "TargetRevoked"
    """The target was revoked, and all its devices with it."""


class DeviceFailureReason(StrEnum):
    """Reasons by which the controller counts a device as failed, beside those that devices report."""

    NOT_PROVED = "NotProved"
    """The device got the new copy, and did not use it within `spec.strategy.inProgressTimeout`."""

    DEADLINE_EXCEEDED = "DeadlineExceeded"
    """The device was left when `spec.strategy.deadline` was over."""

    NEEDS_REENROLMENT = "NeedsReenrolment"
    """The token was compromised, and the device has no key: it must enroll again."""


class DeviceReason(StrEnum):
    """Reasons of the conditions Ready and Ended of a Device."""

    ACTIVE = "Active"
    """The exchange accepts the copy of the device."""

    REVOKED = "Revoked"
    """The device, or its PairingToken, is revoked."""


class FleetEventReason(StrEnum):
    """Reasons of Warning events about a Device that no condition has."""

    OLD_TOKEN_REUSE = "OldTokenReuse"  # noqa: S105 - a reason
    """A client presented a copy whose successor the device had used before."""
