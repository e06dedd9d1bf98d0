"""The API server as its users meet it: raw HTTP in this process, and kubectl where that is what is tried.

The operator's own client is not used here: the rules must hold against any client.
"""

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import urllib3
import yaml

from tallystick.kube.connection import Connection

Json = dict[str, Any]

MERGE_PATCH = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"

_ROOTS = {
    "Namespace": "/api/v1/namespaces",
    "ServiceAccount": "/api/v1/namespaces/{namespace}/serviceaccounts",
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings",
    "PairingToken": "/apis/tallystick.dev/v1alpha1/namespaces/{namespace}/pairingtokens",
    "MasterToken": "/apis/tallystick.dev/v1alpha1/namespaces/{namespace}/mastertokens",
    "ConnectionConfiguration": "/apis/tallystick.dev/v1alpha1/namespaces/{namespace}/connectionconfigurations",
    "MasterKey": "/apis/tallystick.dev/v1alpha1/namespaces/{namespace}/masterkeys",
    "JoinKey": "/apis/tallystick.dev/v1alpha1/namespaces/{namespace}/joinkeys",
    "Device": "/apis/tallystick.dev/v1alpha1/namespaces/{namespace}/devices",
    "TokenRotation": "/apis/tallystick.dev/v1alpha1/namespaces/{namespace}/tokenrotations",
    "ConfigMap": "/api/v1/namespaces/{namespace}/configmaps",
    "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/roles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "CustomResourceDefinition": "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
    "TokenReview": "/apis/authentication.k8s.io/v1/tokenreviews",
    "SubjectAccessReview": "/apis/authorization.k8s.io/v1/subjectaccessreviews",
    "Secret": "/api/v1/namespaces/{namespace}/secrets",
    "Event": "/api/v1/namespaces/{namespace}/events",
    "Lease": "/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases",
    **{
        kind: f"/apis/admissionregistration.k8s.io/v1/{plural}"
        for kind, plural in (
            ("MutatingAdmissionPolicy", "mutatingadmissionpolicies"),
            ("MutatingAdmissionPolicyBinding", "mutatingadmissionpolicybindings"),
            ("ValidatingAdmissionPolicy", "validatingadmissionpolicies"),
            ("ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings"),
        )
    },
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: an object, or why not."""

    succeeded: bool
    body: Json
    message: str

    def must_succeed(self) -> Json:
        """Give the object, for steps that only prepare a test."""
        assert self.succeeded, self.message
        return self.body


@dataclass(frozen=True, slots=True)
class Api:
    """One user's view of the API server."""

    pool: urllib3.PoolManager
    server: str
    kubeconfig: Path
    kubectl_binary: Path
    user: str = ""
    groups: tuple[str, ...] = ()

    @classmethod
    @contextmanager
    def connect(cls, kubeconfig: Path, kubectl: Path) -> Iterator["Api"]:
        """Connect as the kubeconfig's user, who has a client certificate."""
        connection = Connection(kubeconfig=kubeconfig)
        with urllib3.PoolManager(ssl_context=connection.ssl_context, retries=False, maxsize=32) as pool:
            yield cls(pool, connection.server, kubeconfig, kubectl)

    def as_user(self, user: str, *groups: str) -> "Api":
        """Impersonate somebody."""
        return replace(self, user=user, groups=groups)

    def get(self, body: Json) -> Json:
        """Read the object that `body` names."""
        return self._call("GET", _path(body)).must_succeed()

    def request_token(self, namespace: str, service_account: str, *audiences: str) -> str:
        """Ask for a token of a ServiceAccount (TokenRequest); without audiences it is one for the API server."""
        body = {"kind": "ServiceAccount", "metadata": {"namespace": namespace, "name": service_account}}
        spec = {"audiences": list(audiences), "expirationSeconds": 3600}
        answer = self._call("POST", _path(body, subresource="token"), {"spec": spec})
        token: str = answer.must_succeed()["status"]["token"]
        return token

    def write_kubeconfig(self, path: Path, namespace: str, service_account: str) -> Path:
        """Write a kubeconfig of a ServiceAccount into a file, and return the file."""
        config = yaml.safe_load(self.kubeconfig.read_text())
        (user,) = config["users"]
        user["user"] = {"token": self.request_token(namespace, service_account)}
        path.write_text(yaml.safe_dump(config))
        path.chmod(0o600)
        return path

    def find(self, body: Json) -> Json | None:
        """Read the object that `body` names, or say that there is none."""
        answer = self._call("GET", _path(body))
        assert answer.succeeded or "not found" in answer.message, answer.message
        return answer.body if answer.succeeded else None

    def find_all(self, kind: str, namespace: str, **selectors: str) -> list[Json]:
        """Read the objects of a kind in a namespace; `labelSelector` and `fieldSelector` choose."""
        path = _path({"kind": kind, "metadata": {"namespace": namespace}})
        items: list[Json] = self._call("GET", path, query=selectors).must_succeed()["items"]
        return items

    def create(self, body: Json, *, dry_run: bool = False) -> Answer:
        """POST."""
        return self._call("POST", _path(body, name=""), body, query={"dryRun": "All"} if dry_run else {})

    def replace(self, body: Json, *, subresource: str = "") -> Answer:
        """PUT over the live object, whatever its version."""
        live = self.get(body)["metadata"]["resourceVersion"]
        versioned = {**body, "metadata": {**body["metadata"], "resourceVersion": live}}
        return self.update(versioned, subresource=subresource)

    def update(self, body: Json, *, subresource: str = "") -> Answer:
        """PUT over the version that `body` names."""
        return self._call("PUT", _path(body, subresource=subresource), body)

    def merge(self, body: Json, patch: Json, *, subresource: str = "", dry_run: bool = False) -> Answer:
        """PATCH with a JSON merge patch; None removes."""
        path, query = _path(body, subresource=subresource), {"dryRun": "All"} if dry_run else {}
        return self._call("PATCH", path, patch, content_type=MERGE_PATCH, query=query)

    def patch(self, body: Json, operations: list[Json], *, subresource: str = "") -> Answer:
        """PATCH with a JSON patch (RFC 6902)."""
        return self._call("PATCH", _path(body, subresource=subresource), operations, content_type=JSON_PATCH)

    def apply(self, body: Json, *, subresource: str = "", force: bool = True) -> Answer:
        """PATCH as server-side apply, under one field manager; `force` takes fields that others own."""
        query = {"fieldManager": "tests", "force": str(force).lower()}
        path = _path(body, subresource=subresource)
        return self._call("PATCH", path, body, content_type=APPLY_PATCH, query=query)

    def delete(self, body: Json, *, propagation: str = "Background", dry_run: bool = False) -> Answer:
        """DELETE; what it owns goes with it (`Background`) or stays (`Orphan`)."""
        query = {"dryRun": "All"} if dry_run else {}
        return self._call("DELETE", _path(body), {"propagationPolicy": propagation}, query=query)

    def delete_all(self, kind: str, namespace: str) -> Answer:
        """DELETE of all objects of a kind in a namespace: the verb `deletecollection`."""
        return self._call("DELETE", _path({"kind": kind, "metadata": {"namespace": namespace}}))

    def attempt(self, method: str, path: str, body: Json | None = None) -> Answer:
        """Send a request for a path as it is written, which a well-behaved client would not."""
        return self._call(method, path, body)

    def kubectl_apply(self, body: Json) -> Answer:
        """`kubectl apply -f -`, as people and Argo CD do it."""
        done = self._run_kubectl(["apply", "-o", "json", "-f", "-"], json.dumps(body))
        if done.returncode:
            return Answer(False, {}, done.stderr)
        return Answer(True, json.loads(done.stdout), "")

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run a kubectl command that must succeed, and return what it prints."""
        done = self._run_kubectl(arguments, stdin)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _run_kubectl(self, arguments: Sequence[str], stdin: str | None) -> "subprocess.CompletedProcess[str]":
        identity = [f"--as={self.user}", *(f"--as-group={group}" for group in self.groups)] if self.user else []
        return subprocess.run(
            [self.kubectl_binary, "--kubeconfig", self.kubeconfig, *identity, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=180,
        )

    def allowed(
        self,
        user: str,
        verb: str,
        resource: str,
        *,
        namespace: str = "",
        name: str = "",
        group: str,
        member_of: tuple[str, ...] = (),
    ) -> bool:
        """Ask RBAC what a user may do."""
        plural, _, subresource = resource.partition("/")
        attributes = {
            "verb": verb,
            "group": group,
            "resource": plural,
            "subresource": subresource,
            "namespace": namespace,
            "name": name,
        }
        spec = {"user": user, "groups": ["system:authenticated", *member_of], "resourceAttributes": attributes}
        review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "metadata": {}, "spec": spec}
        return bool(self.create(review).must_succeed()["status"]["allowed"])

    def _call(
        self,
        method: str,
        path: str,
        body: Json | list[Json] | None = None,
        *,
        content_type: str = "application/json",
        query: Mapping[str, str] | None = None,
    ) -> Answer:
        headers = {"Accept": "application/json", "Content-Type": content_type}
        if self.user:
            headers["Impersonate-User"] = self.user
        if self.groups:
            (headers["Impersonate-Group"],) = self.groups
        # As UTF-8: server-side apply reads YAML, which does not know JSON's surrogate pairs.
        content = json.dumps(body, ensure_ascii=False).encode()
        answer = self.pool.request(
            method, f"{self.server}{path}?{urlencode(query or {})}", body=content, headers=headers
        )
        # What is no resource at all is answered in plain text.
        plain = answer.headers.get("Content-Type", "").startswith("text/plain")
        found = {"message": answer.data.decode().strip()} if plain else answer.json()
        succeeded = answer.status < HTTPStatus.MULTIPLE_CHOICES
        return Answer(succeeded, found if succeeded else {}, "" if succeeded else found["message"])


def _path(body: Json, *, name: str | None = None, subresource: str = "") -> str:
    metadata = body["metadata"]
    root = _ROOTS[body["kind"]].format(namespace=metadata.get("namespace", ""))
    object_name = metadata.get("name", "") if name is None else name
    return "/".join(part for part in (root, object_name, subresource) if part)
