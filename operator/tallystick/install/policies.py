"""The frame of admission policies, and the policy `writers`: which account may write a status (docs/rules.md#s2).

The API server itself evaluates them, so no webhook can be unavailable.
"""

from collections.abc import Sequence
from typing import Any

from tallystick.install.installation import CONTROLLER, EXCHANGE, Installation
from tallystick.install.part import InstallPart
from tallystick.objects.kind import Kind
from tallystick.schema.meta import Resource

Json = dict[str, Any]

# The API server's defaults, written out. A selection has one owner: without them, it would differ from the stored one,
# and `kubectl apply --server-side` of the same manifests would be a conflict with the installer.
_MATCH_DEFAULTS: Json = {"matchPolicy": "Equivalent", "namespaceSelector": {}, "objectSelector": {}}

API_VERSION = "admissionregistration.k8s.io/v1"


def policies(installation: Installation, kinds: Sequence[Kind], parts: Sequence[InstallPart]) -> list[Json]:
    """Build every policy and its binding, in the order in which they are installed."""
    return [*_writers(installation, kinds), *(body for part in parts for body in part.policies)]


def _writers(installation: Installation, kinds: Sequence[Kind]) -> list[Json]:
    controller = installation.service_account(CONTROLLER)
    exchange = installation.service_account(EXCHANGE)
    spec = {
        "failurePolicy": "Fail",
        "matchConstraints": {
            "resourceRules": [rule(["UPDATE"], *(kind.resource for kind in kinds), subresource="status")]
        },
        "validations": [
            {
                "expression": f"request.userInfo.username in ['{controller}', '{exchange}']",
                "message": f"only {controller} and {exchange} may write the status",
                "reason": "Forbidden",
            },
            *(
                {
                    "expression": (
                        f"request.resource.resource != '{kind.resource.plural}' || "
                        f"request.userInfo.username == '{controller}'"
                    ),
                    "message": f"only {controller} may write the status of a {kind.resource.kind}",
                    "reason": "Forbidden",
                }
                for kind in kinds
                if not kind.exchange_status
            ),
        ],
    }
    return policy("ValidatingAdmissionPolicy", "writers", spec, installation)


def rule(operations: list[str], *resources: Resource, subresource: str = "") -> Json:
    """Select operations on resources, in every version."""
    suffix = f"/{subresource}" if subresource else ""
    return {
        "apiGroups": sorted({resource.group for resource in resources}),
        "apiVersions": ["*"],
        "operations": operations,
        "resources": [resource.plural + suffix for resource in resources],
        "scope": "*",
    }


def policy(
    kind: str, part: str, spec: Json, installation: Installation, *, actions: Sequence[str] = ("Deny",)
) -> list[Json]:
    """Build a policy with its binding. The binding puts it in force, in the namespaces that it selects."""
    spec = {**spec, "matchConstraints": _MATCH_DEFAULTS | spec["matchConstraints"]}
    name = installation.cluster_name(part)
    binding: Json = {"policyName": name}
    if kind == "ValidatingAdmissionPolicy":
        binding["validationActions"] = list(actions)
    if installation.watch_namespaces:
        names = sorted({*installation.watch_namespaces, installation.namespace})
        binding["matchResources"] = _MATCH_DEFAULTS | {"namespaceSelector": named(names)}
    return [
        {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec},
        {"apiVersion": API_VERSION, "kind": f"{kind}Binding", "metadata": {"name": name}, "spec": binding},
    ]


def named(names: list[str]) -> Json:
    """Select namespaces by name.

    A release binds its policies only in its own namespaces. Otherwise two releases would reject each other's writes
    (docs/rules.md#s2).
    """
    return {"matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "In", "values": names}]}
