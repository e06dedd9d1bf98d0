"""The admission policies of a fleet: `devices` limits who creates one, `fleets` and `finished` protect users.

The API server itself evaluates them, so no webhook can be unavailable.
"""

from tallystick.fleet.api.device import DEVICES
from tallystick.fleet.api.token_rotation import TOKEN_ROTATIONS
from tallystick.install.installation import EXCHANGE, Installation
from tallystick.install.part import InstallPart, refuses
from tallystick.install.policies import Json, policy, rule
from tallystick.pairing.api.device_project import FINISHED
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS
from tallystick.schema.meta import API_VERSION

ONLY_THE_EXCHANGE = "only the exchange can create a Device"
NOTHING_TO_ABORT = "the rotation has finished, so there is nothing to abort"
# It deletes an object after its owner. A rejection would only make it try again, without end.
GARBAGE_COLLECTOR = "system:serviceaccount:kube-system:generic-garbage-collector"

DEVICES_PROBE = "d-" + "a" * 26


def _devices(installation: Installation) -> list[Json]:
    """Allow only the exchange to create a Device (docs/rules.md#s2): an enrollment has proved a value and a key."""
    exchange = installation.service_account(EXCHANGE)
    spec = {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": [rule(["CREATE"], DEVICES)]},
        "validations": [
            {
                "expression": f"request.userInfo.username == '{exchange}'",
                "message": f"{ONLY_THE_EXCHANGE} ({exchange}); enroll with the value of a PairingToken to get one",
                "reason": "Forbidden",
            }
        ],
    }
    return policy("ValidatingAdmissionPolicy", "devices", spec, installation)


def _fleets(installation: Installation) -> list[Json]:
    """Keep a PairingToken that devices depend on, unless a user has revoked it: a prune must not end a fleet.

    A place in `enrolling` may have a Device that is not counted yet.
    """
    remedy = "set spec.revoked: true first"
    spec = {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": [rule(["DELETE"], PAIRING_TOKENS)]},
        "variables": [
            {
                "name": "devices",
                "expression": "oldObject.?status.?devices.orValue(0) + oldObject.?status.?enrolling.orValue([]).size()",
            }
        ],
        "validations": [
            {
                "expression": (
                    "variables.devices == 0 || oldObject.spec.?revoked.orValue(false) || "
                    "has(namespaceObject.metadata.deletionTimestamp) || "
                    f"request.userInfo.username == '{GARBAGE_COLLECTOR}'"
                ),
                "messageExpression": (
                    "string(variables.devices) + (variables.devices == 1 ? ' device depends' : ' devices depend') + "
                    f"' on this token; {remedy}'"
                ),
                "message": f"devices depend on this token; {remedy}",
                "reason": "Forbidden",
            }
        ],
    }
    return policy("ValidatingAdmissionPolicy", "fleets", spec, installation)


def _finished(installation: Installation) -> list[Json]:
    """Warn a user who aborts a rotation that has finished. The edit is allowed, so that a sync of Git succeeds."""
    spec = {
        "failurePolicy": "Ignore",  # if the warning cannot be computed, the edit is allowed
        "matchConstraints": {"resourceRules": [rule(["UPDATE"], TOKEN_ROTATIONS)]},
        "validations": [
            {
                "expression": (
                    "object.spec.desiredState != 'Aborted' || oldObject.spec.desiredState == 'Aborted' || "
                    f"!(oldObject.?status.?state.orValue('') in {[str(state) for state in FINISHED]})"
                ),
                "message": NOTHING_TO_ABORT,
            }
        ],
    }
    return policy("ValidatingAdmissionPolicy", "finished", spec, installation, actions=["Warn"])


def install_part(installation: Installation) -> InstallPart:
    """Build the policies of this feature, and the probe of the policy `devices`."""
    probed = {
        "apiVersion": API_VERSION,
        "kind": DEVICES.kind,
        "metadata": {"name": DEVICES_PROBE, "namespace": installation.namespace},
        "spec": {
            "pairingTokenRef": {"name": "probe", "uid": "probe"},
            "serial": 1,
            "generation": 1,
            "kid": "probe",
            "projectKey": "probe",
        },
    }
    return InstallPart(
        policies=[*_devices(installation), *_fleets(installation), *_finished(installation)],
        probes={"only the exchange can create Devices": refuses(DEVICES, probed, ONLY_THE_EXCHANGE)},
    )
