"""TokenRotation: the roll-out of a new token to the devices of a project (docs/rules.md#r3)."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from tallystick.fleet.api.fields import FailureMessage, FailureReason
from tallystick.fleet.api.strategy import BatchName, DesiredState, OldToken, RotationCause, RotationTarget, Strategy
from tallystick.fleet.api.token_rotation_rules import COUNT_RULES, ROOT_RULES, SPEC_RULES
from tallystick.pairing.api.device_project import Count, DeviceName, RotationState
from tallystick.schema.fields import Identifier, Serial
from tallystick.schema.meta import (
    AGE,
    GROUP,
    VERSION,
    Column,
    Conditions,
    Model,
    ObjectMeta,
    ObjectStatus,
    Resource,
    Rule,
)

TOKEN_ROTATIONS = Resource(GROUP, VERSION, "tokenrotations", "TokenRotation")

MOST_BATCHES = 21  # those of the strategy, and the rest
MOST_FAILED = 20

BatchNumber = Annotated[int, Field(ge=1, le=MOST_BATCHES)]


class TokenRotationSpec(Model):
    """spec is the requested rotation."""

    RULES: ClassVar[Sequence[Rule]] = SPEC_RULES

    target_ref: RotationTarget = Field(description="targetRef refers to the token to rotate. Immutable.")
    reason: RotationCause = Field(
        default=RotationCause.ROUTINE,
        description="reason is Routine or Compromised. With Compromised, failures never halt the rotation, and a "
        "device without a key fails: it must enroll again. Immutable. Default: Routine.",
    )
    old_token: OldToken = Field(
        default=OldToken.REVOKE_WHEN_PROVED,
        description="oldToken is RevokeWhenProved if the old copy of a device stays valid until the device has used "
        "the new one. RevokeImmediately revokes all old copies at the start; it is for reason Compromised. Immutable. "
        "Default: RevokeWhenProved.",
    )
    desired_state: DesiredState = Field(
        default=DesiredState.RUNNING,
        description="desiredState is Running, Paused or Aborted. With Paused, no further device starts. Aborted ends "
        "the rotation for good; devices that have started may finish. Default: Running.",
    )
    open_batches: BatchNumber | None = Field(
        default=None,
        description="openBatches is the number of batches that may run, between 1 and 21. Raise it to open the next "
        "batch. It can be removed, and neither lowered nor added. Default: all batches may run.",
    )
    strategy: Strategy = Field(
        default_factory=Strategy, description="strategy specifies the order and the pace of the rotation."
    )


class OpenGate(Model):
    """open specifies which devices may start. Absent: none."""

    batch: BatchNumber = Field(
        description="batch is the number of the last open batch. All devices of earlier batches may start."
    )
    through: DeviceName | None = Field(
        default=None,
        description="through is the name of the last device of that batch that may start, in the order of names. "
        "Absent: all of its devices may start.",
    )
    until: datetime | None = Field(
        default=None,
        description="until is the time at which the window ends, and with it the permission. Absent: it has no end.",
    )


class BatchStatus(Model):
    """The status of one batch."""

    name: BatchName = Field(description="name is the name of the batch.")
    total: Count = Field(default=0, description="total is the number of devices of the batch.")
    pending: Count = Field(default=0, description="pending is the number of devices that have not started.")
    in_progress: Count = Field(
        default=0, description="inProgress is the number of devices that got the new copy and have not used it."
    )
    succeeded: Count = Field(default=0, description="succeeded is the number of devices that used the new copy.")
    failed: Count = Field(default=0, description="failed is the number of devices that failed.")
    through: DeviceName | None = Field(
        default=None,
        description="through is the name of the last device of the batch, in the order of names. Absent if the batch "
        "has no limit.",
    )
    done_time: datetime | None = Field(
        default=None, description="doneTime is the time at which enough devices had succeeded. Absent: not yet."
    )


class DeviceCounts(Model):
    """devices is the number of devices in each state."""

    RULES: ClassVar[Sequence[Rule]] = COUNT_RULES

    total: Count = Field(default=0, description="total is the number of devices, and the sum of the other numbers.")
    pending: Count = Field(default=0, description="pending is the number of devices that have not started.")
    in_progress: Count = Field(
        default=0, description="inProgress is the number of devices that got the new copy and have not used it."
    )
    succeeded: Count = Field(default=0, description="succeeded is the number of devices that used the new copy.")
    failed: Count = Field(default=0, description="failed is the number of devices that failed.")
    no_rotation: Count = Field(
        default=0, description="noRotation is the number of devices that an abort has left with their old copy."
    )


class FailedDevice(Model):
    """A device that failed."""

    name: DeviceName = Field(description="name is the name of the Device.")
    reason: FailureReason = Field(description="reason is the reason of the failure, in CamelCase.")
    message: FailureMessage | None = Field(default=None, description="message explains the failure in one line.")
    time: datetime = Field(description="time is the time of the failure.")


class TokenRotationStatus(ObjectStatus):
    """status is the most recently observed status. The controller sets it, at most once a second; it is read-only."""

    state: RotationState | None = Field(
        default=None,
        description="state is the state of the rotation: Pending, Running, Paused, Halted, Aborting, Succeeded, Failed "
        "or Aborted. While Halted, too many devices have failed, and no further one starts.",
    )
    generation: Serial | None = Field(
        default=None, description="generation is the generation that the rotation rolls out."
    )
    old_token_id: Identifier | None = Field(
        default=None, description="oldTokenID is the `jti` claim of the value that devices enrolled with before."
    )
    new_token_id: Identifier | None = Field(
        default=None, description="newTokenID is the `jti` claim of the value that devices enroll with now."
    )
    start_time: datetime | None = Field(
        default=None, description="startTime is the time at which the rotation started, and the old value ended."
    )
    finish_time: datetime | None = Field(
        default=None, description="finishTime is the time at which the rotation finished. Absent: not yet."
    )
    batch: Annotated[str, StringConstraints(max_length=5, pattern=r"^[0-9]{1,2}/[0-9]{1,2}$")] | None = Field(
        default=None, description="batch is the number of the last open batch, and of all, such as 2/3."
    )
    open: OpenGate | None = Field(default=None, description="open specifies which devices may start. Absent: none.")
    batches: Annotated[list[BatchStatus], Field(max_length=MOST_BATCHES)] = Field(
        default_factory=list, description="batches lists the batches in their order, with the devices in each state."
    )
    devices: DeviceCounts | None = Field(
        default=None, description="devices is the number of devices in each state. They sum to the total."
    )
    failed_devices: Annotated[list[FailedDevice], Field(max_length=MOST_FAILED)] = Field(
        default_factory=list, description="failedDevices lists the devices that failed, the newest 20."
    )
    conditions: Conditions = Field(
        default_factory=list,
        description="conditions contains Succeeded, which is Unknown while the rotation runs. It contains Reconciling "
        "or Stalled while they are True.",
    )


def _devices(name: str, member: str, what: str, priority: int = 0) -> Column:
    return Column(name, f".status.devices.{member}", f"Devices {what}.", type="integer", priority=priority)


class TokenRotation(Model):
    """A TokenRotation gives a new token to each device of a project, in batches, without locking one out."""

    RESOURCE: ClassVar[Resource] = TOKEN_ROTATIONS
    SHORT_NAMES: ClassVar[Sequence[str]] = ("trot",)
    SELECTABLE: ClassVar[Sequence[str]] = (".spec.targetRef.name", ".status.state")
    COLUMNS: ClassVar[Sequence[Column]] = (
        Column("State", ".status.state", "State of the rotation."),
        Column("Batch", ".status.batch", "Last open batch, of all batches."),
        _devices("Pending", "pending", "that have not started"),
        _devices("In Progress", "inProgress", "that got the new copy and have not used it"),
        _devices("Succeeded", "succeeded", "that used the new copy"),
        _devices("Failed", "failed", "that failed"),
        _devices("Total", "total", "of the rotation"),
        # The state says as much where a screen has no place for the reason beside the numbers.
        Column("Reason", ".status.conditions[0].reason", "Reason of condition Succeeded.", priority=1),
        _devices("No Rotation", "noRotation", "that an abort has left with their old copy", priority=1),
        Column("Target", ".spec.targetRef.name", "PairingToken that is rotated.", priority=1),
        Column("Token ID", ".status.newTokenID", "`jti` claim of the new value.", priority=1),
        Column("Message", ".status.conditions[0].message", "Message of condition Succeeded.", priority=1),
        AGE,
    )
    RULES: ClassVar[Sequence[Rule]] = ROOT_RULES

    metadata: ObjectMeta
    spec: TokenRotationSpec
    status: TokenRotationStatus = Field(default_factory=TokenRotationStatus)
