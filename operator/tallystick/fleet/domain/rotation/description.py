"""Describe a TokenRotation: the conditions of one that is over, which stay, and those of one that was not looked at."""

from datetime import datetime

from tallystick.fleet.api.reasons import TokenRotationReason as Reason
from tallystick.fleet.api.token_rotation import TokenRotation
from tallystick.fleet.domain.counts import Counts
from tallystick.fleet.domain.readings import rotation_facts
from tallystick.fleet.domain.rotation.messages import Situation, over, reason_of_end, running
from tallystick.fleet.domain.rotation.status import recorded
from tallystick.objects.conditions import Description, Verdict
from tallystick.pairing.api.device_project import FINISHED


def describe_rotation(rotation: TokenRotation, now: datetime) -> Description:
    """Describe a rotation by its state."""
    about, state = situation_of(rotation, recorded(rotation.status), now), rotation.status.state
    if state not in FINISHED:
        return Description(running(Reason.IN_PROGRESS, about))
    return Description(over(reason_of_end(state, said(rotation)), about))


def situation_of(
    rotation: TokenRotation, counts: Counts, now: datetime, *, failed: tuple[str, ...] = (), behind: str = ""
) -> Situation:
    """Return the facts that a message about a rotation names."""
    token = f"{rotation.metadata.namespace}/{rotation.spec.target_ref.name}"
    return Situation(rotation_facts(rotation), token, counts, failed, behind, now)


def said(rotation: TokenRotation) -> str:
    """Return the reason of condition Succeeded; '' if there is none yet."""
    conditions = rotation.status.conditions
    return next((one.reason for one in conditions if one.type == Verdict.SUCCEEDED), "")
