"""The admission policies of cluster keys: `targets` protects the keys of a namespace, `master-keys` protects users.

The API server itself evaluates them, so no webhook can be unavailable.
"""

from tallystick.clusterkeys.api.join_key import JOIN_KEYS
from tallystick.clusterkeys.api.join_key_rules import MOST_TARGETS
from tallystick.clusterkeys.api.master_key import MASTER_KEYS
from tallystick.install.installation import Installation
from tallystick.install.part import InstallPart, refuses
from tallystick.install.policies import Json, policy, rule
from tallystick.install.rbac import allow, unbound
from tallystick.schema.meta import API_VERSION

VIEWED_SECRET = "default-join-key"  # noqa: S105 - the name of a Secret

# A target counts as added if the key may reach a namespace that it did not reach before: also after an edit of
# secretRef, because the Secret of that name can hold the key of another cluster.
_ADDED = (
    "object.spec.?targets.orValue([]).filter(t, t.namespace != object.metadata.namespace && "
    "(request.operation == 'CREATE' || "
    "object.spec.?secretRef.?name.orValue('') != oldObject.spec.?secretRef.?name.orValue('') || "
    "!oldObject.spec.?targets.orValue([]).exists(o, o.namespace == t.namespace && "
    "o.?secretName.orValue('') == t.?secretName.orValue(''))))"
)
# The policy always rejects a JoinKey of this name, so that the installer can check it (docs/rules.md#s6).
TARGETS_PROBE = "tallystick-targets-probe"
TARGETS_ARE_CHECKED = (
    f"the name {TARGETS_PROBE} is reserved for the check that this policy is in force; use another name"
)


def _targets(installation: Installation) -> list[Json]:
    """Let a user share a key only if he may read it here and create a Secret there (docs/rules.md#s21).

    A check by the authorizer costs 350,000 of the 1,000,000 units that one expression may cost. So each target has an
    expression of its own.
    """
    probe = {
        "expression": f"!has(object.metadata.name) || object.metadata.name != '{TARGETS_PROBE}'",
        "message": TARGETS_ARE_CHECKED,
    }
    # The schema rejects further targets. Without this expression, they would be shared unchecked if it did not.
    bounded = {
        "expression": f"variables.added.size() <= {MOST_TARGETS}",
        "message": f"targets must have at most {MOST_TARGETS} items",
        "reason": "Forbidden",
    }
    here = _permitted("get", "object.metadata.namespace", unless="variables.added.size() == 0")
    there = (
        _permitted("create", f"variables.added[{place}].namespace", unless=f"variables.added.size() <= {place}")
        for place in range(MOST_TARGETS)
    )
    spec = {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": [rule(["CREATE", "UPDATE"], JOIN_KEYS)]},
        "variables": [{"name": "added", "expression": _ADDED}],
        "validations": [probe, bounded, here, *there],
    }
    return policy("ValidatingAdmissionPolicy", "targets", spec, installation)


def _permitted(verb: str, namespace: str, *, unless: str) -> Json:
    needed = f"to share a join key with another namespace, you need permission to {verb} Secrets in "
    may = f"authorizer.group('').resource('secrets').namespace({namespace}).check('{verb}').allowed()"
    return {
        "expression": f"{unless} || {may}",
        "messageExpression": f"'{needed}namespace ' + {namespace}",
        "message": f"{needed}each namespace",
        "reason": "Forbidden",
    }


def _master_keys(installation: Installation) -> list[Json]:
    """Keep a MasterKey that join keys name, unless its namespace is deleted with all that is in it."""
    remedy = "delete them, or set another MasterKey in their spec.masterKeyRef, first"
    spec = {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": [rule(["DELETE"], MASTER_KEYS)]},
        "variables": [{"name": "total", "expression": "oldObject.?status.?joinKeys.?total.orValue(0)"}],
        "validations": [
            {
                "expression": "variables.total == 0 || has(namespaceObject.metadata.deletionTimestamp)",
                "messageExpression": (
                    "string(variables.total) + (variables.total == 1 ? ' join key names' : ' join keys name') + "
                    f"' this master key: {remedy}'"
                ),
                "message": f"join keys name this master key: {remedy}",
                "reason": "Forbidden",
            }
        ],
    }
    return policy("ValidatingAdmissionPolicy", "master-keys", spec, installation)


def install_part(installation: Installation) -> InstallPart:
    """Build the policies of this feature, and the role that may read the first join key and no other."""
    viewer = unbound("tallystick-key-viewer", [allow("", ["secrets"], ["get"], names=[VIEWED_SECRET])])
    probed = {
        "apiVersion": API_VERSION,
        "kind": JOIN_KEYS.kind,
        "metadata": {"name": TARGETS_PROBE, "namespace": installation.namespace},
        "spec": {},
    }
    return InstallPart(
        policies=[*_targets(installation), *_master_keys(installation)],
        roles=[viewer],
        probes={"targets of join keys are checked": refuses(JOIN_KEYS, probed, TARGETS_ARE_CHECKED)},
    )
