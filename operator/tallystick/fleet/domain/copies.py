"""The copies of a device and the values that devices enroll with: IDs, claims, names, and the signing keys in use.

A copy is a function of the Device and a generation: each replica computes the same `jti` and the same claims, so a
copy can be handed out again after a lost answer, and its value is stored nowhere.
"""

import base64
import hashlib
import uuid
from datetime import timedelta

from tallystick.crypto.jws import numeric_date
from tallystick.crypto.profiles import (
    Members,
    Profile,
    common_claims,
    identifier,
    object_claims,
    object_name,
    serial,
    thumbprint,
    uri,
)
from tallystick.fleet.domain.facts import DeviceFacts, Target
from tallystick.pairing.domain.enrollment_values import PROJECT, project_of
from tallystick.tokens.claims import Claims

DEVICE_NAME_BYTES = 26

DEVICE = Profile(
    typ="device+jwt",
    claims=Members(
        required={
            **common_claims(uri),
            "project": PROJECT,
            "pairingToken": Members(required={"name": object_name, "uid": identifier}),
            "tallystick": Members(required={**object_claims("Device"), "serial": serial}),
        },
        optional={"cnf": Members(required={"jkt": thumbprint})},
    ),
    max_lifetime=None,  # a copy is valid until its successor is proved, or the device is revoked
)


def device_name(pairing_token_uid: str, key_thumbprint: str) -> str:
    """Return the name of the Device of a key: 130 bits of a hash, so that the same key is always the same Device.

    Names are in no order that a client can choose, because the order of names is the order of batches
    (docs/rules.md#s17).
    """
    return _name(hashlib.sha256(f"{pairing_token_uid}/{key_thumbprint}".encode()).digest())


def device_name_without_key(random_bytes: bytes) -> str:
    """Return the name of a Device without a key from at least 17 random bytes, of which 130 bits are used."""
    return _name(random_bytes)


def copy_id(device_uid: str, generation: int) -> str:
    """Derive the `jti` of a copy, so that a writer of a status cannot make one valid (docs/rules.md#s2)."""
    return str(uuid.uuid5(uuid.UUID(device_uid), str(generation)))


def copy_claims(
    device: DeviceFacts,
    generation: int,
    *,
    namespace: str,
    project_key: str,
    pairing_token: tuple[str, str],
    issuer: str,
) -> Claims:
    """Return the claims of a copy. Each one follows from the Device and the generation.

    Args:
        device: The Device.
        generation: The generation of the copy, which is its claim `serial`.
        namespace: The namespace of the Device.
        project_key: `spec.projectKey` of the Device.
        pairing_token: The name and UID of its PairingToken.
        issuer: The issuer of this installation.
    """
    name, uid = pairing_token
    claims: Claims = {
        "iss": issuer,
        "sub": f"device:{namespace}/{device.name}",
        "aud": issuer,
        # The creation of the Device: a copy that is handed out again must have the same claims.
        "iat": numeric_date(device.created),
        "jti": copy_id(device.uid, generation),
        "project": project_of(namespace, project_key),
        # The check-in says that a device was removed only while this object exists.
        "pairingToken": {"name": name, "uid": uid},
        "tallystick": {
            "kind": "Device",
            "ns": namespace,
            "name": device.name,
            "uid": device.uid,
            "serial": generation,
        },
    }
    if device.key_thumbprint is not None:
        claims["cnf"] = {"jkt": device.key_thumbprint}  # RFC 9449 6.1
    return claims


def key_of_copy(device: DeviceFacts, generation: int) -> str | None:
    """Return the ID of the key that signs a copy; None if the copy is neither proved nor offered."""
    if device.offer is not None and generation == device.offer.generation:
        return device.offer.key_id
    if generation != device.proved:
        return None
    return device.first_key_id if device.key_id is None else device.key_id


def keys_in_use(device: DeviceFacts, target: Target | None) -> frozenset[str]:
    """Return the IDs of the keys that sign the accepted copies of a device. A retired key stays in the JWKS for them.

    Args:
        device: The Device.
        target: Its PairingToken; None if it does not exist, which may be a restore under way.
    """
    if device.revoked or device.deleting or (target is not None and target.has_revoked(device.serial)):
        return frozenset()
    generations = {device.proved, device.offered} - {0}
    return frozenset(key for generation in generations if (key := key_of_copy(device, generation)) is not None)


def idle_reading_age(devices: int) -> timedelta:
    """Return how old a reading of a Device may be for the answer that there is nothing to do.

    So a replica sends at most 100 GETs a second for each PairingToken, however large the fleet is.
    """
    return timedelta(seconds=max(1.0, devices / 100))


def last_seen_age(devices: int) -> timedelta:
    """Return from which age `status.lastSeenTime` is written again: about one write a second, at most a day old."""
    return timedelta(seconds=min(max(60, devices), 86_400))


def _name(digest: bytes) -> str:
    return "d-" + base64.b32encode(digest).decode("ascii").lower()[:DEVICE_NAME_BYTES]
