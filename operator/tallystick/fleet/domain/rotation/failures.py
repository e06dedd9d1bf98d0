"""The failed devices of a rotation: why, and since when."""

from dataclasses import dataclass
from datetime import datetime

from tallystick.fleet.api.reasons import DeviceFailureReason as Reason
from tallystick.fleet.domain.counts import why_failed
from tallystick.fleet.domain.facts import DeviceFacts, RotationFacts

_TEXTS = {
    Reason.NOT_PROVED: "it got the new copy and did not use it in time",
    Reason.DEADLINE_EXCEEDED: "it was left when the deadline was over",
    Reason.NEEDS_REENROLMENT: "it has no key, so it must enroll again",
}


@dataclass(frozen=True, slots=True, order=True)
class FailedFacts:
    """A failed device. The order is that of the times."""

    time: datetime
    name: str
    reason: str
    message: str


def failure_of(device: DeviceFacts, rotation: RotationFacts, now: datetime) -> FailedFacts | None:
    """Return the failure of a member of a rotation; None if it has not failed."""
    reason = why_failed(device, rotation, now)
    if reason is None:
        return None
    message = _TEXTS.get(Reason(reason), "") if reason in set(Reason) else ""
    failure = device.failure
    if failure is not None and failure.reason == reason and failure.generation == rotation.generation:
        return FailedFacts(failure.time, device.name, reason, failure.message)
    return FailedFacts(_since(device, rotation, reason) or now, device.name, reason, message)


def _since(device: DeviceFacts, rotation: RotationFacts, reason: str) -> datetime | None:
    if reason == Reason.NOT_PROVED and device.offer is not None:
        return device.offer.time + rotation.strategy.in_progress_timeout
    return rotation.deadline if reason == Reason.DEADLINE_EXCEEDED else rotation.start_time
