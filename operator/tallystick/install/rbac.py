"""Who may do what: two ServiceAccounts with no more than they need, and ClusterRoles for people to bind.

There is no wildcard, and no right to escalate, bind or impersonate.
"""

from typing import Any

from tallystick.api.connection_configuration import CONNECTION_CONFIGURATIONS
from tallystick.api.master_token import MASTER_TOKENS
from tallystick.api.meta import GROUP
from tallystick.api.pairing_token import PAIRING_TOKENS
from tallystick.domain.names import KEYRING_SECRET
from tallystick.install.installation import CONTROLLER, EXCHANGE, Installation

Json = dict[str, Any]

_RBAC = "rbac.authorization.k8s.io"
_OURS = [PAIRING_TOKENS.plural, MASTER_TOKENS.plural, CONNECTION_CONFIGURATIONS.plural]
_STATUS = [f"{plural}/status" for plural in _OURS]
# The exchange reads connections, and records nothing of them in their objects.
_REDEEMED_STATUS = [f"{PAIRING_TOKENS.plural}/status", f"{MASTER_TOKENS.plural}/status"]


def rbac(installation: Installation) -> list[Json]:
    """Build namespace, ServiceAccounts, roles and bindings, in the order in which they are installed."""
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": installation.namespace}},
        *(_service_account(name, installation) for name in (CONTROLLER, EXCHANGE)),
        *_where_it_works(CONTROLLER, CONTROLLER_RULES, installation),
        *_role(CONTROLLER, CONTROLLER_HOME_RULES, installation.namespace, installation, suffix="-home"),
        *_where_it_works(EXCHANGE, EXCHANGE_RULES, installation),
        *_cluster_role(EXCHANGE, EXCHANGE_REVIEW_RULES, installation, suffix="-reviews"),
        *_role(EXCHANGE, EXCHANGE_HOME_RULES, installation.namespace, installation, suffix="-home"),
        *user_roles(installation),
    ]


def user_roles(installation: Installation) -> list[Json]:
    """Build the ClusterRoles that people bind; none is bound by us."""
    return [
        _unbound("tallystick-view", [_allow(GROUP, _OURS, ["get", "list", "watch"])], aggregate_to="view"),
        # Not part of `edit`: to create a pairing token is to mint trust, and somebody has to mean it.
        _unbound("tallystick-edit", EDITOR_RULES),
        _unbound("tallystick-introspect", [_allow(GROUP, _OURS, ["introspect"])]),
        *(
            _unbound(f"tallystick-usecase-{name}", [_allow(GROUP, ["usecases"], ["use"], names=[name])])
            for name in installation.use_cases
        ),
    ]


def _allow(group: str, resources: list[str], verbs: list[str], *, names: list[str] | None = None) -> Json:
    allowed: Json = {"apiGroups": [group], "resources": resources, "verbs": verbs}
    return allowed | {"resourceNames": names} if names else allowed


_KEEP_SECRETS = _allow("", ["secrets"], ["get", "list", "watch", "create", "update", "delete"])

CONTROLLER_RULES = [
    _allow(GROUP, _OURS, ["get", "list", "watch"]),
    _allow(GROUP, _STATUS, ["get", "update"]),
    # RBAC cannot narrow by label: in the namespaces that it serves, the controller could read every Secret.
    _KEEP_SECRETS,
    _allow("", ["events"], ["create"]),
]
CONTROLLER_HOME_RULES = [
    _allow("coordination.k8s.io", ["leases"], ["get", "create", "update"]),
    # S4: the probe, a dry run that never stores anything.
    _allow(GROUP, [PAIRING_TOKENS.plural], ["create"]),
    # What the exchange's replicas have heard of instances; deleted when nobody counts any longer.
    _allow("", ["configmaps"], ["get", "list", "delete"]),
    _KEEP_SECRETS,
    _allow("", ["events"], ["create"]),
]
EXCHANGE_RULES = [
    _allow(GROUP, [PAIRING_TOKENS.plural, CONNECTION_CONFIGURATIONS.plural], ["get"]),
    _allow(GROUP, [MASTER_TOKENS.plural], ["get", "create"]),
    _allow(GROUP, _REDEEMED_STATUS, ["update"]),
    _allow("", ["events"], ["create"]),
]
EXCHANGE_REVIEW_RULES = [
    _allow("authentication.k8s.io", ["tokenreviews"], ["create"]),
    _allow("authorization.k8s.io", ["subjectaccessreviews"], ["create"]),
]
EXCHANGE_HOME_RULES = [
    _allow("", ["secrets"], ["get", "watch"], names=[KEYRING_SECRET]),
    # RBAC cannot narrow a create by name: an admission policy keeps it to its own (policies.py, instances).
    _allow("", ["configmaps"], ["get", "create", "update"]),
]
EDITOR_RULES = [
    _allow(
        GROUP,
        [PAIRING_TOKENS.plural, CONNECTION_CONFIGURATIONS.plural],
        ["get", "list", "watch", "create", "update", "patch", "delete"],
    ),
    # R94: all that can be edited of a master token is its revocation.
    _allow(GROUP, [MASTER_TOKENS.plural], ["get", "list", "watch", "update", "patch", "delete"]),
]


def _where_it_works(account: str, rules: list[Json], installation: Installation) -> list[Json]:
    """Grant in the watched namespaces, or in the whole cluster where all are watched."""
    if not installation.watch_namespaces:
        return _cluster_role(account, rules, installation)
    return [
        part
        for namespace in sorted(installation.watch_namespaces)
        for part in _role(account, rules, namespace, installation)
    ]


def _service_account(name: str, installation: Installation) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": name, "namespace": installation.namespace},
    }


def _cluster_role(account: str, rules: list[Json], installation: Installation, *, suffix: str = "") -> list[Json]:
    metadata = {"name": installation.cluster_name(account + suffix)}
    return _granted("ClusterRole", metadata, rules, account, installation)


def _role(
    account: str, rules: list[Json], namespace: str, installation: Installation, *, suffix: str = ""
) -> list[Json]:
    # The name carries release and namespace here too: two installations may watch the same namespace.
    metadata = {"name": installation.cluster_name(account + suffix), "namespace": namespace}
    return _granted("Role", metadata, rules, account, installation)


def _granted(kind: str, metadata: Json, rules: list[Json], account: str, installation: Installation) -> list[Json]:
    """Build a role together with its binding to one of our ServiceAccounts."""
    api_version = f"{_RBAC}/v1"
    return [
        {"apiVersion": api_version, "kind": kind, "metadata": metadata, "rules": rules},
        {
            "apiVersion": api_version,
            "kind": f"{kind}Binding",
            "metadata": metadata,
            "roleRef": {"apiGroup": _RBAC, "kind": kind, "name": metadata["name"]},
            "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": installation.namespace}],
        },
    ]


def _unbound(name: str, rules: list[Json], *, aggregate_to: str = "") -> Json:
    metadata: Json = {"name": name}
    if aggregate_to:
        metadata["labels"] = {f"{_RBAC}/aggregate-to-{aggregate_to}": "true"}
    return {"apiVersion": f"{_RBAC}/v1", "kind": "ClusterRole", "metadata": metadata, "rules": rules}
