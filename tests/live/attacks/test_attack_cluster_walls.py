"""What RBAC keeps from ordinary users: policies, CRDs, our Lease and keyring, Secrets, the names of our accounts.

Rules S2, S4, S5, S15 and S16. Every attack is a dry run where there is one, so that a hole found here harms nobody.
"""

import ssl
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
import urllib3

from tallystick.cli.settings import DEFAULT_NAMESPACE as OURS
from tallystick.controller.controller import LEASE as LEASE_NAME
from tallystick.install.installation import Installation
from tallystick.objects.labels import KEYRING_SECRET
from tests.harness.api import Api
from tests.harness.attackers import STAR, Cast, cannot, make_cast, said, world
from tests.harness.grants import RBAC, grant
from tests.harness.objects import secret_of
from tests.harness.system import System

Json = dict[str, Any]

ADMISSION = "admissionregistration.k8s.io"
WRITERS, VALIDATION, REQUESTER = (Installation().cluster_name(part) for part in ("writers", "guard", "requester"))
EVERYBODY = ("ann", "star", "boss", "tenant", "reader")


class Wall(NamedTuple):
    """Something of ours that nobody may touch: group and resource as RBAC says them, and the object."""

    group: str
    resource: str
    kind: str
    name: str
    namespace: str = ""

    @property
    def body(self) -> Json:
        metadata = {"name": self.name} | ({"namespace": self.namespace} if self.namespace else {})
        return {"kind": self.kind, "metadata": metadata}


WALLS = (
    Wall(ADMISSION, "validatingadmissionpolicies", "ValidatingAdmissionPolicy", WRITERS),
    Wall(ADMISSION, "validatingadmissionpolicies", "ValidatingAdmissionPolicy", VALIDATION),
    Wall(ADMISSION, "validatingadmissionpolicybindings", "ValidatingAdmissionPolicyBinding", WRITERS),
    Wall(ADMISSION, "validatingadmissionpolicybindings", "ValidatingAdmissionPolicyBinding", VALIDATION),
    Wall(ADMISSION, "mutatingadmissionpolicies", "MutatingAdmissionPolicy", REQUESTER),
    Wall(ADMISSION, "mutatingadmissionpolicybindings", "MutatingAdmissionPolicyBinding", REQUESTER),
    Wall(
        "apiextensions.k8s.io", "customresourcedefinitions", "CustomResourceDefinition", "pairingtokens.tallystick.dev"
    ),
    Wall(
        "apiextensions.k8s.io", "customresourcedefinitions", "CustomResourceDefinition", "mastertokens.tallystick.dev"
    ),
    Wall(RBAC, "clusterroles", "ClusterRole", "tallystick-edit"),
    Wall(RBAC, "clusterroles", "ClusterRole", "tallystick-usecase-federated-repo"),
    Wall(RBAC, "clusterrolebindings", "ClusterRoleBinding", Installation().cluster_name("exchange")),
    Wall("coordination.k8s.io", "leases", "Lease", LEASE_NAME, OURS),
    Wall("", "secrets", "Secret", KEYRING_SECRET, OURS),
    Wall("", "serviceaccounts", "ServiceAccount", Installation().name_of("exchange"), OURS),
    Wall("", "namespaces", "Namespace", OURS),
)


@pytest.fixture(scope="module")
def cast(admin: Api, make_namespace: Callable[[str], str], system: System) -> Iterator[Cast]:
    with make_cast(admin, make_namespace, system) as everybody:
        yield everybody


@pytest.mark.parametrize("user", EVERYBODY)
def test_no_one_touches_what_keeps_the_rules(cast: Cast, admin: Api, user: str) -> None:
    api = cast.actor(user)
    before = {wall: admin.get(wall.body)["metadata"]["uid"] for wall in WALLS}

    heard = {
        (wall.resource, wall.name): (
            said(api.merge(wall.body, {"metadata": {"labels": {"mine": "true"}}}, dry_run=True)),
            said(api.delete(wall.body, dry_run=True)),
        )
        for wall in WALLS
    }

    assert heard == {
        (wall.resource, wall.name): tuple(
            cannot(user, verb, wall.resource, namespace_of(wall), group=wall.group) for verb in ("patch", "delete")
        )
        for wall in WALLS
    }
    assert {wall: admin.get(wall.body)["metadata"]["uid"] for wall in WALLS} == before


def namespace_of(wall: Wall) -> str:
    """RBAC asks for a Namespace in itself."""
    return wall.name if wall.kind == "Namespace" else wall.namespace


@pytest.mark.parametrize("user", EVERYBODY)
def test_no_one_reads_the_keyring_or_asks_for_a_token_of_ours(cast: Cast, user: str) -> None:
    api, root = cast.actor(user), f"/api/v1/namespaces/{OURS}"

    heard = [
        said(api.attempt("GET", f"{root}/secrets/{KEYRING_SECRET}")),
        said(api.attempt("GET", f"{root}/secrets")),
        said(api.attempt("POST", f"{root}/serviceaccounts/exchange/token")),
    ]

    assert heard == [
        cannot(user, "get", "secrets", OURS, group=""),
        cannot(user, "list", "secrets", OURS, group=""),
        cannot(user, "create", "serviceaccounts/token", OURS, group=""),
    ]


@pytest.mark.parametrize("user", ["star", "tenant", "reader"])
def test_a_user_who_only_sees_or_orders_tokens_reads_none(cast: Cast, user: str) -> None:
    # R7: who reads Secrets holds tokens. No role of ours gives that, and `view` of Kubernetes neither.
    site, root = cast.site, f"/api/v1/namespaces/{cast.site.namespace}/secrets"
    site.issue(f"unread-by-{user}")
    name = secret_of(site.pairing_token(f"unread-by-{user}"))["metadata"]["name"]

    heard = [said(cast.actor(user).attempt("GET", path)) for path in (f"{root}/{name}", root)]

    assert heard == [cannot(user, verb, "secrets", site.namespace, group="") for verb in ("get", "list")]


