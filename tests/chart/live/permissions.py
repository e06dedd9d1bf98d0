"""The permissions that the chart grants, and those that the processes use, by the audit log of the API server.

One of them can be taken away, to see what fails without it.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tallystick.schema.meta import GROUP
from tests.harness.api import Api

Json = dict[str, Any]

COMPONENTS = ("controller", "exchange")


class Permission(NamedTuple):
    """One verb on one resource: in the namespace of the release (`home`), or where it serves."""

    component: str
    where: str
    resource: str
    verb: str

    @classmethod
    def parse(cls, text: str) -> "Permission":
        """Read what `str` writes."""
        return cls(*text.split())

    def __str__(self) -> str:
        return " ".join(self)


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


def used(audit_log: Path, home: str, grants: set[Permission]) -> set[Permission]:
    """Return what the ServiceAccounts have done, and the API server has not forbidden.

    In the namespace of the release, the rule for this namespace permits it, or else the one for all that is served.
    """
    found: set[Permission] = set()
    for line in audit_log.read_text().splitlines():
        entry = json.loads(line)
        component = entry["user"]["username"].rpartition(":")[2].removeprefix("tallystick-")
        refers, status = entry.get("objectRef", {}), entry.get("responseStatus", {}).get("code", 0)
        if component not in COMPONENTS or "resource" not in refers or status == 403:
            continue
        resource = "/".join(filter(None, (refers["resource"], refers.get("subresource"))))
        name = _named(resource, refers.get("apiGroup", ""))
        at_home = Permission(component, "home", name, entry["verb"])
        is_home = refers.get("namespace") == home and at_home in grants
        found.add(at_home if is_home else at_home._replace(where="served"))
    return found


def without(rules: list[Json], permission: Permission) -> list[Json]:
    """Return the rules of a role less one verb on one resource."""
    left: list[Json] = []
    for rule in rules:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                is_it = _named(resource, group) == permission.resource
                verbs = [verb for verb in rule["verbs"] if not (is_it and verb == permission.verb)]
                if verbs:
                    left.append({**rule, "apiGroups": [group], "resources": [resource], "verbs": verbs})
    return left


def is_in(role: str, permission: Permission) -> bool:
    """Return whether the role of this name is the one that grants a permission.

    A name is that of the component, `-home` for the namespace of the release, then the release and its namespace.
    """
    component, _, rest = role.partition(".")[0].partition("-")
    return (component, rest == "home") == (permission.component, permission.where == "home")


def take_away(api: Api, taken: str) -> None:
    """Take a permission away from an installed release; '' takes nothing."""
    if not taken:
        return
    permission = Permission.parse(taken)
    kinds = ("roles", "--all-namespaces"), ("clusterroles",)
    roles = [one for kind in kinds for one in json.loads(api.kubectl("get", *kind, "--output", "json"))["items"]]
    changed = [
        {**one, "rules": without(one["rules"], permission)}
        for one in roles
        if one["metadata"]["name"].endswith(f".{GROUP}")
        and is_in(one["metadata"]["name"], permission)
        and (permission.resource, permission.verb) in _rules(one)
    ]
    assert changed, f"no role grants {taken}"
    api.kubectl("replace", "--filename", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": changed}))
