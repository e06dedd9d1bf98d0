"""Conditions in kstatus form: `Ready` always, `Reconciling` and `Stalled` only while they are true."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from tallystick.api.meta import Condition, ConditionStatus
from tallystick.domain.times import whole_second


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be said of an object: is it ready, must somebody act, or is it only a matter of time."""

    ready: bool
    reason: str
    message: str
    stalled: bool = False
    reconciling: bool = False


@dataclass(frozen=True, slots=True)
class Remark:
    """One more observation of an object, beside whether it is ready."""

    type: str
    holds: bool
    reason: str
    message: str


def conditions(
    verdict: Verdict, *, before: Iterable[Condition], generation: int, now: datetime, remarks: Iterable[Remark] = ()
) -> list[Condition]:
    """Write a verdict as conditions, and then the remarks.

    `lastTransitionTime` moves only when the status of a condition does.
    """
    known = {condition.type: condition for condition in before}
    said = [
        Remark("Ready", verdict.ready, verdict.reason, verdict.message),
        *([Remark("Stalled", True, verdict.reason, verdict.message)] if verdict.stalled else []),
        *([Remark("Reconciling", True, verdict.reason, verdict.message)] if verdict.reconciling else []),
        *remarks,
    ]

    def condition(remark: Remark) -> Condition:
        status = ConditionStatus.TRUE if remark.holds else ConditionStatus.FALSE
        old = known.get(remark.type)
        kept = old is not None and old.status == status
        return Condition(
            type=remark.type,
            status=status,
            reason=remark.reason,
            message=remark.message[:1024],
            last_transition_time=old.last_transition_time if old is not None and kept else whole_second(now),
            observed_generation=generation,
        )

    return [condition(remark) for remark in said]
