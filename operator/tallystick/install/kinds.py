"""The kinds of Kubernetes' own that an installation is made of, and where they live in the API."""

from typing import Any

from tallystick.api.meta import Resource

_ADMISSION = ("admissionregistration.k8s.io", "v1")
_RBAC = ("rbac.authorization.k8s.io", "v1")

CRDS = Resource("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition")

INSTALLED = (
    CRDS,
    Resource("", "v1", "namespaces", "Namespace"),
    Resource("", "v1", "serviceaccounts", "ServiceAccount"),
    Resource(*_ADMISSION, "validatingadmissionpolicies", "ValidatingAdmissionPolicy"),
    Resource(*_ADMISSION, "validatingadmissionpolicybindings", "ValidatingAdmissionPolicyBinding"),
    Resource(*_ADMISSION, "mutatingadmissionpolicies", "MutatingAdmissionPolicy"),
    Resource(*_ADMISSION, "mutatingadmissionpolicybindings", "MutatingAdmissionPolicyBinding"),
    Resource(*_RBAC, "clusterroles", "ClusterRole"),
    Resource(*_RBAC, "clusterrolebindings", "ClusterRoleBinding"),
    Resource(*_RBAC, "roles", "Role"),
    Resource(*_RBAC, "rolebindings", "RoleBinding"),
)

_BY_KIND = {(resource.api_version, resource.kind): resource for resource in INSTALLED}


def resource_of(body: dict[str, Any]) -> Resource:
    """Find where an object of the installation lives.

    Raises:
        KeyError: it is of no kind that an installation is made of.
    """
    return _BY_KIND[body["apiVersion"], body["kind"]]
