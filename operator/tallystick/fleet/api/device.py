"""Device: one paired device, with the generation of the copy that it holds (docs/rules.md#r12).

A copy of generation g is accepted if g is `status.generation` or `status.offer.generation`. The exchange makes Devices.
"""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import ClassVar

from pydantic import Field

from tallystick.fleet.api.device_rules import ROOT_RULES, SPEC_RULES
from tallystick.fleet.api.fields import DisplayName, FailureMessage, FailureReason
from tallystick.pairing.api.device_project import ObjectName, ProjectKey
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

DEVICES = Resource(GROUP, VERSION, "devices", "Device")


class DeviceState(StrEnum):
    """The state of a device. Revoked never becomes Active again."""

    ACTIVE = "Active"
    REVOKED = "Revoked"


class PairingTokenRef(Model):
    """pairingTokenRef refers to the PairingToken that the device enrolled with."""

    name: ObjectName = Field(description="name is the name of the PairingToken.")
    uid: Identifier = Field(
        description="uid is the UID of the PairingToken. A new object of the same name has another UID."
    )


class DeviceSpec(Model):
    """spec is the enrollment of the device. Every field except `displayName` and `revoked` is immutable."""

    RULES: ClassVar[Sequence[Rule]] = SPEC_RULES

    pairing_token_ref: PairingTokenRef = Field(
        description="pairingTokenRef refers to the PairingToken that the device enrolled with."
    )
    serial: Serial = Field(
        description="serial is the `spec.serial` of the PairingToken at the enrollment. If "
        "`status.revokedThrough` of the PairingToken reaches it, the device is revoked."
    )
    generation: Serial = Field(description="generation is the generation of the first copy of the device.")
    key_id: Identifier = Field(alias="kid", description="kid is the ID of the key that signs the first copy.")
    project_key: ProjectKey = Field(description="projectKey is the key of the project that the device joined.")
    key_thumbprint: Identifier | None = Field(
        default=None,
        description="keyThumbprint is the thumbprint (RFC 7638) of the key that each copy is bound to, its `cnf.jkt` "
        "claim. Absent for a device whose copies are bearer tokens.",
    )
    display_name: DisplayName | None = Field(
        default=None,
        description="displayName is a name for people, as the device sent it. You can change it; it has no effect. "
        "Default: none.",
    )
    revoked: bool = Field(
        default=False, description="revoked is true to revoke the device, permanently. Default: false."
    )


class Offer(Model):
    """offer is a newer copy that was handed out and is not proved."""

    generation: Serial = Field(description="generation is the generation of the offered copy.")
    token_id: Identifier = Field(description="tokenID is the `jti` claim of the offered copy.")
    key_id: Identifier = Field(alias="kid", description="kid is the ID of the key that signs the offered copy.")
    time: datetime = Field(description="time is the time at which the copy was first handed out.")
    rotation: ObjectName = Field(description="rotation is the name of the TokenRotation that it belongs to.")


class Failure(Model):
    """failure is the failure that the device reported last. Self-reported."""

    generation: Serial = Field(description="generation is the generation that the device could not take.")
    reason: FailureReason = Field(description="reason is the reason of the failure, in CamelCase. Self-reported.")
    message: FailureMessage | None = Field(
        default=None, description="message explains the failure in one line. Self-reported."
    )
    time: datetime = Field(description="time is the time of the report.")


class DeviceStatus(ObjectStatus):
    """status is the most recently observed status. The exchange and the controller set it; it is read-only."""

    state: DeviceState | None = Field(
        default=None,
        description="state is the state of the device: Active or Revoked. Absent: it has never checked in.",
    )
    generation: Serial | None = Field(
        default=None,
        description="generation is the generation of the copy that the device used last. Absent: `spec.generation`.",
    )
    token_id: Identifier | None = Field(default=None, description="tokenID is the `jti` claim of that copy.")
    key_id: Identifier | None = Field(
        default=None, alias="kid", description="kid is the ID of the key that signs that copy."
    )
    proved_time: datetime | None = Field(
        default=None, description="provedTime is the time at which the device first used that copy."
    )
    offer: Offer | None = Field(
        default=None,
        description="offer is a newer copy that was handed out and is not proved. Absent: there is none. It ends only "
        "when the device uses it.",
    )
    failure: Failure | None = Field(
        default=None, description="failure is the failure that the device reported last. Self-reported."
    )
    last_seen_time: datetime | None = Field(
        default=None,
        description="lastSeenTime is about the time of the last check-in. The exchange refreshes it when it is older "
        "than 60 seconds, or than one second for each device of the project, at most a day.",
    )
    conditions: Conditions = Field(
        default_factory=list,
        description="conditions contains Ready, or Ended when the device is revoked.",
    )


class Device(Model):
    """A Device is one paired device. The exchange creates it when the device enrolls; a user can revoke it."""

    RESOURCE: ClassVar[Resource] = DEVICES
    SHORT_NAMES: ClassVar[Sequence[str]] = ("dev",)
    SELECTABLE: ClassVar[Sequence[str]] = (".spec.pairingTokenRef.name", ".status.generation", ".status.state")
    COLUMNS: ClassVar[Sequence[Column]] = (
        # A name of its own and the name of the token do not fit on a screen beside the name of the Device.
        Column("Token", ".spec.pairingTokenRef.name", "PairingToken that the device enrolled with.", priority=1),
        Column("Name", ".spec.displayName", "Name for people, as the device sent it."),
        Column("State", ".status.state", "State of the device; empty: it has never checked in."),
        Column("Generation", ".status.generation", "Generation of the copy that the device used last.", type="integer"),
        Column("Offered", ".status.offer.generation", "Generation that the device has not used yet.", type="integer"),
        Column("Last Seen", ".status.lastSeenTime", "Time since about the last check-in.", type="date"),
        Column("Failure", ".status.failure.reason", "Reason of the failure that the device reported last.", priority=1),
        Column("Key", ".spec.keyThumbprint", "Thumbprint of the key of the device.", priority=1),
        AGE,
    )
    RULES: ClassVar[Sequence[Rule]] = ROOT_RULES

    metadata: ObjectMeta
    spec: DeviceSpec
    status: DeviceStatus = Field(default_factory=DeviceStatus)
