"""The ways in which people and tools write an object, each as a way to create one and a way to edit it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.harness.api import Answer, Api

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Writer:
    """One way. `edit(api, before, after)` makes the live object say what `after` says."""

    name: str
    create: Callable[[Api, Json], Answer]
    edit: Callable[[Api, Json, Json], Answer]


def _patched(api: Api, before: Json, after: Json) -> Answer:
    return api.merge(after, merge_patch(before, after))


def merge_patch(before: Json, after: Json) -> Json:
    """Give the JSON merge patch that turns one object into the other: what is gone is null (RFC 7396)."""
    patch: Json = {name: None for name in before if name not in after}
    for name, value in after.items():
        if before.get(name) == value:
            continue
        nested = isinstance(value, dict) and isinstance(before.get(name), dict)
        patch[name] = merge_patch(before[name], value) if nested else value
    return patch


WRITERS = (
    Writer("kubectl apply", lambda api, body: api.kubectl_apply(body), lambda api, _, after: api.kubectl_apply(after)),
    Writer("patch", lambda api, body: api.create(body), _patched),
    Writer("replace", lambda api, body: api.create(body), lambda api, _, after: api.replace(after)),
    Writer("server-side apply", lambda api, body: api.apply(body), lambda api, _, after: api.apply(after)),
)


def _status_patched(api: Api, before: Json, after: Json) -> Answer:
    patch = {"status": merge_patch(before.get("status", {}), after["status"])}
    return api.merge(after, patch, subresource="status")


# Each makes the status of the live object say what `after` says.
STATUS_WRITERS: dict[str, Callable[[Api, Json, Json], Answer]] = {
    "status patch": _status_patched,
    "status replace": lambda api, _, after: api.replace(after, subresource="status"),
    "status server-side apply": lambda api, _, after: api.apply(after, subresource="status"),
}
