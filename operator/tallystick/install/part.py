"""The parts that a feature adds to an installation: admission policies, RBAC, and probes."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from tallystick.objects.ports import RefusedError
from tallystick.schema.meta import Resource

Json = dict[str, Any]


class Target(Protocol):
    """The API server, as an installation uses it. The field manager of its writes is `tallystick-install`."""

    async def get(self, resource: Resource, namespace: str, name: str) -> Json:
        """Read one object."""
        ...

    async def create(self, resource: Resource, body: Json, *, dry_run: bool = False) -> Json:
        """Create, or return the object that a create would store."""
        ...

    async def apply(self, resource: Resource, body: Json) -> Json:
        """Server-side apply, by force."""
        ...

    async def delete(
        self, resource: Resource, namespace: str, name: str, *, uid: str, resource_version: str = ""
    ) -> None:
        """Delete the object with this uid."""
        ...


Probe = Callable[[Target], Awaitable[bool]]
"""Returns whether an API server shows by a dry run that a policy is in force."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallPart:
    """The parts that a feature adds to an installation.

    Attributes:
        policies: Admission policies and their bindings, in the order in which they are installed.
        obsolete: Objects of an installation with other settings, which are deleted if they exist.
        home_rules: RBAC rules in the operator's own namespace, by `controller` and `exchange`.
        served_rules: RBAC rules in the namespaces that the operator serves, by `controller` and `exchange`.
        roles: ClusterRoles for people to bind.
        probes: The conditions that the installer waits for, by a text that completes "waiting until ...".
    """

    policies: Sequence[Json] = ()
    obsolete: Sequence[Json] = ()
    home_rules: Mapping[str, Sequence[Json]] = field(default_factory=dict)
    served_rules: Mapping[str, Sequence[Json]] = field(default_factory=dict)
    roles: Sequence[Json] = ()
    probes: Mapping[str, Probe] = field(default_factory=dict)


def home_rules(parts: Iterable[InstallPart], component: str) -> list[Json]:
    """Return the rules that the features add to a component in the operator's own namespace."""
    return [rule for part in parts for rule in part.home_rules.get(component, ())]


def served_rules(parts: Iterable[InstallPart], component: str) -> list[Json]:
    """Return the rules that the features add to a component in the namespaces that the operator serves."""
    return [rule for part in parts for rule in part.served_rules.get(component, ())]


def refuses(resource: Resource, body: Json, text: str) -> Probe:
    """Return a probe: the policy rejects a dry-run create with this text."""

    async def probe(cluster: Target) -> bool:
        try:
            await cluster.create(resource, body, dry_run=True)
        except RefusedError as error:
            if text in str(error):
                return True
            raise
        return False

    return probe
