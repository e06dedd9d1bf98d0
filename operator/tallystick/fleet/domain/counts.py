"""The standing of each device in a rotation, and the counts: one function of Device, rotation and time.

    Pending -> InProgress -> Succeeded        after an abort: Pending, Failed -> NoRotation
                   |             ^
                   +-> Failed ---+            a proof always wins

There is no counter beside the Devices. So a crash loses no count, and the counts always sum to the total.
"""

from collections.abc import Iterable
from dataclasses import astuple, dataclass
from datetime import datetime
from enum import StrEnum
from operator import add
from typing import Self

from tallystick.fleet.api.reasons import DeviceFailureReason
from tallystick.fleet.domain.facts import DeviceFacts, RotationFacts, Target
from tallystick.pairing.api.device_project import RotationState


class Standing(StrEnum):
    """The standing of a device in a rotation."""

    PENDING = "Pending"
    IN_PROGRESS = "InProgress"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    NO_ROTATION = "NoRotation"


@dataclass(frozen=True, slots=True)
class Counts:
    """The number of devices in each standing."""

    pending: int = 0
    in_progress: int = 0
    succeeded: int = 0
    failed: int = 0
    no_rotation: int = 0

    @property
    def total(self) -> int:
        """The number of devices."""
        return self.pending + self.in_progress + self.succeeded + self.failed + self.no_rotation

    @classmethod
    def of(cls, standings: Iterable[Standing]) -> Self:
        """Count standings."""
        counts = dict.fromkeys(Standing, 0)
        for standing in standings:
            counts[standing] += 1
        return cls(*(counts[standing] for standing in Standing))

    def moved(self, before: Standing | None, after: Standing | None) -> "Counts":
        """Return the counts after one device changes its standing. None: it is not a member before, or after."""
        values = dict(zip(Standing, astuple(self), strict=True))
        if before is not None:
            values[before] -= 1
        if after is not None:
            values[after] += 1
        return Counts(*values.values())

    def plus(self, other: "Counts") -> "Counts":
        """Add the counts of two batches."""
        return Counts(*map(add, astuple(self), astuple(other)))

    def at_the_end(self, outcome: RotationState) -> "Counts":
        """Return the counts that are the record of a finished rotation.

        After an abort, a device that has not succeeded is NoRotation. After any other end it is Failed.
        """
        left = self.pending + self.in_progress + self.failed
        if outcome is RotationState.ABORTED:
            return Counts(succeeded=self.succeeded, no_rotation=self.no_rotation + left)
        return Counts(succeeded=self.succeeded, failed=left, no_rotation=self.no_rotation)


def sum_of(batches: Iterable[Counts]) -> Counts:
    """Return the counts of several batches together."""
    total = Counts()
    for batch in batches:
        total = total.plus(batch)
    return total


def is_member(device: DeviceFacts, rotation: RotationFacts, target: Target) -> bool:
    """Return whether a rotation counts a device.

    A device that enrolled since the start has the new generation already. A device that is deleted or revoked leaves
    the total: it can never check in again, so no rotation could wait for it.
    """
    if device.first_generation >= rotation.generation:
        return False
    return not (device.revoked or device.deleting or target.has_revoked(device.serial))


def standing(device: DeviceFacts, rotation: RotationFacts, now: datetime) -> Standing:
    """Return the standing of a member of a rotation.

    It depends on the time only by `time_of_change`.
    """
    if device.proved >= rotation.generation:
        return Standing.SUCCEEDED  # success is proof of use, and wins over each failure and the deadline
    failed = why_failed(device, rotation, now) is not None
    if _is_offered(device, rotation):
        if not failed:
            return Standing.IN_PROGRESS
    elif not failed and not rotation.is_aborted:
        return Standing.PENDING
    return Standing.NO_ROTATION if rotation.is_aborted else Standing.FAILED


def why_failed(device: DeviceFacts, rotation: RotationFacts, now: datetime) -> str | None:
    """Return the reason why a member that has not succeeded is Failed; None if it is not."""
    if device.proved >= rotation.generation:
        return None
    if rotation.compromised and device.key_thumbprint is None:
        # A thief with a stolen copy would get the new one (docs/rules.md#s14).
        return DeviceFailureReason.NEEDS_REENROLMENT
    offer, failure = device.offer, device.failure
    if offer is not None and _is_offered(device, rotation):
        if failure is not None and failure.generation == rotation.generation:
            return failure.reason
        if now >= offer.time + rotation.strategy.in_progress_timeout:
            return DeviceFailureReason.NOT_PROVED
    if rotation.deadline is not None and now >= rotation.deadline:
        return DeviceFailureReason.DEADLINE_EXCEEDED
    return None


def time_of_change(device: DeviceFacts, rotation: RotationFacts, now: datetime) -> datetime | None:
    """Return the next time at which the standing of a member changes although no one writes; None if it does not.

    So the controller keeps counts by events and one heap of times, and never walks all devices.
    """
    if standing(device, rotation, now) not in (Standing.PENDING, Standing.IN_PROGRESS):
        return None
    times = [rotation.deadline] if rotation.deadline is not None else []
    if device.offer is not None and _is_offered(device, rotation):
        times.append(device.offer.time + rotation.strategy.in_progress_timeout)
    return min(times, default=None)


def _is_offered(device: DeviceFacts, rotation: RotationFacts) -> bool:
    # An unproved offer of an earlier rotation does not count: the device proves it first, and then gets the new one.
    return device.offered == rotation.generation
