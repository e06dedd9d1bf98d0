"""The ways in which people and tools write an object, each as a way to create one and a way to edit it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
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


KUBECTL_APPLY = Writer(
    "kubectl apply", lambda api, body: api.kubectl_apply(body), lambda api, _, after: api.kubectl_apply(after)
)
PATCH = Writer("patch", lambda api, body: api.create(body), _patched)
REPLACE = Writer("replace", lambda api, body: api.create(body), lambda api, _, after: api.replace(after))
SERVER_SIDE_APPLY = Writer(
    "server-side apply", lambda api, body: api.apply(body), lambda api, _, after: api.apply(after)
)
CREATE = replace(PATCH, name="create")

WRITERS = (KUBECTL_APPLY, PATCH, REPLACE, SERVER_SIDE_APPLY)
# PATCH and REPLACE create an object by the same verb.
CREATORS = (KUBECTL_APPLY, CREATE, SERVER_SIDE_APPLY)


def _status_patched(api: Api, before: Json, after: Json) -> Answer:
    patch = {"status": merge_patch(before.get("status", {}), after["status"])}
    return api.merge(after, patch, subresource="status")


@dataclass(frozen=True, slots=True)
class StatusWriter:
    """One way. A call makes the status of the live object say what `after` says."""

    name: str
    write: Callable[[Api, Json, Json], Answer]

    def __call__(self, api: Api, before: Json, after: Json) -> Answer:
        return self.write(api, before, after)


STATUS_PATCH = StatusWriter("status patch", _status_patched)
STATUS_REPLACE = StatusWriter("status replace", lambda api, _, after: api.replace(after, subresource="status"))
STATUS_WRITERS = (
    STATUS_PATCH,
    STATUS_REPLACE,
    StatusWriter("status server-side apply", lambda api, _, after: api.apply(after, subresource="status")),
)
