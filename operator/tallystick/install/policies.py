"""The admission policies: who may write what (S2), who asked (S4), for what (S5), and what may not go yet (S7).

They are checked by the API server itself, so there is no webhook that could be down. Each one fails closed.
"""

from collections.abc import Sequence
from typing import Any

from tallystick.api.connection_configuration import CONNECTION_CONFIGURATIONS
from tallystick.api.core import CONFIG_MAPS
from tallystick.api.master_token import MASTER_TOKENS
from tallystick.api.meta import GROUP, Resource
from tallystick.api.pairing_token import PAIRING_TOKENS
from tallystick.domain.names import INSTANCES_PREFIX
from tallystick.domain.requester import GUARD_REFUSES_CHANGED, GUARD_REFUSES_FORGED, RequesterMode
from tallystick.install.installation import CONTROLLER, EXCHANGE, Installation

Json = dict[str, Any]

API_VERSION = "admissionregistration.k8s.io/v1"

# A PairingToken of this name is always refused: so whoever installs can see when the guard is in force (S6).
GUARD_PROBE = "tallystick-guard-probe"
GUARD_IS_IN_FORCE = f"{GUARD_PROBE} is a reserved name: the guard refuses it to show that it is in force"
WRITERS_REFUSE_CREATE = "a master token is made by the exchange, never by hand"

_MINTS = {
    "name": "mints",
    "expression": (
        "request.operation == 'CREATE' || object.spec.?serial.orValue(1) > oldObject.spec.?serial.orValue(1)"
    ),
}


def policies(installation: Installation) -> list[Json]:
    """Build every policy and its binding, in the order in which they are installed.

    The guard comes before what it guards: until the requester is stamped, it refuses to mint (S4).
    """
    built = [
        *_writers(installation),
        *_keeper(installation),
        *_instances(installation),
        *_cut_off(installation),
        *_guard(installation),
    ]
    if installation.requester is RequesterMode.POLICY:
        built += _requester(installation)
    return built


def _writers(installation: Installation) -> list[Json]:
    controller = installation.service_account(CONTROLLER)
    exchange = installation.service_account(EXCHANGE)
    ours = f"request.userInfo.username in ['{controller}', '{exchange}']"
    spec = {
        "failurePolicy": "Fail",
        "matchConstraints": {
            "resourceRules": [
                _rule(["UPDATE"], PAIRING_TOKENS, MASTER_TOKENS, CONNECTION_CONFIGURATIONS, subresource="status"),
                _rule(["CREATE"], MASTER_TOKENS),
            ]
        },
        "validations": [
            {
                "expression": f"request.operation != 'UPDATE' || {ours}",
                "message": f"the status is a record: only {controller} and {exchange} may write it",
                "reason": "Forbidden",
            },
            {
                "expression": (
                    f"request.resource.resource != '{CONNECTION_CONFIGURATIONS.plural}' || "
                    f"request.userInfo.username == '{controller}'"
                ),
                "message": f"the status of a ConnectionConfiguration is a record of {controller} alone",
                "reason": "Forbidden",
            },
            {
                "expression": f"request.operation != 'CREATE' || {ours}",
                "message": f"{WRITERS_REFUSE_CREATE}: only {exchange} and {controller} may create one",
                "reason": "Forbidden",
            },
            {
                "expression": (
                    "request.operation != 'CREATE' || has(object.spec.pairingTokenRef) || "
                    f"request.userInfo.username == '{controller}'"
                ),
                "message": f"a master token without pairingTokenRef is the bootstrap one: only {controller} makes it",
                "reason": "Forbidden",
            },
        ],
    }
    return _policy("ValidatingAdmissionPolicy", "writers", spec, installation)


def _guard(installation: Installation) -> list[Json]:
    requester = _requester_rules(installation) if installation.requester is RequesterMode.POLICY else []
    spec = {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": [_rule(["CREATE", "UPDATE"], PAIRING_TOKENS)]},
        "variables": [_MINTS],
        "validations": [
            {
                "expression": f"!has(object.metadata.name) || object.metadata.name != '{GUARD_PROBE}'",
                "message": GUARD_IS_IN_FORCE,
            },
            *requester,
            _USE_CASE_RULE,
        ],
    }
    return _policy("ValidatingAdmissionPolicy", "guard", spec, installation)


def _keeper(installation: Installation) -> list[Json]:
    """S7: a master token that outlives its PairingToken would outlive an order to revoke that goes unrecorded, too.

    A namespace that is being deleted takes the master tokens with it, so nothing is lost there.
    """
    retained = "oldObject.spec.?masterToken.?deletionPolicy.orValue('Revoke') == 'Retain'"
    recorded = (
        "oldObject.?status.?state.orValue('') == 'Revoked' && "
        "oldObject.?status.?serial.orValue(0) == oldObject.spec.?serial.orValue(1)"
    )
    spec = {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": [_rule(["DELETE"], PAIRING_TOKENS)]},
        "validations": [
            {
                "expression": (
                    f"!({retained}) || !oldObject.spec.?revoked.orValue(false) || ({recorded}) || "
                    "has(namespaceObject.metadata.deletionTimestamp)"
                ),
                "message": "the revocation is still being carried out: wait until status.state is Revoked, then delete",
            }
        ],
    }
    return _policy("ValidatingAdmissionPolicy", "keeper", spec, installation)


