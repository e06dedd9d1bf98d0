"""The permissions that the chart grants, and those that the processes use, by the audit log of the API server."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

Json = dict[str, Any]

COMPONENTS = ("controller", "exchange")


class Permission(NamedTuple):
    """One verb on one resource: in the namespace of the release (`home`), or where it serves."""

    component: str
    where: str
    resource: str
    verb: str


def granted(objects: list[Json]) -> set[Permission]:
    """Return what the objects of the chart grant to controller and exchange."""
    roles = {(body["kind"], body["metadata"]["name"]): body for body in objects if body["kind"].endswith("Role")}
    found: set[Permission] = set()
    for binding in objects:
        if not binding["kind"].endswith("RoleBinding"):
            continue
        component = binding["subjects"][0]["name"].removeprefix("tallystick-")
        role = roles[binding["roleRef"]["kind"], binding["roleRef"]["name"]]
        if component in COMPONENTS:
            where = "home" if role["kind"] == "Role" else "served"
            found |= {Permission(component, where, *rule) for rule in _rules(role)}
    return found


def _rules(role: Json) -> Iterator[tuple[str, str]]:
    for rule in role["rules"]:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                yield from ((_named(resource, group), verb) for verb in rule["verbs"])


def _named(resource: str, group: str) -> str:
    return f"{resource}.{group}".rstrip(".")


def used(audit_log: Path, home: str) -> set[Permission]:
    """Return what the ServiceAccounts have done with success, in the namespace of the release and elsewhere."""
    found: set[Permission] = set()
    for line in audit_log.read_text().splitlines():
        entry = json.loads(line)
        component = entry["user"]["username"].rpartition(":")[2].removeprefix("tallystick-")
        refers, status = entry.get("objectRef", {}), entry.get("responseStatus", {}).get("code", 0)
        if component not in COMPONENTS or "resource" not in refers or status == 403:
            continue
        resource = "/".join(filter(None, (refers["resource"], refers.get("subresource"))))
        where = "home" if refers.get("namespace") == home else "served"
        found.add(Permission(component, where, _named(resource, refers.get("apiGroup", "")), entry["verb"]))
    return found
