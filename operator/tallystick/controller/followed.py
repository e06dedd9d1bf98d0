"""Reconcile an object by its own feature first, and then by another one that depends on it."""

from dataclasses import dataclass

from tallystick.controller.part import ObjectReconciler
from tallystick.objects.result import Result


@dataclass(frozen=True, slots=True)
class Followed:
    """Two reconcilers of one kind, of which the second one reads what the first one has written."""

    first: ObjectReconciler
    then: ObjectReconciler

    async def reconcile(self, namespace: str, name: str) -> Result:
        """Run both, and return the earliest time at which one of them is due. If the first one raises, both are due."""
        return earliest(await self.first.reconcile(namespace, name), await self.then.reconcile(namespace, name))


def earliest(one: Result, other: Result) -> Result:
    """Return the result of two reconciliations of the same object."""
    times = [time for time in (one.requeue_at, other.requeue_at) if time is not None]
    pauses = [seconds for seconds in (one.requeue_after, other.requeue_after) if seconds is not None]
    return Result(
        requeue_at=min(times, default=None),
        requeue_after=min(pauses, default=None),
        failed=one.failed or other.failed,
    )
