"""The facts by which fleets are decided: a Device, its PairingToken, and a TokenRotation, without their API form.

They are small frozen values, because the controller keeps one for each of 100,000 devices.

    generation of a copy     1 ----------- 2 ----------- 3
    device                   proved        offered        not handed out

A copy is accepted if its generation is the proved or the offered one: two at most.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tallystick.fleet.api.strategy import DesiredState
from tallystick.fleet.domain.batches import Batch, Cuts
from tallystick.fleet.domain.quantities import Quantity
from tallystick.fleet.domain.windows import Window
from tallystick.pairing.api.device_project import FINISHED, RotationState


@dataclass(frozen=True, slots=True)
class Offer:
    """A newer copy that was handed out and that the device has not proved. `time` is that of the first hand-out."""

    generation: int
    key_id: str
    time: datetime
    rotation: str


@dataclass(frozen=True, slots=True)
class Failure:
    """The failure that a device reported last. Self-reported: it decides counts, and no access."""

    generation: int
    reason: str
    message: str
    time: datetime


@dataclass(frozen=True, slots=True)
class DeviceFacts:
    """One Device.

    Attributes:
        name: `metadata.name`: the ID of the device.
        uid: `metadata.uid`.
        created: `metadata.creationTimestamp`.
        labels: `metadata.labels`.
        deleting: Whether `metadata.deletionTimestamp` is set.
        serial: `spec.serial`: the serial of the PairingToken at the enrollment.
        first_generation: `spec.generation`: the generation of the first copy.
        first_key_id: `spec.kid`: the key that signs the first copy.
        key_thumbprint: `spec.keyThumbprint`. None: copies are bearer tokens.
        revoked: Whether `spec.revoked` is true or `status.state` is Revoked.
        checked_in: Whether `status.state` is set: the device has used a copy.
        generation: `status.generation`. None until a later copy is proved.
        key_id: `status.kid`. None until a later copy is proved.
        proved_time: `status.provedTime`.
        offer: `status.offer`.
        failure: `status.failure`.
        last_seen: `status.lastSeenTime`.
    """

    name: str
    uid: str
    created: datetime
    serial: int
    first_generation: int
    first_key_id: str
    key_thumbprint: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    deleting: bool = False
    revoked: bool = False
    checked_in: bool = False
    generation: int | None = None
    key_id: str | None = None
    proved_time: datetime | None = None
    offer: Offer | None = None
    failure: Failure | None = None
    last_seen: datetime | None = None

    @property
    def proved(self) -> int:
        """The generation that the device has proved, or the one that it enrolled with."""
        return self.first_generation if self.generation is None else self.generation

    @property
    def offered(self) -> int:
        """The generation that was handed out and is not proved; 0 if there is none."""
        return 0 if self.offer is None else self.offer.generation

    @property
    def newest(self) -> int:
        """The newest generation that the device may hold."""
        return max(self.proved, self.offered)


@dataclass(frozen=True, slots=True)
class Enrolling:
    """A place that an enrollment has taken, and whose Device is not counted yet."""

    name: str
    generation: int
    time: datetime


@dataclass(frozen=True, slots=True)
class Lock:
    """`status.rotation` of a PairingToken: the rotation that runs, or that ran last."""

    name: str
    uid: str
    generation: int
    state: RotationState

    @property
    def is_held(self) -> bool:
        """Whether the rotation still runs."""
        return self.state not in FINISHED


@dataclass(frozen=True, slots=True)
class PastRotation:
    """A rotation that has run. A rotation of its name does not run again."""

    name: str
    uid: str
    generation: int
    state: RotationState
    finish_time: datetime


@dataclass(frozen=True, slots=True)
class Target:
    """The PairingToken of purpose DeviceProject that devices enroll with, and that a rotation rotates.

    Attributes:
        namespace: `metadata.namespace`.
        name: `metadata.name`.
        uid: `metadata.uid`.
        serial: `spec.serial`.
        rotatable: Whether `spec.purpose` is DeviceProject.
        revoked: `spec.revoked`.
        deleting: Whether `metadata.deletionTimestamp` is set.
        max_devices: `spec.maxDevices`.
        enrollment_open: Whether `spec.enrolment` is Open.
        key_required: Whether `spec.proofOfPossession` is Required.
        check_in_period: `spec.checkInPeriod`.
        recorded_serial: `status.serial`. None until a value was issued.
        revoked_through: `status.revokedThrough`; 0 if absent.
        generation: `status.generation`.
        revoked_below: `status.revokedBelowGeneration`; 0 if absent.
        devices: `status.devices`.
        enrolling: `status.enrolling`.
        lock: `status.rotation`.
        past: `status.rotations`, newest first.
    """

    namespace: str
    name: str
    uid: str
    serial: int = 1
    rotatable: bool = True
    revoked: bool = False
    deleting: bool = False
    max_devices: int = 1000
    enrollment_open: bool = True
    key_required: bool = True
    check_in_period: timedelta = timedelta(seconds=15)
    recorded_serial: int | None = 1
    revoked_through: int = 0
    generation: int = 1
    revoked_below: int = 0
    devices: int = 0
    enrolling: tuple[Enrolling, ...] = ()
    lock: Lock | None = None
    past: tuple[PastRotation, ...] = ()

    def has_revoked(self, serial: int) -> bool:
        """Return whether the devices that enrolled with this serial are revoked (docs/rules.md#s8)."""
        return (self.revoked and serial <= self.serial) or serial <= self.revoked_through

    @property
    def is_ended(self) -> bool:
        """Whether the present serial is revoked, or the object is being deleted."""
        return self.deleting or self.has_revoked(self.serial)


@dataclass(frozen=True, slots=True)
class Opening:
    """`status.open`: the devices that may start.

    Attributes:
        batch: The number of the batch from 1. All devices of the batches before it may start.
        through: The last device of this batch that may start. None: all of them.
        until: The time from which no device may start. None: no end.
    """

    batch: int
    through: str | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Strategy:
    """`spec.strategy`: how fast a rotation goes, and when it stops."""

    batches: tuple[Batch, ...] = ()
    success_threshold: Quantity = field(default_factory=lambda: Quantity.percent(90))
    min_success_time: timedelta = timedelta(0)
    max_concurrency: Quantity | None = None
    max_failures: Quantity = field(default_factory=lambda: Quantity.percent(10))
    in_progress_timeout: timedelta = timedelta(minutes=5)
    deadline: timedelta | None = None
    windows: tuple[Window, ...] = ()


@dataclass(frozen=True, slots=True)
class RotationFacts:
    """One TokenRotation.

    Attributes:
        name: `metadata.name`.
        uid: `metadata.uid`.
        created: `metadata.creationTimestamp`.
        order: `spec.desiredState`.
        deleting: Whether `metadata.deletionTimestamp` is set: a deleted rotation is aborted.
        compromised: Whether `spec.reason` is Compromised.
        revokes_immediately: Whether `spec.oldToken` is RevokeImmediately.
        open_batches: `spec.openBatches`. None: all batches may run.
        strategy: `spec.strategy`.
        state: `status.state`.
        generation: `status.generation`; 0 until the rotation has started.
        start_time: `status.startTime`.
        open: `status.open`. It stays while the rotation is Paused or Halted: it is the place where it goes on.
        cuts: `status.batches[].through`.
        done_times: `status.batches[].doneTime`: since when each batch has enough successes.
    """

    name: str
    uid: str
    created: datetime
    order: DesiredState = DesiredState.RUNNING
    deleting: bool = False
    compromised: bool = False
    revokes_immediately: bool = False
    open_batches: int | None = None
    strategy: Strategy = field(default_factory=Strategy)
    state: RotationState = RotationState.PENDING
    generation: int = 0
    start_time: datetime | None = None
    open: Opening | None = None
    cuts: Cuts = ()
    done_times: tuple[datetime | None, ...] = ()

    @property
    def is_aborted(self) -> bool:
        """Whether the abort is ordered, begun or done."""
        stops = (RotationState.ABORTING, RotationState.ABORTED)
        return self.deleting or self.order is DesiredState.ABORTED or self.state in stops

    @property
    def deadline(self) -> datetime | None:
        """The time at which the devices that have not succeeded are Failed."""
        if self.start_time is None or self.strategy.deadline is None:
            return None
        return self.start_time + self.strategy.deadline
