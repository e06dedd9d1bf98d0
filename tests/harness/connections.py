"""ConnectionConfigurations as users write them, and what becomes of them: tokens, Secret, and who is connected."""

from collections.abc import Sequence
from typing import Any

from tallystick.schema.meta import API_VERSION
from tests.harness.api import Api
from tests.harness.objects import condition, must, value_of
from tests.harness.processes import poll

Json = dict[str, Any]


def a_connection(namespace: str, name: str = "dc-west", **spec: object) -> Json:
    """Build a ConnectionConfiguration of type Kubernetes, with more or other fields of spec."""
    return {
        "apiVersion": API_VERSION,
        "kind": "ConnectionConfiguration",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"deploymentType": "Kubernetes", **spec},
    }


def slots(*names: str) -> list[Json]:
    """Write `spec.tokens`."""
    return [{"name": name} for name in names]


def connection_secret_of(body: Json) -> Json:
    """Name the Secret that holds the tokens of a ConnectionConfiguration."""
    meta = body["metadata"]
    name = body["spec"].get("secretName") or f"{meta['name']}-connection-token"
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": meta["namespace"]}}


def tokens_of(body: Json, *states: str) -> list[Json]:
    """The tokens on record that are in one of these states, newest first; all where no state is given."""
    found: list[Json] = body.get("status", {}).get("tokens", [])
    return [token for token in found if not states or token["state"] in states]


def active_slots(body: Json) -> set[str]:
    return {token["slot"] for token in tokens_of(body, "Active")}


def wait_for_active(api: Api, body: Json, names: Sequence[str], *, seconds: float = 60.0) -> Json:
    """Return the object once these slots and no others have Active tokens, and the controller has seen the spec."""

    def reached() -> Json | None:
        found = api.get(body)
        status = found.get("status", {})
        current = status.get("observedGeneration") == found["metadata"]["generation"]
        at_rest = not tokens_of(found, "Pending") and condition(found, "Ready").get("reason") == "Issued"
        return found if current and at_rest and active_slots(found) == set(names) else None

    return must(poll(reached, seconds=seconds))


def connected(api: Api, body: Json) -> Json:
    """Create a ConnectionConfiguration and return it once all its slots have tokens."""
    api.create(body).must_succeed()
    return wait_for_active(api, body, [slot["name"] for slot in body["spec"].get("tokens", slots("default"))])


def token_in(api: Api, body: Json, slot: str = "") -> str:
    """Read the token of a slot, or without one the token to copy, from the Secret."""
    return value_of(api.get(connection_secret_of(body)), f"token.{slot}" if slot else "token")


def set_slots(api: Api, body: Json, *names: str) -> Any:
    """Make `spec.tokens` these slots, by a merge patch; the answer may be a refusal."""
    return api.merge(body, {"spec": {"tokens": slots(*names)}})
