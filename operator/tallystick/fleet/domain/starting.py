"""Decide whether a rotation may start, and what the swaps of `PairingToken.status` write at its start and its end.

One swap starts a rotation: it takes the lock and raises the generation, which ends the old enrollment value. After a
crash the next leader finds the lock, and goes on. The end is written in the rotation first, and then in the lock.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from tallystick.fleet.api.reasons import TokenRotationReason as Reason
from tallystick.fleet.api.strategy import DesiredState
from tallystick.fleet.domain.facts import Lock, PastRotation, RotationFacts, Target
from tallystick.fleet.domain.windows import why_invalid
from tallystick.objects.rules import first
from tallystick.pairing.api.device_project import MOST_REMEMBERED, RotationState

# Until then a missing PairingToken is taken for one that is applied after its rotation.
TARGET_MAY_FOLLOW = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Start:
    """Swap the status of the PairingToken as `started` computes it."""


@dataclass(frozen=True, slots=True)
class GoOn:
    """The rotation holds the lock already: write that it runs with this generation."""

    generation: int


@dataclass(frozen=True, slots=True)
class Hold:
    """The rotation does not start now.

    Attributes:
        why: The reason of the condition.
        stalled: Whether it waits for a person, and not for time or for another rotation.
        behind: The name of the rotation that it waits for.
    """

    why: Reason
    stalled: bool = False
    behind: str = ""


@dataclass(frozen=True, slots=True)
class Never:
    """The rotation ends before it starts: no device is counted."""

    why: Reason
    state: RotationState


Decision = Start | GoOn | Hold | Never


def decide(rotation: RotationFacts, target: Target | None, others: Iterable[RotationFacts], now: datetime) -> Decision:
    """Decide whether a rotation that has not started may start.

    Args:
        rotation: The TokenRotation, in state Pending.
        target: Its PairingToken, as it was just read; None if it does not exist.
        others: The other TokenRotations of this PairingToken.
        now: The time.
    """
    if target is None:
        stalled = now - rotation.created >= TARGET_MAY_FOLLOW
        return Hold(Reason.TARGET_NOT_FOUND, stalled=stalled) if not rotation.is_aborted else _aborted()
    return first(_RULES, rotation, target, tuple(others)) or Start()


def started(target: Target, rotation: RotationFacts) -> Target:
    """Return the PairingToken that the swap writes: the lock, the next generation, and the past without a gap."""
    generation = target.generation + 1
    lock = Lock(rotation.name, rotation.uid, generation, RotationState.RUNNING)
    floor = generation if rotation.revokes_immediately else target.revoked_below
    return replace(target, generation=generation, lock=lock, revoked_below=floor)


def finished(target: Target, rotation: RotationFacts, finish_time: datetime) -> Target:
    """Return the PairingToken after the lock of a finished rotation is released. A repetition changes nothing."""
    lock = target.lock
    if lock is None or lock.uid != rotation.uid or not lock.is_held:
        return target
    return _released(target, lock, rotation.state, finish_time)


def orphan_released(target: Target, present_uids: Iterable[str], now: datetime) -> Target:
    """Return the PairingToken after a lock is released whose rotation is gone, as by an abort."""
    lock = target.lock
    if lock is None or not lock.is_held or lock.uid in set(present_uids):
        return target
    return _released(target, lock, RotationState.ABORTED, now)


def has_run(target: Target, name: str, uid: str) -> bool:
    """Return whether another rotation of this name has run for the PairingToken, or this one has run and ended."""
    if any(past.name == name for past in target.past):
        return True
    lock = target.lock
    return lock is not None and lock.name == name and (lock.uid != uid or not lock.is_held)


def holds_the_lock(rotation: RotationFacts, target: Target, _: tuple[RotationFacts, ...]) -> Decision | None:
    """The swap was written, and the leader stopped before it wrote the rotation."""
    lock = target.lock
    held = lock is not None and lock.is_held and lock.uid == rotation.uid
    return GoOn(lock.generation) if lock is not None and held else None


def aborted(rotation: RotationFacts, _: Target, __: tuple[RotationFacts, ...]) -> Decision | None:
    """An abort before the start moves no device and ends no value."""
    return _aborted() if rotation.is_aborted else None


def name_has_run(rotation: RotationFacts, target: Target, _: tuple[RotationFacts, ...]) -> Decision | None:
    """To create a deleted rotation again, as a GitOps tool does, rotates nothing."""
    return Hold(Reason.ALREADY_RUN, stalled=True) if has_run(target, rotation.name, rotation.uid) else None


def not_rotatable(_: RotationFacts, target: Target, __: tuple[RotationFacts, ...]) -> Decision | None:
    """A token of purpose Service is single-use: there is nothing to rotate."""
    return None if target.rotatable else Hold(Reason.NOT_ROTATABLE, stalled=True)


def target_ended(_: RotationFacts, target: Target, __: tuple[RotationFacts, ...]) -> Decision | None:
    """The devices of a revoked token are revoked, so none can be moved."""
    return Never(Reason.TARGET_REVOKED, RotationState.FAILED) if target.is_ended else None


def ordered_paused(rotation: RotationFacts, _: Target, __: tuple[RotationFacts, ...]) -> Decision | None:
    """A rotation that is paused before its start takes no lock, and lets later ones go first."""
    return Hold(Reason.PAUSED) if rotation.order is DesiredState.PAUSED else None


def window_invalid(rotation: RotationFacts, _: Target, __: tuple[RotationFacts, ...]) -> Decision | None:
    """The start ends the enrollment value, so a rotation that could not go on does not start."""
    return Hold(Reason.INVALID_WINDOW, stalled=True) if _has_invalid_window(rotation) else None


def another_runs(_: RotationFacts, target: Target, __: tuple[RotationFacts, ...]) -> Decision | None:
    """One rotation runs for each token."""
    lock = target.lock
    return Hold(Reason.WAITING_FOR_ROTATION, behind=lock.name) if lock is not None and lock.is_held else None


def older_first(rotation: RotationFacts, target: Target, others: tuple[RotationFacts, ...]) -> Decision | None:
    """The oldest of those that can start goes first, so that each controller chooses the same one."""
    older = [other for other in others if _age(other) < _age(rotation) and _can_start(other, target)]
    return Hold(Reason.WAITING_FOR_ROTATION, behind=min(older, key=_age).name) if older else None


# Ordered: a lock that is held is used, whatever was ordered since; `next_step` obeys the order then.
_RULES = (
    holds_the_lock,
    aborted,
    name_has_run,
    not_rotatable,
    target_ended,
    ordered_paused,
    window_invalid,
    another_runs,
    older_first,
)


def _aborted() -> Never:
    return Never(Reason.ABORTED, RotationState.ABORTED)


def _can_start(rotation: RotationFacts, target: Target) -> bool:
    ordered = rotation.order is DesiredState.RUNNING and not rotation.is_aborted
    waits = rotation.state is RotationState.PENDING and ordered
    return waits and not _has_invalid_window(rotation) and not has_run(target, rotation.name, rotation.uid)


def _has_invalid_window(rotation: RotationFacts) -> bool:
    return any(why_invalid(window) is not None for window in rotation.strategy.windows)


def _age(rotation: RotationFacts) -> tuple[datetime, str]:
    return rotation.created, rotation.name


def _released(target: Target, lock: Lock, state: RotationState, finish_time: datetime) -> Target:
    past = PastRotation(lock.name, lock.uid, lock.generation, state, finish_time)
    return replace(target, lock=replace(lock, state=state), past=(past, *target.past)[:MOST_REMEMBERED])
