"""All objects of an installation, in the order in which they are installed."""

from collections.abc import Sequence
from typing import Any

from tallystick.install.crds import crds
from tallystick.install.installation import Installation
from tallystick.install.part import InstallPart
from tallystick.install.policies import policies
from tallystick.install.rbac import rbac
from tallystick.objects.kind import Kind

Json = dict[str, Any]


def access(installation: Installation, kinds: Sequence[Kind], parts: Sequence[InstallPart]) -> list[Json]:
    """Build RBAC and admission policies. RBAC is first, because it contains the namespace of the probes."""
    return [*rbac(installation, kinds, parts), *policies(installation, kinds, parts)]


def manifests(installation: Installation, kinds: Sequence[Kind], parts: Sequence[InstallPart]) -> list[Json]:
    """Build every object."""
    return [*crds(kinds), *access(installation, kinds, parts)]
