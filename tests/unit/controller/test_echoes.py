"""An event of our own write queues nothing, whether it or the response comes first. Other changes do."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tallystick.controller.echoes import Echoes
from tallystick.controller.work_queue import Level
from tallystick.controller.worklist import Worklist
from tallystick.objects.ports import UnavailableError
from tallystick.objects.result import Result
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS
from tallystick.registry import KINDS
from tallystick.runtime.metrics import make_metrics
from tests.builders import NOON
from tests.fakes import FakeClock
from tests.virtual_time import in_virtual_time

Json = dict[str, Any]
Step = Callable[[Worklist], None]


def a_token(version: int, *, serial: int = 1, uid: str = "u1") -> Json:
    meta = {"namespace": "edge", "name": "site-a", "uid": uid, "resourceVersion": str(version)}
    return {"metadata": meta, "spec": {"serial": serial}}


def event(body: Json, event_type: str = "MODIFIED") -> Step:
    """The watch delivers a version of the object, if that is news."""

    def arrives(worklist: Worklist) -> None:
        if worklist.is_news(PAIRING_TOKENS, event_type, body):
            worklist.observe(PAIRING_TOKENS, event_type, body)

    return arrives


def response(body: Json) -> Step:
    """The API server responds to a request of the reconciliation with a version of the object."""
    return lambda worklist: worklist.cache.remember(PAIRING_TOKENS, body)


def failure(_: Worklist) -> None:
    raise UnavailableError("the response was lost")


class Steps:
    """A reconciler of which the first run takes some steps."""

    def __init__(self, worklist: Worklist, *steps: Step) -> None:
        self.runs = 0
        self._worklist = worklist
        self._steps = steps

    async def reconcile(self, namespace: str, name: str) -> Result:
        self.runs += 1
        if self.runs == 1:
            for step in self._steps:
                await asyncio.sleep(1)
                step(self._worklist)
        return Result()


async def runs_with(*steps: Step) -> int:
    """Return how often the object is reconciled."""
    worklist = Worklist(KINDS, FakeClock(NOON), make_metrics(KINDS))
    worklist.observe(PAIRING_TOKENS, "ADDED", a_token(1))
    worklist.start_leading()
    steps_of = Steps(worklist, *steps)
    running = asyncio.create_task(worklist.run({PAIRING_TOKENS: steps_of}, 1))
    await asyncio.sleep(600)
    running.cancel()
    return steps_of.runs


OURS, THEIRS = a_token(2, serial=2), a_token(3, serial=3)


@pytest.mark.parametrize(
    ("steps", "runs"),
    [
        pytest.param((response(OURS), event(OURS)), 1, id="response first"),
        pytest.param((event(OURS), response(OURS)), 1, id="event first"),
        pytest.param((event(OURS),), 2, id="no response"),
        pytest.param((event(OURS), failure), 2, id="response lost"),
        pytest.param((event(THEIRS),), 2, id="another writer"),
        pytest.param((event(OURS), event(THEIRS), response(OURS)), 2, id="another writer after us"),
        pytest.param((event(OURS), response(OURS), event(THEIRS)), 2, id="another writer later"),
        pytest.param((event(a_token(2, uid="u2"), "ADDED"), response(OURS)), 2, id="another object"),
        pytest.param((event(OURS), event(OURS, "DELETED"), response(OURS)), 2, id="deleted in the same version"),
        pytest.param((event(THEIRS), response(THEIRS)), 1, id="read again by the reconciliation itself"),
    ],
)
@in_virtual_time
async def test_an_object_is_reconciled_again_unless_all_events_are_echoes(steps: tuple[Step, ...], runs: int) -> None:
    assert await runs_with(*steps) == runs


@in_virtual_time
async def test_what_arrives_while_an_object_is_at_rest_is_queued_at_once() -> None:
    worklist = Worklist(KINDS, FakeClock(NOON), make_metrics(KINDS))
    worklist.observe(PAIRING_TOKENS, "ADDED", a_token(1))
    worklist.start_leading()
    steps = Steps(worklist)
    running = asyncio.create_task(worklist.run({PAIRING_TOKENS: steps}, 1))
    await asyncio.sleep(1)
    event(OURS)(worklist)
    await asyncio.sleep(1)
    running.cancel()

    assert steps.runs == 2


def test_a_change_keeps_its_level_and_concerns_each_key() -> None:
    echoes: Echoes[str] = Echoes()
    for key in ("a", "b"):
        echoes.begin(key)
    assert echoes.hold("a", ("u1", "2"), Level.URGENT)
    assert echoes.hold("b", ("u1", "2"), Level.ROUTINE)
    assert echoes.hold("a", ("u2", "2"), Level.ROUTINE)
    assert not echoes.hold("c", ("u1", "2"), Level.URGENT)

    echoes.explain(("u1", "2"))

    assert echoes.end("a") == {Level.ROUTINE}
    assert echoes.end("b") == set()
    assert not echoes.hold("a", ("u1", "3"), Level.URGENT)
