"""The admission policies: who may write what (S2), who asked (S4), for what (S5), and what may not go yet (S7).

They are checked by the API server itself, so there is no webhook that could be down. Each one fails closed.
"""

from collections.abc import Sequence
from typing import Any

from tallystick.install.installation import CONTROLLER, EXCHANGE, Installation
from tallystick.install.part import InstallPart
from tallystick.objects.kind import Kind
from tallystick.schema.meta import Resource

Json = dict[str, Any]

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
    }


def policy(
    kind: str, part: str, spec: Json, installation: Installation, *, actions: Sequence[str] = ("Deny",)
) -> list[Json]:
    """Build a policy with its binding. A binding is what makes a policy count, and where."""
    name = installation.cluster_name(part)
    binding: Json = {"policyName": name}
    if kind == "ValidatingAdmissionPolicy":
        binding["validationActions"] = list(actions)
    if installation.watch_namespaces:
        names = sorted({*installation.watch_namespaces, installation.namespace})
        binding["matchResources"] = {"namespaceSelector": named(names)}
    return [
        {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec},
        {"apiVersion": API_VERSION, "kind": f"{kind}Binding", "metadata": {"name": name}, "spec": binding},
    ]


def named(names: list[str]) -> Json:
    """Select namespaces by name.

    S2: a release binds its policies where it works, else two releases would refuse each other's writes.
    """
    return {"matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "In", "values": names}]}
