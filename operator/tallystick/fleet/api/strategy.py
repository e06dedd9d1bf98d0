"""The parts of the spec of a TokenRotation: target, batches, pace and windows."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints, WithJsonSchema

from tallystick.fleet.api.fields import NumberOrPercent, Percent, SomeOrPercent
from tallystick.fleet.api.token_rotation_rules import BATCH_RULES, STRATEGY_RULES, WINDOW_RULES
from tallystick.pairing.api.device_project import Labels, ObjectName
from tallystick.schema.fields import Duration
from tallystick.schema.meta import PRINTABLE, Model, Rule

BatchName = Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
CronSchedule = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=PRINTABLE)]
TimeZone = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_+/-]+$")]


class TargetKind(StrEnum):
    """The kind of the target of a rotation."""

    PAIRING_TOKEN = "PairingToken"  # noqa: S105 - a kind


class RotationCause(StrEnum):
    """The reason for a rotation."""

    ROUTINE = "Routine"
    COMPROMISED = "Compromised"


class OldToken(StrEnum):
    """The time at which the old copies end."""

    REVOKE_WHEN_PROVED = "RevokeWhenProved"
    REVOKE_IMMEDIATELY = "RevokeImmediately"


class DesiredState(StrEnum):
    """The order that a user gives to a rotation."""

    RUNNING = "Running"
    PAUSED = "Paused"
    ABORTED = "Aborted"


class RotationTarget(Model):
    """targetRef refers to the token to rotate, in the namespace of the rotation."""

    kind: Annotated[TargetKind, WithJsonSchema({"type": "string", "enum": [str(kind) for kind in TargetKind]})] = Field(
        description="kind is the kind of the token: PairingToken."
    )
    name: ObjectName = Field(description="name is the name of the token.")


class Selector(Model):
    """selector specifies devices by their labels."""

    match_labels: Annotated[Labels, Field(min_length=1)] = Field(
        description="matchLabels is the map of labels that a device must have, at most 16."
    )


class Batch(Model):
    """A batch is a part of the devices. It has a selector, a limit or both."""

    RULES: ClassVar[Sequence[Rule]] = BATCH_RULES

    name: BatchName = Field(description="name is the name of the batch.")
    selector: Selector | None = Field(
        default=None,
        description="selector specifies devices by their labels. Default: all devices that no earlier batch has.",
    )
    limit: SomeOrPercent | None = Field(
        default=None,
        description="limit is the largest number of devices of the batch, such as 5, or a percentage such as 10%. "
        "A percentage is of all devices, or of those that the selector matches. Default: no limit.",
    )


class Window(Model):
    """A window is a repeated period in which devices may start."""

    RULES: ClassVar[Sequence[Rule]] = WINDOW_RULES

    schedule: CronSchedule = Field(
        description="schedule is the time at which the window begins, in the format of a CronJob."
    )
    time_zone: TimeZone = Field(
        default="UTC", description="timeZone is the name of the time zone of the schedule. Default: UTC."
    )
    duration: Duration = Field(
        description="duration is the length of the window, as a Go duration between 1m and 168h."
    )


class Strategy(Model):
    """strategy specifies the order and the pace of a rotation."""

    RULES: ClassVar[Sequence[Rule]] = STRATEGY_RULES

    batches: Annotated[list[Batch], Field(max_length=20)] = Field(
        default_factory=list,
        description="batches lists the batches in their order. The devices that are left are the last batch. "
        "Immutable. Default: one batch of all devices.",
    )
    success_threshold: Percent = Field(
        default="90%",
        description="successThreshold is the percentage of a batch, rounded up, that must succeed before the next "
        "batch opens. Default: 90%.",
    )
    min_success_time: Duration = Field(
        default="0s",
        description="minSuccessTime is the time for which successThreshold must hold before the next batch opens, as a "
        "Go duration between 0s and 168h. Default: 0s.",
    )
    max_concurrency: SomeOrPercent | None = Field(
        default=None,
        description="maxConcurrency is the largest number of devices that may start and have not finished, or a "
        "percentage of all devices. Default: no limit.",
    )
    max_failures: NumberOrPercent = Field(
        default="10%",
        description="maxFailures is the number of failed devices, or their percentage of all devices, rounded down. "
        "While more have failed, no further device starts. Default: 10%.",
    )
    in_progress_timeout: Duration = Field(
        default="5m",
        description="inProgressTimeout is the time after which a device that has not used its new copy counts as "
        "failed. It is a Go duration between 30s and 168h. Default: 5m.",
    )
    deadline: Duration | None = Field(
        default=None,
        description="deadline is the time after the start at which all devices that are left count as failed, as a Go "
        "duration between 10m and 8760h. Default: no deadline.",
    )
    windows: Annotated[list[Window], Field(max_length=8)] = Field(
        default_factory=list,
        description="windows lists the periods in which devices may start. Default: at any time.",
    )
