"""MasterKeys and JoinKeys as users write them, their Secrets, and what becomes of them."""

import base64
import secrets
from typing import Any

from tallystick.clusterkeys.domain.keys import ClusterKey, Purpose, parse_key
from tallystick.schema.meta import API_VERSION
from tests.harness.api import Api
from tests.harness.objects import condition, must
from tests.harness.processes import poll

Json = dict[str, Any]

MASTER_TYPE, JOIN_TYPE = Purpose.MASTER.secret_type, Purpose.JOIN.secret_type


def a_master_key(namespace: str, name: str = "artifactory", **spec: Any) -> Json:
    """Build a MasterKey; without a spec its key is generated."""
    return _object("MasterKey", namespace, name, spec)


def a_join_key(namespace: str, name: str = "jpd-1", *, master_key: str = "artifactory", **spec: Any) -> Json:
    """Build a JoinKey that this MasterKey seals."""
    return _object("JoinKey", namespace, name, {"masterKeyRef": {"name": master_key}, **spec})


def a_secret(namespace: str, name: str, type_: str = MASTER_TYPE, **values: str) -> Json:
    """Build a Secret; `master_key=` is data key `master-key`."""
    data = {key.replace("_", "-"): base64.b64encode(value.encode()).decode() for key, value in values.items()}
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": type_, "data": data}


def fresh_key() -> str:
    """Make a key as `openssl rand -hex 32` does."""
    return secrets.token_hex(32)


def fingerprint(text: str, purpose: Purpose = Purpose.MASTER) -> str:
    """Return the fingerprint of a key."""
    key = parse_key(purpose, text)
    assert isinstance(key, ClusterKey), key
    return key.fingerprint


def fingerprints(secret: Json | None, purpose: Purpose = Purpose.MASTER) -> dict[str, str]:
    """Return the fingerprints of the keys in a Secret, by data key."""
    data = (secret or {}).get("data", {})
    return {key: fingerprint(base64.b64decode(value).decode(), purpose) for key, value in data.items()}


def generated_secret_of(body: Json) -> Json:
    """Name the Secret of a generated master key."""
    return a_secret(body["metadata"]["namespace"], body["metadata"]["name"] + "-master-key")


def put(api: Api, body: Json) -> Json:
    """Create an object in the place of one of its name."""
    api.delete(body)
    return api.create(body).must_succeed()


def wait_for_ready(api: Api, body: Json, reason: str, *, seconds: float = 120.0) -> Json:
    """Return the object once its present spec has this reason in condition Ready."""

    def reached() -> Json | None:
        found = api.get(body)
        said = condition(found, "Ready")
        seen = said.get("observedGeneration") == found["metadata"]["generation"]
        return found if seen and said.get("reason") == reason else None

    return must(poll(reached, seconds=seconds))


def raise_serial(api: Api, body: Json) -> None:
    """Ask for another key."""
    serial = api.get(body)["spec"]["serial"] + 1
    api.merge(body, {"spec": {"serial": serial}}).must_succeed()


def _object(kind: str, namespace: str, name: str, spec: Json) -> Json:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}
