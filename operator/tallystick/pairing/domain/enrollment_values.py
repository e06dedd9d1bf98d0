"""The value that devices enroll with: the token of a PairingToken of purpose DeviceProject.

    spec.serial raised by a user        -> another value; the devices stay with their copies
    status.generation raised by a rotation -> another value, with the lifetime of the one before

Each serial and generation has one value. It is in the Secret of the PairingToken, and the exchange compares it with the
object: the value before ends in the write that raises the number, also while the controller is stopped.
"""

import uuid

from tallystick.crypto.profiles import (
    Members,
    Profile,
    common_claims,
    matching,
    object_claims,
    seconds,
    serial,
    uri,
)
from tallystick.pairing.api.pairing_token import PairingToken, Purpose

PROJECT = matching(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?/[a-z][a-z0-9]{1,31}")
"""Checks the claim `project`."""

ENROLLMENT = Profile(
    typ="enrol+jwt",
    claims=Members(
        required={
            **common_claims(uri),
            "project": PROJECT,
            "tallystick": Members(required={**object_claims("PairingToken"), "serial": serial, "generation": serial}),
        },
        optional={"exp": seconds},  # only with spec.ttl
    ),
    max_lifetime=None,
)


def value_id(pairing_token_uid: str, serial_: int, generation: int) -> str:
    """Derive the `jti` of a value, so that a writer of a status cannot make one valid (docs/rules.md#s2)."""
    return str(uuid.uuid5(uuid.UUID(pairing_token_uid), f"{serial_}/{generation}"))


def project_of(namespace: str, project_key: str) -> str:
    """Return the claim `project`. Without the namespace, a token could claim the project of another namespace."""
    return f"{namespace}/{project_key}"


def generation_of(token: PairingToken) -> int | None:
    """Return the generation of the value that a PairingToken must have now; None for a token of purpose Service."""
    return (token.status.generation or 1) if token.spec.purpose is Purpose.DEVICE_PROJECT else None
