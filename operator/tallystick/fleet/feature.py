"""A fleet: the kinds Device and TokenRotation."""

from typing import Any

from tallystick.controller.part import ControllerContext, ControllerPart
from tallystick.feature import Feature, NoSettings
from tallystick.fleet.admission import install_part
from tallystick.fleet.api.device import DEVICES, Device
from tallystick.fleet.api.token_rotation import TOKEN_ROTATIONS, TokenRotation
from tallystick.fleet.command_line import COMMAND_LINE
from tallystick.fleet.domain.copies import keys_in_use
from tallystick.fleet.domain.readings import device_facts
from tallystick.fleet.domain.token_types import TOKEN_TYPES
from tallystick.fleet.services.device_index import DeviceIndex
from tallystick.fleet.services.devices import Devices
from tallystick.fleet.services.projects import Projects
from tallystick.fleet.services.rotation_start import target_index
from tallystick.fleet.services.token_rotations import TokenRotations
from tallystick.fleet.web.openapi import API
from tallystick.fleet.web.part import exchange_part
from tallystick.objects.kind import READ, Kind
from tallystick.pairing.api.device_project import FINISHED, RotationState
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS
from tallystick.runtime.gauges import Gauge, Reading

Json = dict[str, Any]

_TIME = "2026-01-01T00:00:00Z"
_TYPICAL_DEVICE: Json = {
    "metadata": {
        "name": "d-",
        "namespace": "default",
        "uid": "",
        "generation": 1,
        "creationTimestamp": _TIME,
        "labels": {"site": ""},
        "ownerReferences": [
            {"apiVersion": "tallystick.dev/v1alpha1", "kind": "PairingToken", "name": "", "uid": "", "controller": True}
        ],
    },
    "spec": {
        "displayName": "",
        "generation": 1,
        "keyThumbprint": "",
        "kid": "",
        "pairingTokenRef": {"name": "", "uid": ""},
        "projectKey": "",
        "revoked": False,
        "serial": 1,
    },
    "status": {
        "conditions": [
            {
                "lastTransitionTime": _TIME,
                "message": "the device uses its copy of generation 1",
                "observedGeneration": 1,
                "reason": "Active",
                "status": "True",
                "type": "Ready",
            }
        ],
        "generation": 1,
        "kid": "",
        "lastSeenTime": _TIME,
        "observedGeneration": 1,
        "offer": {"generation": 2, "kid": "", "rotation": "", "time": _TIME, "tokenID": ""},
        "provedTime": _TIME,
        "state": "Active",
        "tokenID": "",
    },
}
_TYPICAL_ROTATION: Json = {
    "metadata": {
        "name": "rot-",
        "namespace": "default",
        "uid": "",
        "generation": 1,
        "creationTimestamp": _TIME,
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}\n"},
    },
    "spec": {
        "desiredState": "Running",
        "oldToken": "RevokeWhenProved",
        "reason": "Routine",
        "strategy": {
            "batches": [{"limit": "10%", "name": "canary"}],
            "inProgressTimeout": "5m",
            "maxFailures": "10%",
            "minSuccessTime": "0s",
            "successThreshold": "90%",
        },
        "targetRef": {"kind": "PairingToken", "name": ""},
    },
    "status": {
        "batch": "1/2",
        "batches": [
            {"failed": 0, "inProgress": 0, "name": "canary", "pending": 0, "succeeded": 0, "through": "d-", "total": 0},
            {"failed": 0, "inProgress": 0, "name": "rest", "pending": 0, "succeeded": 0, "total": 0},
        ],
        "conditions": [
            {
                "lastTransitionTime": _TIME,
                "message": "all 0 devices have used the new copy",
                "observedGeneration": 1,
                "reason": "Completed",
                "status": "True",
                "type": "Succeeded",
            }
        ],
        "devices": {"failed": 0, "inProgress": 0, "noRotation": 0, "pending": 0, "succeeded": 0, "total": 0},
        "failedDevices": [],
        "finishTime": _TIME,
        "generation": 2,
        "newTokenID": "",
        "observedGeneration": 1,
        "oldTokenID": "",
        "startTime": _TIME,
        "state": "Succeeded",
    },
}


def _target(body: Json) -> str:
    """Return the text by which the rotations of a PairingToken are found. It has a name and no uid in the spec."""
    return target_index(body["metadata"]["namespace"], body["spec"]["targetRef"]["name"])


KINDS = (
    # A Device has no owner here: each event of a PairingToken would reconcile all of its devices again.
    Kind(
        model=Device,
        typical=_TYPICAL_DEVICE,
        signing_keys=lambda body, _: set(keys_in_use(device_facts(body), None)),
        editor=(*READ, "update", "patch", "delete"),  # the exchange creates devices
        exchange=("get", "create"),
        exchange_status=True,
        paged=True,  # the exchange writes up to 100,000 devices
    ),
    Kind(model=TokenRotation, typical=_TYPICAL_ROTATION, owner_uid=_target),
)

_RUNNING = tuple(state for state in RotationState if state not in FINISHED)
_STANDINGS = ("pending", "in_progress", "succeeded", "failed")
ROTATIONS_BY_STATE = Gauge(
    name="tallystick_token_rotations",
    help="Number of TokenRotations that have not finished, by state: pending, running, paused, halted or aborting.",
    label="state",
    values=tuple(state.lower() for state in _RUNNING),
)
ROTATING_DEVICES = Gauge(
    name="tallystick_rotating_devices",
    help="Number of devices of the rotations that run, by state: pending, in_progress, succeeded or failed.",
    label="state",
    values=_STANDINGS,
)


def readings(rotations: TokenRotations, index: DeviceIndex) -> dict[Gauge, Reading]:
    """Return the figures of the gauges."""

    def devices(standing: str) -> int:
        return sum(getattr(batch, standing) for tally in index.tallies() for batch in tally.counts)

    return {
        ROTATIONS_BY_STATE: lambda state: rotations.running(RotationState(state.capitalize())),
        ROTATING_DEVICES: devices,
    }


def controller_part(context: ControllerContext[NoSettings]) -> ControllerPart:
    """Build the part of a controller process."""
    cluster, cache, ctx, look_again = context.cluster, context.cache, context.ctx, context.look_again
    index = DeviceIndex(cluster, cache, ctx.clock, look_again)
    rotations = TokenRotations(cluster, cache, index, look_again, ctx)
    return ControllerPart(
        reconcilers={
            DEVICES: index.following(Devices(cluster, cache, context.signer, ctx)),
            TOKEN_ROTATIONS: rotations,
        },
        followers={PAIRING_TOKENS: Projects(cluster, cache, index, look_again, ctx)},
        readings=readings(rotations, index),
    )


FEATURE = Feature(
    kinds=KINDS,
    token_types=TOKEN_TYPES,
    settings=NoSettings,
    gauges=(ROTATIONS_BY_STATE, ROTATING_DEVICES),
    controller=controller_part,
    api=API,
    exchange=exchange_part,
    installation=lambda installation, _: install_part(installation),
    commands=COMMAND_LINE.commands,
    command_groups=COMMAND_LINE.groups,
)
