"""One object for each row of docs/status.md, with the conditions that the controller writes."""

from datetime import timedelta
from typing import Any

from tallystick.clusterkeys.api.join_key import JoinKey
from tallystick.clusterkeys.api.master_key import MasterKey, MasterKeyState
from tallystick.clusterkeys.api.reasons import MasterKeyReason
from tallystick.clusterkeys.domain import master_key_messages as master_messages
from tallystick.clusterkeys.domain.join_key_description import describe_join_key
from tallystick.connections.domain.description import describe
from tallystick.connections.domain.heartbeat_records import HeartbeatRecords
from tallystick.fleet.api.device import Device, DeviceState
from tallystick.fleet.api.reasons import TokenRotationReason as RotationReason
from tallystick.fleet.api.token_rotation import TokenRotation
from tallystick.fleet.domain.device_description import describe_device
from tallystick.fleet.domain.rotation.description import describe_rotation, situation_of
from tallystick.fleet.domain.rotation.messages import Situation
from tallystick.fleet.domain.rotation.messages import over as rotation_over
from tallystick.fleet.domain.rotation.messages import running as rotation_running
from tallystick.fleet.domain.rotation.status import recorded
from tallystick.objects.conditions import Description, DesiredCondition, Verdict, conditions, ready, stalled
from tallystick.pairing.api.reasons import PairingTokenReason
from tallystick.pairing.domain.description import describe_master_token, describe_pairing_token
from tallystick.schema.times import rfc3339
from tests.builders import UID, a_master_token, a_pairing_token, issued_status, used_status
from tests.fakes import NOON
from tests.worlds.connection_world import a_connection, a_token
from tests.worlds.join_key_world import raw_join_key
from tests.worlds.master_key_world import raw_master_key

Json = dict[str, Any]

LATER = NOON + timedelta(minutes=2)
MASTER, JOIN = "mk-593c0005ccb30704a21278e9", "jk-187bebcceb7ed3ebe80a9011"


def states() -> dict[str, Json]:
    """Return the objects by kind and reason."""
    found = [*_pairing_tokens(), *_master_tokens(), *_configurations(), *_master_keys(), *_join_keys()]
    found += [*_devices(), *_rotations()]
    return {f"{body['kind']} {body['status']['conditions'][0]['reason']}": body for body in found}


def _pairing_tokens() -> list[Json]:
    used = a_pairing_token(status=used_status())
    ends = [
        a_master_token(),
        a_master_token(revoked=True),
        a_master_token(status={"state": "Expired"}),
        None,
    ]
    unknown = stalled(PairingTokenReason.UNKNOWN_USE_CASE, "unknown")
    others = [
        a_pairing_token(status={"state": "Pending"}),
        *(a_pairing_token(status=issued_status(state=state)) for state in ("Active", "Expired", "Revoked")),
        a_pairing_token(status=issued_status(state="Revoked"), deleting=True),
    ]
    return [
        _body(a_pairing_token(status={"state": "Pending"}), Description(unknown)),
        *(_body(used, describe_pairing_token(used, LATER, master)) for master in ends),
        *(_body(token, describe_pairing_token(token, LATER)) for token in others),
    ]


def _master_tokens() -> list[Json]:
    found = [a_master_token(status={"state": state}) for state in ("Active", "Expired", "Revoked")]
    found.append(a_master_token(status={"state": "Revoked"}, deleting=True))
    return [_body(token, describe_master_token(token, LATER)) for token in found]


def _configurations() -> list[Json]:
    ended = a_token(state="Revoked", revokedTime="2030-01-01T12:00:00Z", reason="LicenseExpired")
    found = [
        a_connection(status={"lastSerial": 1, "tokens": [a_token(state="Pending")]}),
        a_connection(status={"lastSerial": 1, "tokens": [a_token()]}),
        a_connection(status={"lastSerial": 1, "tokens": [ended]}, licenseExpiresAt="2030-01-01T12:00:00Z"),
        a_connection(status={"lastSerial": 1, "tokens": [ended]}, deleting=True),
    ]
    return [_body(one, describe(one, HeartbeatRecords(), LATER)) for one in found]


def _master_keys() -> list[Json]:
    raw = raw_master_key(serial=2)
    kept = {"fingerprint": MASTER, "keySize": 256, "serial": 2, "joinKeys": {"total": 1000, "outdated": 1000}}
    pending, active, rotating, sealed = (
        MasterKey.model_validate(raw | {"status": kept | {"state": state} if state != "Pending" else {"state": state}})
        for state in MasterKeyState
    )
    said = MasterKeyReason.ROTATING, "rotating"
    rotates = ready(*said)
    return [
        _body(pending, Description(master_messages.waiting(pending))),
        _body(active, Description(ready(MasterKeyReason.KEY_STORED, "stored"))),
        _body(rotating, Description(rotates, conditions=(DesiredCondition("Reconciling", True, *said),))),
        _body(sealed, Description(master_messages.required(sealed))),
        _body(sealed, Description(master_messages.mismatch(sealed, MASTER))),
    ]


