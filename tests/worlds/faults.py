"""An API server that fails at chosen calls, counted from 1: to try every place at which a process can be cut off."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from tallystick.objects.ports import ClusterError, ConflictError, RefusedError, UnavailableError
from tallystick.schema.meta import Resource
from tests.fakes import WRITES, Call, FakeCluster

Json = dict[str, Any]


class Fault(Enum):
    """What may happen to a call."""

    NO_ANSWER = "not done, no answer"
    LOST_ANSWER = "done, no answer"
    CONFLICT = "another writer was faster"
    LATE = "no answer, and done two calls later if it still may be"


@dataclass
class FaultyCluster(FakeCluster):
    """`plan` says which call fails how, `hooks` what somebody else does right before a call."""

    plan: dict[int, Fault] = field(default_factory=dict)
    hooks: dict[int, Callable[[], object]] = field(default_factory=dict)
    count: int = 0
    in_flight: dict[int, Callable[[], Json]] = field(default_factory=dict)

    def plan_from_now(self, plan: dict[int, Fault]) -> None:
        """Fail at these calls, of which the next one is number 1."""
        self.count, self.plan, self.in_flight = 0, dict(plan), {}

    async def replace(self, resource: Resource, body: Json) -> Json:
        stored = self.peek(resource, body["metadata"]["namespace"], body["metadata"]["name"]) or body
        if stored.get("type") != body.get("type"):
            raise RefusedError("type: Invalid value: field is immutable")  # as kube-apiserver says of a Secret
        return await super().replace(resource, body)

    def _perform(self, call: Call, act: Callable[[], Json]) -> Json:
        self.count += 1
        self.hooks.pop(self.count, lambda: None)()
        with suppress(ClusterError):
            self.in_flight.pop(self.count, dict)()
        fault = self.plan.pop(self.count, None)
        if fault is Fault.LATE:
            self.in_flight[self.count + 2] = act
        if fault in (Fault.NO_ANSWER, Fault.LATE):
            raise UnavailableError("the API server did not respond")
        if fault is Fault.CONFLICT and call.verb in WRITES - {"create"}:
            raise ConflictError("the object has been modified")
        result = super()._perform(call, act)
        if fault is Fault.LOST_ANSWER:
            raise UnavailableError("the API server did not respond")
        return result


def single_faults(calls: int) -> list[dict[int, Fault]]:
    """Every fault at every one of so many calls."""
    return [{number: fault} for number in range(1, calls + 1) for fault in Fault]


def double_faults(calls: int) -> list[dict[int, Fault]]:
    """Every two faults at every two of so many calls."""
    return [
        {first: one, second: other}
        for first in range(1, calls + 1)
        for second in range(first + 1, calls + 1)
        for one in Fault
        for other in Fault
    ]
