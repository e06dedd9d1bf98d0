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


def conditions(verdict: Verdict, *, before: Iterable[Condition], generation: int, now: datetime) -> list[Condition]:
    """Write a verdict as conditions. `lastTransitionTime` moves only when the status of a condition does."""
    known = {condition.type: condition for condition in before}
    wanted = [("Ready", ConditionStatus.TRUE if verdict.ready else ConditionStatus.FALSE)]
    wanted += [("Stalled", ConditionStatus.TRUE)] if verdict.stalled else []
    wanted += [("Reconciling", ConditionStatus.TRUE)] if verdict.reconciling else []

    def condition(kind: str, status: ConditionStatus) -> Condition:
        old = known.get(kind)
        kept = old is not None and old.status == status
        return Condition(
            type=kind,
            status=status,
            reason=verdict.reason,
            message=verdict.message[:1024],
            last_transition_time=old.last_transition_time if old is not None and kept else whole_second(now),
            observed_generation=generation,
        )

    return [condition(kind, status) for kind, status in wanted]