# The administrator of a namespace, who may bind roles there.

HELD_BY_STAR = '{APIGroups:["tallystick.dev"], Resources:["*"], Verbs:["*"]}'
NOT_HELD = {
    "tallystick-edit": (
        '{APIGroups:["tallystick.dev"], Resources:["connectionconfigurations"], '
        'Verbs:["create" "update" "patch" "delete"]}\n'
        '{APIGroups:["tallystick.dev"], Resources:["devices"], Verbs:["update" "patch" "delete"]}\n'
        '{APIGroups:["tallystick.dev"], Resources:["joinkeys"], Verbs:["create" "update" "patch" "delete"]}\n'
        '{APIGroups:["tallystick.dev"], Resources:["masterkeys"], Verbs:["create" "update" "patch" "delete"]}\n'
        '{APIGroups:["tallystick.dev"], Resources:["mastertokens"], Verbs:["update" "patch" "delete"]}\n'
        '{APIGroups:["tallystick.dev"], Resources:["pairingtokens"], Verbs:["create" "update" "patch" "delete"]}\n'
        '{APIGroups:["tallystick.dev"], Resources:["tokenrotations"], Verbs:["create" "update" "patch" "delete"]}'
    ),
    "tallystick-usecase-federated-repo": (
        '{APIGroups:["tallystick.dev"], Resources:["usecases"], ResourceNames:["federated-repo"], Verbs:["use"]}'
    ),
    "tallystick-introspect": (
        '{APIGroups:["tallystick.dev"], Resources:["connectionconfigurations"], Verbs:["introspect"]}\n'
        '{APIGroups:["tallystick.dev"], Resources:["devices"], Verbs:["introspect"]}\n'
        '{APIGroups:["tallystick.dev"], Resources:["mastertokens"], Verbs:["introspect"]}\n'
        '{APIGroups:["tallystick.dev"], Resources:["pairingtokens"], Verbs:["introspect"]}'
    ),
    STAR: HELD_BY_STAR,
}


@pytest.mark.parametrize("role", NOT_HELD)
def test_the_administrator_of_a_namespace_gives_no_one_what_they_lack_themselves(cast: Cast, role: str) -> None:
    before = world(cast.site)

    heard = [said(cast.boss.create(binding(cast, role, to=user), dry_run=True)) for user in ("boss", "reader")]

    refused = (
        'user "boss" (groups=["system:authenticated"]) is attempting to grant RBAC permissions not currently held:'
    )
    assert heard == [f"{refused}\n{NOT_HELD[role]}"] * 2
    assert world(cast.site) == before


def test_the_administrator_of_a_namespace_writes_no_role_for_our_kinds(cast: Cast) -> None:
    metadata = {"name": "mine", "namespace": cast.site.namespace}
    rules = [{"apiGroups": ["tallystick.dev"], "resources": ["*"], "verbs": ["*"]}]
    role = {"apiVersion": f"{RBAC}/v1", "kind": "Role", "metadata": metadata, "rules": rules}

    answer = cast.boss.create(role, dry_run=True)

    assert said(answer).endswith(f"is attempting to grant RBAC permissions not currently held:\n{HELD_BY_STAR}")


@pytest.mark.parametrize("user", ["ann", "star", "reader"])
def test_an_editor_binds_no_role_at_all(cast: Cast, user: str) -> None:
    answer = cast.actor(user).create(binding(cast, "tallystick-view", to=user), dry_run=True)

    assert said(answer) == cannot(user, "create", "rolebindings", cast.site.namespace, group=RBAC)


def binding(cast: Cast, role: str, *, to: str) -> Json:
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": f"{to}-{role}-by-boss", "namespace": cast.site.namespace},
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": RBAC, "kind": "User", "name": to}],
    }


# The role `edit` of Kubernetes lets its holder impersonate the ServiceAccounts of the namespace.


def test_an_editor_impersonates_no_account_of_ours(cast: Cast, admin: Api, system: System) -> None:
    namespace, plural = cast.site.namespace, "pairingtokens"
    robot, name = robot_of(cast, admin), f"system:serviceaccount:{namespace}:robot"
    url = f"{admin.server}/apis/tallystick.dev/v1alpha1/namespaces/{namespace}/{plural}"
    refused = cannot(name, "impersonate-on:serviceaccount:list", plural, namespace)
    neighbour = f"system:serviceaccount:{namespace}:default"
    tried = {
        Installation().service_account("exchange"): refused,
        Installation().service_account("controller"): refused,
        neighbour: cannot(neighbour, "list", plural, namespace),  # this one may be, and has no rights
    }

    with urllib3.PoolManager(ssl_context=ssl.create_default_context(cadata=system.plane.ca_pem)) as pool:
        heard = {}
        for account in tried:
            headers = {"Authorization": f"Bearer {robot}", "Impersonate-User": account}
            message = pool.request("GET", url, headers=headers, retries=False).json()["message"]
            heard[account] = message.removeprefix(f"{plural}.tallystick.dev is forbidden: ")

    assert heard == tried


def robot_of(cast: Cast, admin: Api) -> str:
    """Give a token of a ServiceAccount that is an editor."""
    namespace = cast.site.namespace
    account = {"kind": "ServiceAccount", "metadata": {"name": "robot", "namespace": namespace}}
    admin.create({"apiVersion": "v1", **account}).must_succeed()
    grant(admin, namespace, f"system:serviceaccount:{namespace}:robot", "edit")
    return admin.request_token(namespace, "robot")
