"""One object for each row of docs/status.md, with the conditions that the controller writes."""

from datetime import timedelta
from typing import Any

from tallystick.connections.domain.description import describe
from tallystick.connections.domain.heartbeat_records import HeartbeatRecords
from tallystick.objects.conditions import Description, conditions, stalled
from tallystick.pairing.api.reasons import PairingTokenReason
from tallystick.pairing.domain.description import describe_master_token, describe_pairing_token
from tests.builders import a_master_token, a_pairing_token, issued_status, used_status
from tests.fakes import NOON
from tests.worlds.connection_world import a_connection, a_token

Json = dict[str, Any]

LATER = NOON + timedelta(minutes=2)


def states() -> dict[str, Json]:
    """Return the objects by kind and reason."""
    found = [*_pairing_tokens(), *_master_tokens(), *_configurations()]
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


def _body(found: Any, description: Description) -> Json:
    generation = found.metadata.generation
    said = conditions(
        description.readiness, before=[], generation=generation, now=LATER, further=description.conditions
    )
    status = found.status.model_copy(update={"observed_generation": generation, "conditions": said})
    body: Json = found.model_copy(update={"status": status}).to_json()
    return {"apiVersion": "tallystick.dev/v1alpha1", "kind": found.RESOURCE.kind, **body}
