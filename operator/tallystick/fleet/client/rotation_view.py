"""The texts that `tallystick rotation watch` shows of a rotation. They follow from its status and the time."""

from dataclasses import dataclass
from datetime import datetime

from tallystick.fleet.api.token_rotation import TokenRotation
from tallystick.fleet.domain.plan.upcoming import what_next
from tallystick.fleet.domain.readings import rotation_facts
from tallystick.fleet.domain.rotation.status import recorded, recorded_batches
from tallystick.pairing.api.device_project import FINISHED, RotationState

COLUMNS = ("BATCH", "TOTAL", "PENDING", "IN PROGRESS", "SUCCEEDED", "FAILED")
MOST_FAILURES = 5


@dataclass(frozen=True, slots=True)
class View:
    """A rotation as it is shown.

    Attributes:
        heading: The rotation, its target, state and batch.
        rows: A row for each batch, as in `COLUMNS`.
        opened: The number of open batches.
        failures: The newest failures: device, reason, message.
        following: What comes next; in the end, the message of the condition.
        line: All of that in one line.
        facts: The parts whose change is a new line; `following` counts down, and is none of them.
    """

    heading: str
    rows: tuple[tuple[str, ...], ...]
    opened: int
    failures: tuple[tuple[str, ...], ...]
    following: str
    line: str
    facts: tuple[object, ...]


def view_of(rotation: TokenRotation, now: datetime) -> View:
    """Return what is shown of a rotation."""
    meta, status, facts = rotation.metadata, rotation.status, rotation_facts(rotation)
    state, counts = status.state or RotationState.PENDING, recorded(status)
    condition = next((one for one in status.conditions if one.type == "Succeeded"), None)
    message = condition.message if condition is not None else "the controller has not looked at it yet"
    names = [batch.name for batch in status.batches]
    counted_down = None if state in FINISHED else what_next(facts, recorded_batches(status), names, now)
    following = message if state in FINISHED else f"next: {counted_down or message}"
    batch = f", batch {status.batch}" if status.batch else ""
    numbers = (
        f"{counts.pending} pending, {counts.in_progress} in progress, {counts.succeeded} succeeded, "
        f"{counts.failed} failed"
    )
    if counts.no_rotation:
        numbers += f", {counts.no_rotation} without rotation"
    return View(
        heading=f"TokenRotation {meta.namespace}/{meta.name} of PairingToken {rotation.spec.target_ref.name}: "
        f"{state}{batch}",
        rows=tuple(
            (one.name, *map(str, (one.total, one.pending, one.in_progress, one.succeeded, one.failed)))
            for one in status.batches
        ),
        opened=facts.open.batch if facts.open is not None else 0,
        failures=tuple((one.name, one.reason, one.message or "") for one in status.failed_devices[:MOST_FAILURES]),
        following=following,
        line=f"{state}{batch}: {numbers}; {following}",
        facts=(state, status.batch, counts, message if counted_down is None else ""),
    )
