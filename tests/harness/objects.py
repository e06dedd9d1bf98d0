"""Objects as users write them, and what becomes of them: state, Secret and events of a PairingToken."""

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any

from tallystick.schema.meta import API_VERSION
from tests.harness.api import Api
from tests.harness.processes import poll

Json = dict[str, Any]

SERVICE: Json = {"purpose": "Service", "useCase": "mission-control"}
# The spec of a MasterToken as small as the schema permits.
MASTER: Json = {
    "tokenID": "m-1",
    "kid": "k-1",
    "useCase": "mission-control",
    "scope": [],
    "audience": [],
    "subject": "somebody",
    "issuedTime": "2030-01-01T12:00:00Z",
    "expirationTime": "2031-01-01T12:00:00Z",
    "deletionPolicy": "Revoke",
}


def a_pairing_token(namespace: str, name: str = "site-a", **spec: object) -> Json:
    """Build a PairingToken of purpose Service for mission-control, with more or other fields of spec."""
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": API_VERSION, "kind": "PairingToken", "metadata": metadata, "spec": SERVICE | spec}


def with_spec(body: Json, **spec: object) -> Json:
    """Give the object with other fields of spec; None takes a field out."""
    changed = {key: value for key, value in (body["spec"] | spec).items() if value is not None}
    return body | {"spec": changed}


def secret_of(body: Json) -> Json:
    """Name the Secret that holds the token of a PairingToken."""
    meta = body["metadata"]
    name = body["spec"].get("secretName") or f"{meta['name']}-pairing-token"
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": meta["namespace"]}}


def wait_for_state(api: Api, body: Json, state: str, *, seconds: float = 60.0) -> Json:
    """Return the object once its state is this one, and the controller has seen the present spec."""

    def reached() -> Json | None:
        found = api.get(body)
        status = found.get("status", {})
        seen = status.get("observedGeneration") == found["metadata"]["generation"]
        return found if seen and status.get("state") == state else None

    return must(poll(reached, seconds=seconds))


def wait_for_reason(api: Api, body: Json, reason: str, *, seconds: float = 60.0) -> Json:
    """Return the object once its condition Ready or Ended has this reason."""

    def reached() -> Json | None:
        found = api.get(body)
        said = condition(found, "Ready") or condition(found, "Ended")
        return found if said.get("reason") == reason else None

    return must(poll(reached, seconds=seconds))


def wait_until_gone(api: Api, body: Json, *, seconds: float = 60.0) -> None:
    """Return once there is no such object."""
    poll(lambda: api.find(body) is None, seconds=seconds)


def issued(api: Api, body: Json) -> tuple[Json, Json]:
    """Create a PairingToken and return it and its Secret once it is Active."""
    api.create(body).must_succeed()
    return wait_for_state(api, body, "Active"), api.get(secret_of(body))


def condition(body: Json, kind: str) -> Json:
    """Return a condition of an object; {} where it has none of that type."""
    found = body.get("status", {}).get("conditions", [])
    return next((one for one in found if one["type"] == kind), {})


def value_of(secret: Json, key: str) -> str:
    """Read one value of a Secret."""
    return base64.b64decode(secret["data"][key]).decode()


@dataclass(frozen=True, slots=True)
class ReadToken:
    """A JWT taken apart, nothing checked."""

    header: Json
    claims: Json


def read_token(unverified_jwt: str) -> ReadToken:
    """Take a JWT apart (RFC 7515 3.1)."""
    header, claims, _ = unverified_jwt.split(".")
    return ReadToken(_part(header), _part(claims))


def _part(text: str) -> Json:
    decoded: Json = json.loads(binascii.a2b_base64(text.translate({45: 43, 95: 47}) + "=" * (-len(text) % 4)))
    return decoded


def must(found: Json | None) -> Json:
    """Take what `poll` has seen to be there."""
    assert found is not None
    return found
