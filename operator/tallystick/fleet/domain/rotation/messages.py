"""The reason and message of the conditions of a TokenRotation. A message names what to do next."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from tallystick.fleet.api.reasons import TokenRotationReason as Reason
from tallystick.fleet.domain.counts import Counts
from tallystick.fleet.domain.facts import RotationFacts
from tallystick.fleet.domain.windows import next_start, why_invalid
from tallystick.objects.conditions import Readiness, ended, failed, ready, reconciling, stalled
from tallystick.pairing.api.device_project import RotationState
from tallystick.schema.times import rfc3339

MOST_NAMED = 3


@dataclass(frozen=True, slots=True)
class Situation:
    """The facts that a message names.

    Attributes:
        rotation: The TokenRotation.
        token: Namespace and name of its target.
        counts: The counts of all batches.
        failed: The names of the newest failed devices.
        behind: The rotation that it waits for.
        now: The time.
    """

    rotation: RotationFacts
    token: str
    counts: Counts = field(default_factory=Counts)
    failed: tuple[str, ...] = ()
    behind: str = ""
    now: datetime | None = None

    @property
    def namespace(self) -> str:
        """The namespace of the rotation."""
        return self.token.partition("/")[0]


_STALLED = (
    Reason.TOO_MANY_FAILURES,
    Reason.NOT_ROTATABLE,
    Reason.INVALID_WINDOW,
    Reason.ALREADY_RUN,
    Reason.DEADLINE_EXCEEDED,
)


def running(why: Reason, about: Situation, *, is_stalled: bool = False) -> Readiness:
    """Return the readiness of a rotation that is not over."""
    text = _TEXTS[why](about)
    return stalled(why, text) if is_stalled or why in _STALLED else reconciling(why, text)


def over(why: Reason, about: Situation) -> Readiness:
    """Return the readiness of a rotation that is over. An abort as ordered is no failure."""
    text = _ENDS[why](about)
    match why:
        case Reason.COMPLETED:
            return ready(why, text)
        case Reason.DEADLINE_EXCEEDED:
            return failed(why, text)
        case _:
            return ended(why, text)


def not_issued_text(token: str) -> str:
    """Return the message for a target whose first value is not issued yet."""
    return f"PairingToken {token} has no value yet; the rotation starts when the controller has issued one"


def reason_of_end(state: RotationState, known: str) -> Reason:
    """Return the reason of a rotation that is over, given the reason on record."""
    if state is RotationState.SUCCEEDED:
        return Reason.COMPLETED
    if state is RotationState.ABORTED:
        return Reason.ABORTED
    return Reason.TARGET_REVOKED if known == Reason.TARGET_REVOKED else Reason.DEADLINE_EXCEEDED


def _progress(about: Situation) -> str:
    counts = about.counts
    return f"{counts.succeeded} of {counts.total} devices have used the new copy"


def _waiting_for_rotation(about: Situation) -> str:
    other = f"TokenRotation {about.namespace}/{about.behind}"
    return f"{other} of PairingToken {about.token} goes first; wait until it has finished, or abort it"


def _waiting_for_batch(about: Situation) -> str:
    number = about.rotation.open.batch if about.rotation.open is not None else 0
    of = len(about.rotation.strategy.batches) + 1
    return f"batch {number} of {of} is done; raise spec.openBatches to {number + 1} to go on"


def _waiting_for_window(about: Situation) -> str:
    start = next_start(about.rotation.strategy.windows, about.now) if about.now is not None else None
    if start is None:
        return "no window of strategy.windows opens again; edit strategy.windows to go on"
    return f"{_progress(about)}; the next window opens at {rfc3339(start)}"


def _too_many_failures(about: Situation) -> str:
    most = about.rotation.strategy.max_failures.rounded_down(about.counts.total)
    names = ", ".join(about.failed[:MOST_NAMED])
    return (
        f"{about.counts.failed} of {about.counts.total} devices have failed, and {most} may: {names}; no device starts "
        "until fewer fail, or strategy.maxFailures is raised"
    )


def _invalid_window(about: Situation) -> str:
    problems = (why_invalid(window) for window in about.rotation.strategy.windows)
    return next((f"strategy.windows: {text}" for text in problems if text is not None), "strategy.windows is valid")


def _failures(about: Situation) -> str:
    return f"{_progress(about)}, {about.counts.failed} have failed"


_TEXTS: Mapping[Reason, Callable[[Situation], str]] = {
    Reason.IN_PROGRESS: _progress,
    Reason.WAITING_FOR_ROTATION: _waiting_for_rotation,
    Reason.WAITING_FOR_BATCH: _waiting_for_batch,
    Reason.WAITING_FOR_WINDOW: _waiting_for_window,
    Reason.WAITING_FOR_DEVICES: lambda about: f"{_progress(about)}; the others start when they check in",
    Reason.PAUSED: lambda about: f"{_progress(about)}; set spec.desiredState to Running to go on",
    Reason.ABORTING: lambda about: f"{_progress(about)}; {about.counts.in_progress} that have started may finish",
    Reason.TOO_MANY_FAILURES: _too_many_failures,
    Reason.NOT_ROTATABLE: lambda about: (
        f"PairingToken {about.token} has purpose Service: it is single-use and cannot be rotated; create a new "
        "PairingToken"
    ),
    Reason.INVALID_WINDOW: _invalid_window,
    Reason.ALREADY_RUN: lambda about: (
        f"a TokenRotation named {about.rotation.name} has rotated PairingToken {about.token} before; create one with "
        "another name"
    ),
    Reason.TARGET_NOT_FOUND: lambda about: f"PairingToken {about.token} does not exist; create it to go on",
    Reason.DEADLINE_EXCEEDED: lambda about: f"{_failures(about)}; the deadline is over, so no further device starts",
}
_ENDS: Mapping[Reason, Callable[[Situation], str]] = {
    Reason.COMPLETED: lambda about: f"all {about.counts.total} devices have used the new copy",
    Reason.DEADLINE_EXCEEDED: lambda about: (
        f"{_failures(about)} at the deadline; they keep their old copies; create a new TokenRotation to go on"
    ),
    Reason.ABORTED: lambda about: (
        f"the rotation was aborted; {_progress(about)}, and {about.counts.no_rotation} keep their old copies"
    ),
    Reason.TARGET_REVOKED: lambda about: (
        f"PairingToken {about.token} was revoked or deleted, and all its devices with it; {_progress(about)}"
    ),
}
