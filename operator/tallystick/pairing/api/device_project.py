"""The parts of a PairingToken that only purpose DeviceProject has: who may enroll, and the rotation that runs."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from tallystick.schema.fields import Identifier, Serial
from tallystick.schema.meta import DNS_SUBDOMAIN, Column, Model

MOST_DEVICES = 1_000_000
MOST_ENROLLING = 64
MOST_REMEMBERED = 10

Count = Annotated[int, Field(ge=0, le=2**31 - 1)]
# d- and 26 characters of base32: 130 bits of a hash, or of random.
DeviceName = Annotated[str, StringConstraints(max_length=28, pattern=r"^d-[a-z2-7]{26}$")]
ObjectName = Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=DNS_SUBDOMAIN)]
ProjectKey = Annotated[str, StringConstraints(max_length=32, pattern=r"^[a-z][a-z0-9]{1,31}$")]
LabelValue = Annotated[str, StringConstraints(max_length=63, pattern=r"^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$")]
Labels = Annotated[dict[str, LabelValue], Field(max_length=16)]


class Enrolment(StrEnum):
    """Whether devices can enroll."""

    OPEN = "Open"
    CLOSED = "Closed"


class ProofOfPossession(StrEnum):
    """Whether a device must prove a key of its own."""

    REQUIRED = "Required"
    OPTIONAL = "Optional"


class RotationState(StrEnum):
    """The state of a rotation. Succeeded, Failed and Aborted never change."""

    PENDING = "Pending"
    RUNNING = "Running"
    PAUSED = "Paused"
    HALTED = "Halted"
    ABORTING = "Aborting"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    ABORTED = "Aborted"


FINISHED = (RotationState.SUCCEEDED, RotationState.FAILED, RotationState.ABORTED)


class EnrollingDevice(Model):
    """A place that an enrollment has taken, and whose Device is not counted yet."""

    name: DeviceName = Field(description="name is the name of the Device.")
    generation: Serial = Field(description="generation is the generation of the value that the device enrolls with.")
    time: datetime = Field(description="time is the time at which the place was taken.")


class RotationRef(Model):
    """The rotation of a token, with the generation that it rolls out."""

    name: ObjectName = Field(description="name is the name of the TokenRotation.")
    uid: Identifier = Field(
        description="uid is the UID of the TokenRotation. A new object of the same name has another UID."
    )
    generation: Serial = Field(description="generation is the generation that the rotation rolls out.")
    state: RotationState = Field(
        description="state is the state of the rotation: Pending, Running, Paused, Halted, Aborting, Succeeded, Failed "
        "or Aborted."
    )


class CurrentRotation(RotationRef):
    """rotation is the rotation that runs, or that ran last. No other one can start while it runs."""

    pending: Count = Field(default=0, description="pending is the number of devices that have not started. Default: 0.")
    in_progress: Count = Field(
        default=0,
        description="inProgress is the number of devices that got the new copy and have not used it. Default: 0.",
    )
    succeeded: Count = Field(
        default=0, description="succeeded is the number of devices that used the new copy. Default: 0."
    )
    failed: Count = Field(default=0, description="failed is the number of devices that failed. Default: 0.")
    summary: Annotated[str, StringConstraints(max_length=48, pattern=r"^[0-9]+(/[0-9]+){3}$")] | None = Field(
        default=None,
        description="summary is the four numbers as a text: pending, in progress, succeeded and failed. The controller "
        "refreshes it at most every 5 seconds.",
    )


class FinishedRotation(RotationRef):
    """A rotation that has run. A TokenRotation of its name does not run again."""

    finish_time: datetime = Field(description="finishTime is the time at which the rotation finished.")


DEVICE_PROJECT_COLUMNS = (
    Column("Devices", ".status.devices", "Devices that have enrolled.", type="integer"),
    Column("Rotation", ".status.rotation.summary", "Devices pending/in progress/succeeded/failed in the rotation."),
)