def _instances(installation: Installation) -> list[Json]:
    """Let the exchange write ConfigMaps of its own, and no other of the operator's namespace, such as its settings."""
    exchange = installation.service_account(EXCHANGE)
    spec = {
        "failurePolicy": "Fail",
        "matchConstraints": {
            "resourceRules": [_rule(["CREATE", "UPDATE", "DELETE"], CONFIG_MAPS)],
            "namespaceSelector": _named([installation.namespace]),
        },
        "matchConditions": [{"name": "by-the-exchange", "expression": f"request.userInfo.username == '{exchange}'"}],
        "validations": [
            {
                "expression": f"has(request.name) && request.name.startsWith('{INSTANCES_PREFIX}')",
                "message": f"the exchange writes ConfigMaps named {INSTANCES_PREFIX}* alone",
                "reason": "Forbidden",
            }
        ],
    }
    return _policy("ValidatingAdmissionPolicy", "instances", spec, installation)


def _cut_off(installation: Installation) -> list[Json]:
    """R23: revoking a token that is in use is allowed, and whoever does it is told."""
    slots = "oldObject.?status.?tokens.orValue([])"
    removed = (
        f"{slots}.filter(t, t.?state.orValue('') == 'Active' && t.?instances.orValue(0) > 0 && "
        "(request.operation == 'DELETE' || !object.spec.tokens.exists(s, s.name == t.slot)))"
    )
    spec = {
        "failurePolicy": "Ignore",  # a warning that cannot be given is no reason to refuse
        "matchConstraints": {"resourceRules": [_rule(["UPDATE", "DELETE"], CONNECTION_CONFIGURATIONS)]},
        "variables": [{"name": "removed", "expression": removed}],
        "validations": [
            {
                "expression": "variables.removed.size() == 0",
                "messageExpression": (
                    "variables.removed.map(t, 'revoking the token of slot ' + t.slot + ' cuts off ' + "
                    "string(t.instances) + (t.instances == 1 ? ' instance' : ' instances') + ' that last used it')"
                    ".join('; ')"
                ),
                "message": "revoking this token cuts off instances that last used it",
            }
        ],
    }
    return _policy("ValidatingAdmissionPolicy", "cut-off", spec, installation, actions=["Warn"])


# S5: being able to create PairingTokens gives no use case; the permission `use` on it does.
_USE_CASE_RULE: Json = {
    "expression": (
        "!variables.mints || !has(object.spec.useCase) || "
        f"authorizer.group('{GROUP}').resource('usecases').namespace(object.metadata.namespace)"
        ".name(object.spec.useCase).check('use').allowed()"
    ),
    "messageExpression": (
        "'you may not request use case ' + object.spec.useCase + ' in namespace ' + object.metadata.namespace + "
        "': ask for a RoleBinding to ClusterRole tallystick-usecase-' + object.spec.useCase"
    ),
    "message": "you may not request this use case in this namespace",
    "reason": "Forbidden",
}


def _requester_rules(installation: Installation) -> list[Json]:
    exchange = installation.service_account(EXCHANGE)
    named = "object.spec.?requestedBy.orValue('')"
    return [
        {
            "expression": (
                f"!variables.mints || {named} == request.userInfo.username || "
                f"(request.userInfo.username == '{exchange}' && {named} != '')"
            ),
            "message": GUARD_REFUSES_FORGED,
        },
        {
            "expression": f"variables.mints || {named} == oldObject.spec.?requestedBy.orValue('')",
            "message": GUARD_REFUSES_CHANGED,
        },
    ]


def _requester(installation: Installation) -> list[Json]:
    # A replace or an apply without the field gets it back; only the exchange speaks for others (S4).
    stamp = (
        f"variables.mints ? (request.userInfo.username == '{installation.service_account(EXCHANGE)}' ? Object{{}} : "
        "Object{spec: Object.spec{requestedBy: request.userInfo.username}}) : "
        "(request.operation == 'UPDATE' && has(oldObject.spec.requestedBy) && !has(object.spec.requestedBy) ? "
        "Object{spec: Object.spec{requestedBy: oldObject.spec.requestedBy}} : Object{})"
    )
    spec = {
        "failurePolicy": "Fail",
        "reinvocationPolicy": "IfNeeded",
        "matchConstraints": {"resourceRules": [_rule(["CREATE", "UPDATE"], PAIRING_TOKENS)]},
        "variables": [_MINTS],
        "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": stamp}}],
    }
    return _policy("MutatingAdmissionPolicy", "requester", spec, installation)


def _rule(operations: list[str], *resources: Resource, subresource: str = "") -> Json:
    suffix = f"/{subresource}" if subresource else ""
    return {
        "apiGroups": sorted({resource.group for resource in resources}),
        "apiVersions": ["*"],
        "operations": operations,
        "resources": [resource.plural + suffix for resource in resources],
    }


def _policy(
    kind: str, part: str, spec: Json, installation: Installation, *, actions: Sequence[str] = ("Deny",)
) -> list[Json]:
    """Build a policy with its binding. A binding is what makes a policy count, and where."""
    name = installation.cluster_name(part)
    binding: Json = {"policyName": name}
    if kind == "ValidatingAdmissionPolicy":
        binding["validationActions"] = list(actions)
    if installation.watch_namespaces:
        names = sorted({*installation.watch_namespaces, installation.namespace})
        binding["matchResources"] = {"namespaceSelector": _named(names)}
    return [
        {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec},
        {"apiVersion": API_VERSION, "kind": f"{kind}Binding", "metadata": {"name": name}, "spec": binding},
    ]


def _named(names: list[str]) -> Json:
    """Select namespaces by name.

    S2: a release binds its policies where it works, else two releases would refuse each other's writes.
    """
    return {"matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "In", "values": names}]}
