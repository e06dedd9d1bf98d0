"""The warnings about a plan. Each one has the next action."""

from collections.abc import Iterator
from datetime import timedelta

from tallystick.fleet.domain.batches import NO_DEVICE
from tallystick.fleet.domain.facts import DeviceFacts
from tallystick.fleet.domain.plan.course import HORIZON, is_absent
from tallystick.fleet.domain.plan.forecast import Plan
from tallystick.fleet.domain.plan.texts import devices_text, duration_text, field_duration, named
from tallystick.fleet.domain.rotation.status import THE_REST
from tallystick.fleet.domain.windows import Window, end_of_present, next_start, why_invalid
from tallystick.pairing.api.device_project import FINISHED, RotationState

_SOME_SPARE = 1.2  # a deadline without spare time is too short as soon as one device is late


def warnings(plan: Plan) -> tuple[str, ...]:
    """Return the warnings, the most important ones first. A warning is one line."""
    found = (_waits, _deadline, _windows, _blocked, _unfinished, _absent, _keyless, _empty)
    return tuple(text for rule in found for text in rule(plan))


def absent(plan: Plan) -> list[DeviceFacts]:
    """Return the members that have not succeeded and are not expected, in the order of names."""
    now, generation = plan.course.start, plan.rotation.generation
    return [
        device
        for name, device in sorted(plan.members.items())
        if device.proved < generation and is_absent(device, plan.target, now, plan.unseen)
    ]


def batch_names(plan: Plan) -> tuple[str, ...]:
    """Return the names of the batches; the last one is the rest."""
    return (*(batch.name for batch in plan.rotation.strategy.batches), THE_REST)


def _do(count: int) -> str:
    return "does" if count == 1 else "do"


def _waits(plan: Plan) -> Iterator[str]:
    if plan.assumed.behind:
        yield f"TokenRotation {plan.assumed.behind} goes first; the times count from its end"
    if plan.assumed.paused:
        yield "spec.desiredState is Paused; the times count from its return to Running"


def _deadline(plan: Plan) -> Iterator[str]:
    deadline, longer = plan.rotation.strategy.deadline, plan.without_deadline
    if deadline is None or longer is None or not plan.course.missed:
        return
    text = f"strategy.deadline {field_duration(deadline)} is too short"
    started = plan.rotation.start_time or plan.course.start
    if longer.last_success is None or longer.missed:
        yield f"{text}: {devices_text(plan.course.missed)} that check in would fail; raise it, or remove the delay"
        return
    needed = (longer.last_success - started) * _SOME_SPARE
    left = f"{devices_text(plan.course.missed)} that check in would fail"
    yield f"{text}: {left}; set it to {field_duration(max(needed, timedelta(minutes=10)))} or more"


def _windows(plan: Plan) -> Iterator[str]:
    for number, window in enumerate(plan.rotation.strategy.windows):
        problem = why_invalid(window)
        if problem is not None:
            yield f"strategy.windows[{number}]: {problem}; until then, no device starts"
        elif text := _missed(plan, window):
            yield f"strategy.windows[{number}] {text}"


def _missed(plan: Plan, window: Window) -> str:
    """Return why devices miss a window; '' if they do not."""
    start, period = plan.course.start, plan.target.check_in_period
    deadline = plan.rotation.deadline
    limit, which = (start + HORIZON, "within a year") if deadline is None else (deadline, "before the deadline")
    opens = start if end_of_present((window,), start) is not None else next_start((window,), start)
    if opens is None or opens >= limit:
        return f'never opens {which}: correct schedule "{window.schedule}"'
    if window.duration < period:
        return (
            f"is open for {duration_text(window.duration)}, and a device checks in every {duration_text(period)}; most "
            "devices miss it, so make it longer than checkInPeriod"
        )
    return ""


def _blocked(plan: Plan) -> Iterator[str]:
    """Name the first batch that does not open, and the one before it."""
    batches, names = plan.course.batches, batch_names(plan)
    closed = next((at for at, batch in enumerate(batches) if not batch.is_open), 0)
    if not closed or plan.rotation.is_aborted:
        return
    before = batches[closed - 1]
    threshold = plan.rotation.strategy.success_threshold.rounded_up(before.last.total)
    if before.is_open and before.last.succeeded < threshold and not before.missed:
        few = f"{before.last.succeeded} of {before.last.total} devices of batch {names[closed - 1]} succeed"
        yield (
            f"batch {names[closed]} does not open: {few}, and it needs {threshold}; lower successThreshold, or delete "
            "the Devices that are gone"
        )


def _unfinished(plan: Plan) -> Iterator[str]:
    course = plan.course
    if course.state in FINISHED and course.end is not None:
        return
    if course.state is RotationState.HALTED:
        failed = sum(batch.last.failed for batch in course.batches)
        yield (
            f"the rotation halts: failed are {devices_text(failed)}, and "
            f"{plan.rotation.strategy.max_failures.rounded_down(len(plan.members))} may; repair them, or raise "
            "strategy.maxFailures"
        )
    elif course.is_endless:
        yield f"the rotation is not over within {duration_text(HORIZON)}; correct strategy"
    elif not course.missed:
        left = sum(batch.last.total - batch.last.succeeded for batch in course.batches)
        yield (
            f"the rotation does not finish: {devices_text(left)} {_do(left)} not use a new copy; set "
            "strategy.deadline, or revoke or delete the Devices that are gone"
        )


def _absent(plan: Plan) -> Iterator[str]:
    gone = [device.name for device in absent(plan)]
    if gone:
        yield (
            f"not seen for {duration_text(plan.unseen)}, so not expected: {devices_text(len(gone))} of "
            f"{len(plan.members)}: {named(gone)}"
        )


def _keyless(plan: Plan) -> Iterator[str]:
    generation = plan.rotation.generation
    names = [n for n, one in sorted(plan.members.items()) if one.key_thumbprint is None and one.proved < generation]
    if names and plan.rotation.compromised:
        yield f"{devices_text(len(names))} without a key must enroll again, and here it is a failure: {named(names)}"
    elif names:
        yield (
            f"{devices_text(len(names))} without a key: a thief of a copy can get the new one; better enroll with a "
            f"key: {named(names)}"
        )


def _empty(plan: Plan) -> Iterator[str]:
    if not plan.members:
        yield "no device takes part: the rotation only replaces the value that devices enroll with"
        return
    for batch, cut, counts in zip(
        plan.rotation.strategy.batches, plan.rotation.cuts, plan.course.batches, strict=False
    ):
        if counts.first.total:
            continue
        labels = ",".join(f"{key}={value}" for key, value in sorted((batch.match_labels or {}).items()))
        if labels and cut in (None, NO_DEVICE):
            yield f"batch {batch.name} is empty: no device that is left has the labels {labels}; correct its selector"
        else:
            yield f"batch {batch.name} is empty: earlier batches have all devices; correct its limit or its place"
