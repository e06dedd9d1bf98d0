"""The texts of a plan: its heading, the rows of its table, and its end."""

from datetime import datetime

from tallystick.fleet.api.reasons import TokenRotationReason as Reason
from tallystick.fleet.domain.facts import DeviceFacts
from tallystick.fleet.domain.plan.advice import batch_names
from tallystick.fleet.domain.plan.course import BatchCourse
from tallystick.fleet.domain.plan.forecast import Plan
from tallystick.fleet.domain.plan.texts import devices_text, duration_text
from tallystick.pairing.api.device_project import RotationState
from tallystick.schema.times import rfc3339

COLUMNS = ("BATCH", "DEVICES", "SUCCEEDED", "OPENS", "DONE", "EXPECTED")
BY_HAND = "by hand"
_NONE = "-"


def heading(plan: Plan) -> str:
    """Return the first line: which rotation of which token, and how far it is."""
    target, rotation = plan.target, plan.rotation
    text = f"TokenRotation {target.namespace}/{rotation.name} of PairingToken {target.namespace}/{target.name}"
    total = sum(batch.first.total for batch in plan.course.batches)
    if not plan.runs:
        return f"{text}: {devices_text(total)}, if it starts now"
    succeeded = sum(batch.first.succeeded for batch in plan.course.batches)
    return f"{text}: {rotation.state}, {succeeded} of {devices_text(total)} have used the new copy"


def rows(plan: Plan) -> list[tuple[str, ...]]:
    """Return a row for each batch: name, devices, how many have succeeded, opens, done, how many will succeed."""
    return [
        (
            name,
            str(batch.first.total),
            str(batch.first.succeeded),
            _opens(batch),
            rfc3339(batch.done) if batch.done is not None and batch.first.total else _NONE,
            str(batch.last.succeeded),
        )
        for name, batch in zip(batch_names(plan), plan.course.batches, strict=True)
    ]


def notes(plan: Plan) -> list[str]:
    """Return what the times depend on."""
    period = duration_text(plan.target.check_in_period)
    found = [f"A device checks in every {period}, and is expected to use the new copy at once."]
    if any(batch.by_hand for batch in plan.course.batches):
        found.append(f"`{BY_HAND}`: raise spec.openBatches; the times assume that you do so at once.")
    return found


def ending(plan: Plan) -> str:
    """Return how the rotation ends."""
    course = plan.course
    if course.end is None:
        return "The rotation does not finish."
    at = f"at {rfc3339(course.end)}, {duration_text(course.end - course.start)} from now"
    if course.state is RotationState.SUCCEEDED:
        return f"The rotation succeeds {at}."
    left = sum(batch.last.total - batch.last.succeeded for batch in course.batches)
    if course.state is RotationState.ABORTED:
        return f"The rotation is aborted {at}; {devices_text(left)} keep their old copies."
    if course.why is Reason.TARGET_REVOKED:
        return "The rotation fails: its PairingToken is revoked or deleted."
    return f"The rotation fails {at}: its deadline is over, and {devices_text(left)} have not used the new copy."


def enrolled_by_ended_value(plan: Plan, since: datetime | None) -> list[DeviceFacts]:
    """Return the devices that enrolled with the value that the rotation ends, newest first; None: since any time.

    After a theft of the value, the thief may have enrolled devices, and the rotation would give them new copies.
    """
    ended = plan.rotation.generation - 1
    found = (device for device in plan.members.values() if device.first_generation == ended)
    chosen = (device for device in found if since is None or device.created >= since)
    return sorted(chosen, key=lambda device: (device.created, device.name), reverse=True)


def suspects_text(number: int, since: datetime | None) -> str:
    """Return the line above the list of these devices, or the line in its place."""
    count = devices_text(number)
    if since is None:
        return (
            f"{count} enrolled with the value that the rotation ends; a thief of the value may have enrolled some. Set "
            "--enrolled-since to the time of the theft to list the later ones."
        )
    return (
        f"{count} enrolled with the value that the rotation ends, since {rfc3339(since)}. The rotation gives them new "
        "copies: first revoke those that you do not know."
    )


def _opens(batch: BatchCourse) -> str:
    if batch.opens is not None:
        return f"{rfc3339(batch.opens)}{f' {BY_HAND}' if batch.by_hand else ''}"
    return "open" if batch.is_open else "never"
