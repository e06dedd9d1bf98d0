"""wF: how long a fresh token waits while a controller that has just begun to lead looks at every object."""

import asyncio
import time
from collections.abc import AsyncIterator

import urllib3

from tests.bench.bare import pairing_token
from tests.bench.bare_client import GROUP, BareClient
from tests.bench.measure import Figure
from tests.bench.stage import PATIENCE_SECONDS, ControllerProcess, Stage, bare
from tests.bench.workloads import Say, Size
from tests.harness.processes import poll

GOAL_SECONDS = 1.0


def first_looks(stage: Stage, size: Size, say: Say) -> list[Figure]:
    """Start a controller twice: among tokens that were never issued, and among the same ones at rest."""
    bare("put", kubeconfig=stage.kubeconfig, namespace=stage.namespace(), count=size.looks)
    figures = []
    for state in ("to issue", "at rest"):
        delays = _delays(stage)
        name = f"seconds to Active of {len(delays)} fresh tokens, during looks at {size.looks} {state}"
        figures.append(Figure.at_most("wF", name, delays, GOAL_SECONDS))
        say(f"wF {size.looks} {state}: {figures[-1].found} s")
    return figures


def _delays(stage: Stage) -> list[float]:
    """Create one fresh token after another during the first looks, and return how long each took."""
    namespace = stage.namespace()
    with stage.controller() as controller:
        poll(lambda: _leads(controller), seconds=PATIENCE_SECONDS)
        assert _looks(controller), "the first looks ended before a fresh token was created: raise --looks"
        delays = asyncio.run(_issue_in_turn(stage, controller, namespace))
        controller.wait_until_at_rest()
    return delays


def _leads(controller: ControllerProcess) -> bool:
    assert controller.child.running, controller.child.exit_text()
    try:
        return controller.metric("tallystick_leader") == 1
    except urllib3.exceptions.HTTPError:
        return False


def _looks(controller: ControllerProcess) -> bool:
    return controller.metric("tallystick_queue_depth") > 0


async def _issue_in_turn(stage: Stage, controller: ControllerProcess, namespace: str) -> list[float]:
    path, delays = f"{GROUP}/namespaces/{namespace}/pairingtokens", list[float]()
    async with BareClient(stage.kubeconfig) as user, BareClient(stage.kubeconfig) as watcher:
        active = watcher.names(f"{path}?watch=1&fieldSelector=status.state%3DActive")
        while not delays or _looks(controller):
            began = time.monotonic()
            created = await user.call("POST", path, pairing_token(len(delays)))
            await _until_named(active, created["metadata"]["name"])
            delays.append(time.monotonic() - began)
    return delays


async def _until_named(names: AsyncIterator[str], wanted: str) -> None:
    async for name in names:
        if name == wanted:
            return
