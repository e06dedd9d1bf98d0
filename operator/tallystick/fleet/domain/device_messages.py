"""The texts of the exchange for devices and about them: refusals, conditions and events."""

from collections.abc import Callable, Mapping
from datetime import datetime

from tallystick.fleet.domain import check_in, enrolling
from tallystick.fleet.domain.facts import Target
from tallystick.schema.times import rfc3339

IS_REVOKED = "the device, or its PairingToken, is revoked; delete the Device to let its key enroll again"
ENROLL_AGAIN = "delete the Device: the device enrolls again with its key and the present value"
"""How a device gets a new copy in place of one whose signing key is lost, as a verb phrase."""

NOT_A_VALUE = "the bearer token is not a valid enrollment token"
NOT_A_COPY = "the token is not a valid device token"
NEEDS_PROOF = "the token is bound to a key: send it as Authorization: DPoP, with a proof"
HAS_NO_KEY = "the token is not bound to a key: send it as Authorization: Bearer"
INVALID_PROOF = "the DPoP proof is not valid"
OTHER_DEVICE = "the token belongs to another device than the path names"
REUSED = (
    "a client sent a copy that ended when its successor was proved; see the source in the audit log of the exchange"
)

VALUE_NOT_EXCHANGED = "subject_token is an enrollment token, which cannot be exchanged; send it to /v1/devices instead"
COPY_NOT_EXCHANGED = "subject_token is a device token, which cannot be exchanged; send it in check-ins instead"
VALUE_NOT_REVOKED = (
    "a holder cannot revoke an enrollment token, because many devices share it; "
    "raise spec.serial of its PairingToken to end it"
)
COPY_NOT_REVOKED = (
    "a holder cannot revoke a device token that is not bound to a key; set spec.revoked of its Device instead"
)

# By reason of a refused enrollment: the error code of the response.
ENROLLMENT_CODES: Mapping[enrolling.Refusal, str] = {
    enrolling.Refusal.UNKNOWN: "invalid_token",
    enrolling.Refusal.REVOKED: "invalid_token",
    enrolling.Refusal.EXPIRED: "invalid_token",
    enrolling.Refusal.REPLACED: "invalid_token",
    enrolling.Refusal.KEY_REQUIRED: "dpop_required",
    enrolling.Refusal.CLOSED: "enrolment_closed",
    enrolling.Refusal.FULL: "device_limit",
    enrolling.Refusal.DEVICE_REVOKED: "device_revoked",
}


def in_use_text(generation: int) -> str:
    """Return the message of an active device."""
    return f"the device uses its copy of generation {generation}"


def enrollment_refusal_text(
    why: enrolling.Refusal, presented: enrolling.Presented, target: Target | None, secret: str
) -> str:
    """Return why an enrollment is rejected, for the device.

    Args:
        why: The reason.
        presented: The facts of the value and of the device.
        target: The PairingToken; None if it does not exist.
        secret: The name of its Secret.
    """
    if target is None or why is enrolling.Refusal.UNKNOWN:
        return NOT_A_VALUE
    value, token = f"enrollment token {presented.token_id}", f"PairingToken {target.namespace}/{target.name}"
    where = f"Secret {target.namespace}/{secret}"
    texts: Mapping[enrolling.Refusal, Callable[[], str]] = {
        enrolling.Refusal.REVOKED: lambda: f"{value} has been revoked",
        enrolling.Refusal.EXPIRED: lambda: value_expired_text(presented.token_id, presented.expires),
        enrolling.Refusal.REPLACED: lambda: f"{value} was replaced; take the new one from {where}",
        enrolling.Refusal.KEY_REQUIRED: lambda: (
            f"{token} takes devices with a key of their own only: send a DPoP proof"
        ),
        enrolling.Refusal.CLOSED: lambda: f"{token} takes no new devices: spec.enrolment is Closed",
        enrolling.Refusal.FULL: lambda: f"{token} allows {target.max_devices} devices",
        enrolling.Refusal.DEVICE_REVOKED: lambda: (
            f"device {presented.device_name} has been revoked; delete it to let its key enroll again"
        ),
    }
    return texts[why]()


def value_expired_text(token_id: str, expires: datetime | None) -> str:
    """Return the text for a value that has expired."""
    at = f" at {rfc3339(expires)}" if expires is not None else ""
    return f"enrollment token {token_id} expired{at}"


def too_fast_text(target: Target, per_second: int) -> str:
    """Return the text for a device that enrolls while too many others do."""
    return f"PairingToken {target.namespace}/{target.name} takes {per_second} new devices a second; ask again"


def asked_too_often_text(target: Target, per_second: int) -> str:
    """Return the text for a device that enrolls while too many others ask."""
    return f"PairingToken {target.namespace}/{target.name} answers {per_second} enrollments a second; ask again"


def check_in_refusal_text(
    why: check_in.Refusal, presented: check_in.Presented, *, device: str, pairing_token: str
) -> str:
    """Return why a check-in is rejected, for the device.

    Args:
        why: The reason.
        presented: The facts of the copy.
        device: The name of the Device.
        pairing_token: Namespace and name of the PairingToken.
    """
    return {
        check_in.Refusal.UNKNOWN: NOT_A_COPY,
        check_in.Refusal.NOT_PROVED_KEY: NEEDS_PROOF,
        check_in.Refusal.ENDED: f"token {presented.token_id} ended when its successor was proved",
        check_in.Refusal.COMPROMISED: f"token {presented.token_id} was revoked for a compromise: enroll again",
        check_in.Refusal.DEVICE_REVOKED: f"device {device} has been revoked",
        check_in.Refusal.TOKEN_REVOKED: f"PairingToken {pairing_token} has been revoked",
    }[why]


def removed_text(device: str) -> str:
    """Return the text for a device whose Device was deleted."""
    return f"device {device} was removed: stop calling"
