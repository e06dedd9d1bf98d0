"""When to remind of a rotation: by the age of the newest active token (R19, R20). Age never revokes anything (R37)."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from tallystick.api.connection_configuration import ConnectionConfiguration
from tallystick.domain.durations import parse_duration
from tallystick.domain.slots import active_tokens

# *Longer* than the threshold: ages are counted in whole seconds.
_A_SECOND = timedelta(seconds=1)


class Rotation(StrEnum):
    """How urgent a rotation is."""

    CURRENT = "current"
    RECOMMENDED = "recommended"
    OVERDUE = "overdue"


@dataclass(frozen=True, slots=True)
class Reminder:
    """How urgent a rotation is now, since when, and when it gets more urgent; None: never."""

    rotation: Rotation
    issued: datetime
    next_change: datetime | None


def reminder(configuration: ConnectionConfiguration, now: datetime) -> Reminder | None:
    """Say how urgent a rotation is; None where no token is active."""
    active = active_tokens(configuration)
    if not active:
        return None
    issued, policy = active[0].issued_time, configuration.spec.rotation_policy
    recommended = issued + parse_duration(policy.recommend_after) + _A_SECOND
    overdue = issued + parse_duration(policy.require_after) + _A_SECOND
    if now >= overdue:
        return Reminder(Rotation.OVERDUE, issued, None)
    if now >= recommended:
        return Reminder(Rotation.RECOMMENDED, issued, overdue)
    return Reminder(Rotation.CURRENT, issued, recommended)
