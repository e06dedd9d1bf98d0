"""How an API server keys, keeps and shows what it stores."""

import base64
from typing import TypeVar

from tallystick.objects.ports import Json, RefusedError
from tallystick.schema.meta import GROUP, Resource

Key = tuple[str, str, str, str]  # group, plural, namespace, name
Body = TypeVar("Body")

SCALARS = (str, int, float, type(None))


def copied(body: Body) -> Body:
    """Copy what a request or an answer holds. `copy.deepcopy` takes several times as long, and its time adds up."""
    if isinstance(body, dict):
        return {name: copied(value) for name, value in body.items()}  # type: ignore[return-value]  # as it came
    if isinstance(body, list):
        return [copied(item) for item in body]  # type: ignore[return-value]  # as it came
    if not isinstance(body, SCALARS):
        raise TypeError(f"JSON cannot express a {type(body).__name__}")
    return body


def has_status(resource: Resource) -> bool:
    """All our kinds have the status subresource; Secrets, ConfigMaps, Leases and Events have none."""
    return resource.group == GROUP


def key_of(resource: Resource, body: Json) -> Key:
    meta = body["metadata"]
    if not meta.get("name"):
        raise RefusedError("metadata.name: Required value: name is required")
    return (resource.group, resource.plural, meta.get("namespace", ""), meta["name"])


def key_of_seen(resource: Resource, body: Json) -> Key:
    if not body["metadata"].get("resourceVersion") or not body["metadata"].get("uid"):
        # As the real client does before it sends anything: a blind write is a fault of the program (I22).
        raise ValueError("a conditional write needs the uid and the resourceVersion that it means")
    return key_of(resource, body)


def as_stored(body: Json) -> Json:
    """A copy in the server's form: a Secret's write-only `stringData` becomes `data`."""
    stored = copied(body)
    plain = stored.pop("stringData", {})
    encoded = {name: base64.b64encode(text.encode()).decode() for name, text in plain.items()}
    if encoded:
        stored["data"] = stored.get("data", {}) | encoded
    return stored


def with_server_fields(body: Json, seen: Json) -> Json:
    """What a client cannot change keeps its stored value."""
    fixed = ("uid", "resourceVersion", "creationTimestamp", "generation", "deletionTimestamp")
    own = {name: value for name, value in body["metadata"].items() if name not in fixed}
    kept = {name: seen["metadata"][name] for name in fixed if name in seen["metadata"]}
    return body | {"apiVersion": seen["apiVersion"], "kind": seen["kind"], "metadata": own | kept}


def desired(body: Json) -> Json:
    return {name: value for name, value in body.items() if name not in ("metadata", "status")}


def metadata_of(body: Json) -> Json:
    return {
        "apiVersion": "meta.k8s.io/v1",
        "kind": "PartialObjectMetadata",
        "metadata": body["metadata"],
    }


def fields_of(body: Json, selector: str) -> dict[str, str]:
    """The values of the fields that a field selector names, such as `spec.pairingTokenRef.name`."""
    paths = [term.replace("!=", "=").partition("=")[0] for term in selector.split(",") if term]
    return {path: str(value) for path in paths if (value := _at(body, path)) is not None}


def _at(body: Json, path: str) -> object:
    value: object = body
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def selects(selector: str, labels: dict[str, str]) -> bool:
    """Whether an equality selector (`a=b,c!=d,e`) holds."""
    return all(_holds(term, labels) for term in selector.split(",") if term)


def _holds(term: str, labels: dict[str, str]) -> bool:
    if "!=" in term:
        name, _, value = term.partition("!=")
        return labels.get(name) != value
    if "=" in term:
        name, _, value = term.replace("==", "=").partition("=")
        return labels.get(name) == value
    return term in labels