def _join_keys() -> list[Json]:
    raw = raw_join_key()
    copy = {"namespace": "edge", "secretName": "jpd-1-join-key", "inSync": True, "keyVersion": 1}
    kept = {"state": "Active", "fingerprint": JOIN, "keyVersion": 1000, "copies": {"total": 17, "inSync": 17}}
    replacement = {"phase": "Retiring", "fingerprint": JOIN, "until": "2030-01-01T12:10:00Z"}
    lacking = copy | {"namespace": "rt", "inSync": False, "message": "namespace rt does not exist"}
    statuses = [
        {"state": "Pending"},
        kept | {"targets": [copy]},
        kept | {"targets": [copy], "replacement": replacement, "state": "Replacing"},
        kept | {"targets": [copy, lacking | {"reason": "TargetNamespaceNotFound"}]},
        kept | {"targets": [copy, lacking | {"reason": "TargetNamespaceTerminating"}]},
    ]
    found = [JoinKey.model_validate(raw | {"status": status}) for status in statuses]
    deleted = raw | {"metadata": raw["metadata"] | {"deletionTimestamp": "2030-01-01T12:00:00Z"}}
    found.append(JoinKey.model_validate(deleted | {"status": statuses[1]}))
    return [_body(one, describe_join_key(one, LATER)) for one in found]


def _devices() -> list[Json]:
    raw = {
        "metadata": _metadata("d-4qk2m7p3x5abcdefghijklmnop"),
        "spec": {
            "pairingTokenRef": {"name": "cams", "uid": UID},
            "serial": 1,
            "generation": 1,
            "kid": "k1",
            "projectKey": "fleet01",
            "displayName": "press-line-7-cam-17",
        },
    }
    status = {"generation": 1000, "offer": _OFFER, "lastSeenTime": rfc3339(NOON)}
    found = [Device.model_validate(raw | {"status": status | {"state": state}}) for state in DeviceState]
    return [_body(one, describe_device(one, LATER)) for one in found]


_OFFER: Json = {"generation": 1001, "rotation": "rot-1", "tokenID": UID, "kid": "k1", "time": rfc3339(NOON)}
_COUNTS = {"pending": 100_000, "inProgress": 1000, "succeeded": 100_000, "failed": 1000, "noRotation": 0}


def _rotations() -> list[Json]:
    over = [_rotation("Succeeded"), _rotation("Failed"), _rotation("Aborted")]
    revoked = _rotation("Failed")
    running = {
        RotationReason.IN_PROGRESS: "Running",
        RotationReason.WAITING_FOR_DEVICES: "Running",
        RotationReason.PAUSED: "Paused",
        RotationReason.TOO_MANY_FAILURES: "Halted",
        RotationReason.ABORTING: "Aborting",
        RotationReason.NOT_ROTATABLE: "Pending",
    }
    return [
        *(_body(one, describe_rotation(one, LATER), Verdict.SUCCEEDED) for one in over),
        _body(revoked, Description(rotation_over(RotationReason.TARGET_REVOKED, _about(revoked))), Verdict.SUCCEEDED),
        *(
            _body(one, Description(rotation_running(why, _about(one))), Verdict.SUCCEEDED)
            for why, state in running.items()
            for one in [_rotation(state)]
        ),
    ]


def _rotation(state: str) -> TokenRotation:
    spec = {"targetRef": {"kind": "PairingToken", "name": "cams"}}
    devices = _COUNTS | {"total": sum(_COUNTS.values())}
    status = {"state": state, "batch": "20/21", "generation": 2, "devices": devices}
    return TokenRotation.model_validate({"metadata": _metadata("rot-1"), "spec": spec, "status": status})


def _about(rotation: TokenRotation) -> Situation:
    return situation_of(rotation, recorded(rotation.status), LATER)


def _metadata(name: str) -> Json:
    time = rfc3339(NOON)
    return {"name": name, "namespace": "edge", "uid": UID, "generation": 1, "creationTimestamp": time}


def _body(found: Any, description: Description, verdict: Verdict = Verdict.READY) -> Json:
    generation = found.metadata.generation
    said = conditions(
        description.readiness,
        before=[],
        generation=generation,
        now=LATER,
        further=description.conditions,
        verdict=verdict,
    )
    status = found.status.model_copy(update={"observed_generation": generation, "conditions": said})
    body: Json = found.model_copy(update={"status": status}).to_json()
    return {"apiVersion": "tallystick.dev/v1alpha1", "kind": found.RESOURCE.kind, **body}
