"""Give users of the tests the ClusterRoles that an installation ships."""

from tests.harness.api import Api
from tests.harness.processes import poll

RBAC = "rbac.authorization.k8s.io"


def grant(admin: Api, namespace: str, user: str, cluster_role: str, *, kind: str = "User") -> None:
    """Bind a ClusterRole to a user, or to a group, in one namespace; return once the API server acts on it."""
    body = {
        "apiVersion": f"{RBAC}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": f"{user}-{cluster_role}", "namespace": namespace},
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": cluster_role},
        "subjects": [{"apiGroup": RBAC, "kind": kind, "name": user}],
    }
    admin.create(body).must_succeed()
    # The authorizer reads its own cache of bindings, which follows a little later.
    member, groups = (user, ()) if kind == "User" else ("a-member", (user,))
    poll(lambda: _in_force(admin, namespace, member, groups, cluster_role))


def _in_force(admin: Api, namespace: str, user: str, groups: tuple[str, ...], cluster_role: str) -> bool:
    role = admin.get({"kind": "ClusterRole", "metadata": {"name": cluster_role}})
    rule = role["rules"][0]
    (name,) = rule.get("resourceNames", [""])
    return admin.allowed(
        user,
        rule["verbs"][0],
        rule["resources"][0],
        namespace=namespace,
        name=name,
        group=rule["apiGroups"][0],
        member_of=groups,
    )
