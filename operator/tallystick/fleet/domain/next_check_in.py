"""Where and when a device checks in next, and until when it must prove a copy that it was handed."""

from datetime import datetime, timedelta

from tallystick.fleet.domain.facts import Offer, RotationFacts

DEVICES_PATH = "/v1/devices"
CHECK_IN_PATH = DEVICES_PATH + "/{id}/check-in"

_JITTER = 0.1  # a fleet that starts at once must not stay in step
_STEPS = 0xFFFF


def check_in_path(device: str) -> str:
    """Return the path at which a device checks in, below each public URL of the exchange."""
    return CHECK_IN_PATH.format(id=device)


def wait_seconds(period: timedelta, random_id: str) -> int:
    """Return the seconds until the next check-in: the period, give or take a tenth, at least one second.

    Args:
        period: `spec.checkInPeriod` of the PairingToken.
        random_id: A random identifier; its last four hex digits choose within the tenth.
    """
    place = int(random_id[-4:], 16) / _STEPS * 2 - 1
    return max(1, round(period.total_seconds() * (1 + _JITTER * place)))


def prove_before(offer: Offer, rotation: RotationFacts | None) -> datetime | None:
    """Return the time after which the device counts as failed; None if the rotation of the offer is over.

    A proof that comes later counts all the same.
    """
    if rotation is None or rotation.name != offer.rotation:
        return None
    timeout = offer.time + rotation.strategy.in_progress_timeout
    return timeout if rotation.deadline is None else min(timeout, rotation.deadline)
