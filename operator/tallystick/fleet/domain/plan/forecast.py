"""Plan a rotation over the devices as they are: one that is not applied yet, one that waits, or one that runs."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from tallystick.fleet.api.reasons import TokenRotationReason as Reason
from tallystick.fleet.api.strategy import DesiredState
from tallystick.fleet.domain.batches import draw
from tallystick.fleet.domain.counts import is_member
from tallystick.fleet.domain.facts import DeviceFacts, RotationFacts, Target
from tallystick.fleet.domain.plan.course import Course, Rehearsal
from tallystick.fleet.domain.rotation.messages import Situation, over, running
from tallystick.fleet.domain.starting import GoOn, Hold, Never, decide, started
from tallystick.pairing.api.device_project import RotationState

_NEVER_STARTS = (Reason.NOT_ROTATABLE, Reason.ALREADY_RUN, Reason.TARGET_NOT_FOUND)


@dataclass(frozen=True, slots=True)
class Assumed:
    """The facts that the plan takes for granted beside the objects.

    Attributes:
        paused: Whether `spec.desiredState` is Paused; the plan counts from its return to Running.
        behind: The rotation that goes first; '' for none. The plan counts from its end.
    """

    paused: bool = False
    behind: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan.

    Attributes:
        rotation: The rotation as it starts, with its batches drawn, or as it runs.
        target: Its PairingToken, of which it holds the lock.
        members: The devices of the rotation, by name.
        unseen: A device that was not seen for so long is not expected.
        runs: Whether it runs already.
        assumed: The facts that the plan takes for granted.
        course: Its course.
        without_deadline: Its course without `strategy.deadline`; None if there is none.
    """

    rotation: RotationFacts
    target: Target
    members: Mapping[str, DeviceFacts]
    unseen: timedelta
    runs: bool
    assumed: Assumed
    course: Course
    without_deadline: Course | None


@dataclass(frozen=True, slots=True)
class NoPlan:
    """The rotation cannot run. `why` is a message with the next action."""

    why: str


def make_plan(
    rotation: RotationFacts,
    target: Target,
    devices: Iterable[DeviceFacts],
    others: Iterable[RotationFacts],
    *,
    now: datetime,
    unseen: timedelta,
) -> Plan | NoPlan:
    """Plan a rotation that is not finished.

    Args:
        rotation: The TokenRotation, as it is stored or as it would be.
        target: Its PairingToken.
        devices: The Devices of the PairingToken.
        others: The other TokenRotations of the PairingToken.
        now: The time at which the plan starts.
        unseen: A device that was not seen for so long is not expected.
    """
    paused = rotation.order is DesiredState.PAUSED
    rotation = replace(rotation, order=DesiredState.RUNNING) if paused else rotation
    begun = _begin(rotation, target, tuple(others), now)
    if isinstance(begun, NoPlan):
        return begun
    rotation, target, behind = begun
    members = {one.name: one for one in devices if is_member(one, rotation, target)}
    runs = bool(rotation.cuts)
    if not runs:
        rotation = replace(rotation, cuts=draw(members.values(), rotation.strategy.batches))
    strategy = rotation.strategy
    longer = replace(rotation, strategy=replace(strategy, deadline=None)) if strategy.deadline is not None else None
    return Plan(
        rotation=rotation,
        target=target,
        members=members,
        unseen=unseen,
        runs=runs,
        assumed=Assumed(paused, behind),
        course=Rehearsal(rotation, target, members.values(), now, unseen).course(),
        without_deadline=Rehearsal(longer, target, members.values(), now, unseen).course() if longer else None,
    )


def _begin(
    rotation: RotationFacts, target: Target, others: tuple[RotationFacts, ...], now: datetime
) -> tuple[RotationFacts, Target, str] | NoPlan:
    """Return the rotation and its target as they are after the start, and the rotation that goes first."""
    if rotation.generation:
        return rotation, target, ""
    about, behind = Situation(rotation, f"{target.namespace}/{target.name}", now=now), ""
    match decide(rotation, target, others, now):
        case GoOn(generation):
            return _started(rotation, generation, now), target, ""
        case Never(why):
            return NoPlan(over(why, about).message)
        case Hold(why, _, other):
            if why in _NEVER_STARTS:
                return NoPlan(running(why, about).message)
            behind = other
    target = started(target, rotation)
    return _started(rotation, target.generation, now), target, behind


def _started(rotation: RotationFacts, generation: int, now: datetime) -> RotationFacts:
    return replace(rotation, generation=generation, start_time=now, state=RotationState.RUNNING)
