"""What the tables of ConnectionConfiguration's rules share: specs, what is on record, and the texts of refusals."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tallystick.connections.api.connection_configuration import ConnectionConfiguration
from tests.harness.api import Api
from tests.harness.connections import slots
from tests.harness.rule_cases import objects_of
from tests.harness.rule_shapes import schema_of

Json = dict[str, Any]

SCHEMA = schema_of(ConnectionConfiguration)
SPEC_SCHEMA = schema_of(ConnectionConfiguration, "spec")
STATUS_SCHEMA = schema_of(ConnectionConfiguration, "status")

KUBERNETES: Json = {"deploymentType": "Kubernetes"}
PROXY: Json = {"deploymentType": "ReverseProxy", "reverseProxy": {"targetHost": "registry.example.com"}}
SLOT_A = KUBERNETES | {"tokens": slots("a")}
SLOTS_AB = KUBERNETES | {"tokens": slots("a", "b")}

EARLIER, END, LATER = "2030-01-01T12:00:00Z", "2031-01-01T12:00:00Z", "2032-01-01T12:00:00Z"
LICENSED = KUBERNETES | {"licenseExpiresAt": END}

ONLY_ACTIVE = (
    "cannot revoke the only active token; generate a new token first (add a slot), register it on all instances, "
    "then revoke this one"
)
TWO_AT_MOST = "cannot generate a new token: 2 of 2 tokens are active; revoke one first"
UNIQUE = "slot names must be unique"
STILL_REVOKED = "use another slot name, or wait until status.tokens lists no Pending or Active token of this slot"
PROXY_ONLY = "reverseProxy applies only to deploymentType ReverseProxy"
WHOLE_SECOND = "licenseExpiresAt must be a whole second in a year from 2000 to 9998"
REMIND_IN_ORDER = "requireAfter must not be shorter than recommendAfter"


@pytest.fixture(scope="module")
def connection(make_namespace: Callable[[str], str]) -> Callable[[Json], Json]:
    """Builds objects from specs. A test file imports this, and has it in its `__all__`."""
    return objects_of("ConnectionConfiguration", make_namespace("connection-rules"))


def record(slot: str, serial: int = 1, state: str = "Active", **more: object) -> Json:
    """Write a token as the status has it."""
    return {
        "slot": slot,
        "tokenID": f"t-{serial}",
        "serial": serial,
        "kid": "k-1",
        "state": state,
        "claimsDigest": f"d-{serial}",
        "issuedTime": "2029-01-01T12:00:00Z",
        "instances": 0,
        **more,
    }


def revoked(slot: str, serial: int = 1, reason: str = "Manual") -> Json:
    return record(slot, serial, "Revoked", revokedTime="2029-06-01T12:00:00Z", reason=reason)


def recorded(*tokens: Json, last: int | None = None) -> Json:
    """Write a status with these tokens, and the last running number that fits them."""
    return {"lastSerial": last or max(token["serial"] for token in tokens), "tokens": list(tokens)}


def put_on_record(controller: Api, body: Json, tokens: list[Json], vacant: Sequence[str] = ()) -> None:
    """Write these tokens and vacant slots into the status, where there are any tokens."""
    if tokens:
        status = recorded(*tokens) | ({"vacantSlots": list(vacant)} if vacant else {})
        controller.merge(body, {"status": status}, subresource="status").must_succeed()


def defaulted(spec: Json) -> Json:
    """Give the spec as it is stored: with the schema's defaults."""
    policy = {"recommendAfter": "4380h", "requireAfter": "8760h"} | spec.get("rotationPolicy", {})
    stored = {"tokens": slots("default")} | spec | {"rotationPolicy": policy}
    if "reverseProxy" in spec:
        stored["reverseProxy"] = {"targetPorts": [443], "protocol": "HTTPS"} | spec["reverseProxy"]
    return stored
