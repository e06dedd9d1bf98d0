"""ConnectionConfigurations with slots and tokens on record, and what is planned for them."""

from datetime import timedelta
from typing import Any

from tallystick.connections.api.connection_configuration import (
    ConnectionConfiguration,
    ConnectionToken,
    ConnectionTokenState,
    RevocationReason,
)
from tallystick.connections.domain.slots import Plan
from tallystick.connections.domain.tokens import connection_token_id
from tallystick.schema.meta import API_VERSION
from tallystick.schema.times import rfc3339
from tests.builders import UID
from tests.fakes import NOON

Json = dict[str, Any]

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
YEAR = timedelta(days=365)
PENDING, ACTIVE, REVOKED = ConnectionTokenState
MANUAL, LICENSE_EXPIRED, DELETED = RevocationReason


def a_configuration(
    *names: str,
    tokens: tuple[ConnectionToken, ...] = (),
    ends: timedelta | None = None,
    deleting: bool = False,
    vacant: tuple[str, ...] = (),
    last: int | None = None,
    uid: str = UID,
) -> ConnectionConfiguration:
    """With these slots and tokens. `ends` is when the licence ends, after noon."""
    meta: Json = {"name": "dc-west", "namespace": "edge", "uid": uid, "generation": 1}
    spec: Json = {"deploymentType": "Kubernetes", "tokens": [{"name": name} for name in names]}
    body: Json = {"apiVersion": API_VERSION, "kind": "ConnectionConfiguration", "metadata": meta, "spec": spec}
    if deleting:
        meta["deletionTimestamp"] = rfc3339(NOON)
    if ends is not None:
        spec["licenseExpiresAt"] = rfc3339(NOON + ends)
    body["status"] = {
        "tokens": [token.to_json() for token in tokens],
        "vacantSlots": list(vacant),
        "lastSerial": last if last is not None else max((token.serial for token in tokens), default=None),
    }
    return ConnectionConfiguration.model_validate(body)


def a_token(slot: str, serial: int, state: ConnectionTokenState = ACTIVE, **more: Any) -> ConnectionToken:
    facts: Json = {
        "slot": slot,
        "serial": serial,
        "state": state,
        "token_id": connection_token_id(UID, slot, serial),
        "key_id": "k1",
        "claims_digest": "d1",
        "issued_time": NOON - HOUR,
    }
    return ConnectionToken(**(facts | more))


def a_revoked(slot: str, serial: int, *, at: timedelta = -SECOND, reason: RevocationReason = MANUAL) -> ConnectionToken:
    return a_token(slot, serial, REVOKED, revoked_time=NOON + at, reason=reason)


def ended(made: Plan) -> dict[str, RevocationReason | None]:
    """Why each of the tokens ends that end now, by slot."""
    assert all(token.state is REVOKED for token in made.revoked)
    return {token.slot: token.reason for token in made.revoked}


def alive(made: Plan) -> list[str]:
    return [token.slot for token in made.tokens if token.state is not REVOKED]
