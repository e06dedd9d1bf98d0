"""No device is locked out while controllers and replicas are killed, and answers are lost and doubled.

Each agent follows its contract over HTTPS. Before each check-in the API server is asked whether the agent holds a copy
that the exchange accepts. All versions of each TokenRotation are watched, and their numbers must sum to the total.
"""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import timedelta
from typing import Any

import pytest
import urllib3

from tests.harness.api import Api
from tests.harness.installed import new_namespace
from tests.harness.own_system import OwnSystem, own_system
from tests.harness.proofs import Figure
from tests.live.fleet.herd import Herd
from tests.live.fleet.live_agents import Fleet, fleet_of
from tests.live.fleet.project_site import Project, after_older_readings, counts_of

__all__ = ["own_system"]

Json = dict[str, Any]

SIZES = {1: 40, 10: 200}  # agents, by the number of runs: in the gate, and in the soak
ONE_RUN_SECONDS = 600
LOOK_SECONDS = 0.5


@pytest.fixture
def project(own_system: OwnSystem) -> Project:
    namespace = new_namespace(own_system.admin, "fleet")
    return Project(own_system.admin, namespace, own_system.exchange, own_system.up.folder)


@pytest.fixture(scope="module")
def herd(own_system: OwnSystem, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Herd]:
    with Herd.of(own_system, tmp_path_factory.mktemp("herd")) as found:
        yield found


@contextmanager
def every_version(api: Api, project: Project) -> Iterator[list[Json]]:
    """Watch the TokenRotations of a project for the length of the block."""
    path = f"/apis/tallystick.dev/v1alpha1/namespaces/{project.namespace}/tokenrotations?watch=true"
    timeout, seen, last = urllib3.Timeout(connect=10.0, read=ONE_RUN_SECONDS), list[Json](), "the-last-version"
    with closing(api.pool.request("GET", api.server + path, preload_content=False, timeout=timeout)) as answer:

        def read() -> None:
            for line in answer:
                body = json.loads(line)["object"]
                if body["metadata"]["name"] == last:
                    return
                seen.append(body)

        reading = threading.Thread(target=read, daemon=True)
        reading.start()
        yield seen
        api.create(project.rotation(last, targetRef={"kind": "PairingToken", "name": "nobody"})).must_succeed()
        reading.join(60.0)
        assert not reading.is_alive()


async def until(is_so: Callable[[], Any]) -> None:
    """Return when a fact is so, which is read in a thread beside the agents."""
    async with asyncio.timeout(ONE_RUN_SECONDS):
        while not await asyncio.to_thread(is_so):  # noqa: ASYNC110 - other processes make it so
            await asyncio.sleep(LOOK_SECONDS)


async def rotate_abort_rotate(
    system: OwnSystem, project: Project, fleet: Fleet, size: int, all_killed: Callable[[], bool]
) -> None:
    """Enroll, rotate in batches, abort the second rotation in the middle, and rotate again.

    The last rotation begins when each process was killed once.
    """
    tasks = [asyncio.create_task(fleet.live(f"cam-{number}")) for number in range(size)]
    try:
        await until(lambda: fleet.generations()[1] == size)
        batches = {"batches": [{"name": "tenth", "limit": "10%"}], "maxConcurrency": "50%", "maxFailures": "50%"}
        await asyncio.to_thread(project.rotate, "rot-1", strategy=batches)
        await until(lambda: project.status("rot-1").get("state") == "Succeeded")
        await asyncio.to_thread(project.rotate, "rot-2", strategy={"maxConcurrency": "20%"})
        await until(lambda: project.status("rot-2").get("devices", {}).get("succeeded", 0) >= size // 4)
        await asyncio.to_thread(project.order, "rot-2", desiredState="Aborted")

        def is_aborted() -> bool:
            status = project.status("rot-2")
            if status.get("state") == "Aborting":
                system.clock.advance(timedelta(seconds=8))  # each new leader waits for stragglers anew
            return status.get("state") == "Aborted"

        await until(is_aborted)
        await until(all_killed)
        await asyncio.to_thread(project.rotate, "rot-3")
        await until(lambda: project.status("rot-3").get("state") == "Succeeded" and fleet.generations()[4] == size)
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert [error for error in ended if not isinstance(error, asyncio.CancelledError)] == []


async def one_run(system: OwnSystem, project: Project, herd: Herd, size: int, *, seed: int) -> Fleet:
    before = herd.kills.copy()
    async with fleet_of(system, project, lambda: herd.urls, seed=seed) as fleet:
        await rotate_abort_rotate(system, project, fleet, size, lambda: herd.all_killed_since(before))
        return fleet


@pytest.mark.timeout(ONE_RUN_SECONDS)
@pytest.mark.proof(gate=1, soak=10)
def test_at_every_check_in_each_agent_holds_an_accepted_copy(
    own_system: OwnSystem, herd: Herd, rounds: int, figure: Figure
) -> None:
    size = SIZES[rounds]
    for number in range(rounds):
        namespace = new_namespace(own_system.admin, "chaos")
        project = Project(own_system.admin, namespace, own_system.exchange, own_system.up.folder)
        project.apply(maxDevices=size)
        before = herd.kills.copy()

        with every_version(own_system.admin, project) as versions, ThreadPoolExecutor(1) as beside:
            running = beside.submit(asyncio.run, one_run(own_system, project, herd, size, seed=number))
            herd.kill_in_turn(until=running.done, seed=number)
            fleet = running.result()

        kills, counts = herd.kills - before, fleet.network.counts
        figure(
            f"run {number + 1}: {size} agents, {dict(kills)} killed, {counts['lost']} answers lost, "
            f"{counts['doubled']} requests doubled, {fleet.checked} check-ins each with an accepted copy, "
            f"{dict(fleet.outcomes)}, {len(versions)} versions of the rotations"
        )
        assert fleet.without == []
        counted = [counts_of(body["status"]) for body in versions if "devices" in body.get("status", {})]
        assert len(counted) > 3
        assert len(project.devices()) == size
        assert {body["status"]["generation"] for body in project.devices()} == {4}
        assert (
            counts_of(project.status("rot-1"))
            == counts_of(project.status("rot-3"))
            == {"succeeded": size, "total": size}
        )
        assert counts_of(project.status("rot-2"))["total"] == size


def test_pause_and_abort_are_obeyed_without_a_controller(own_system: OwnSystem, project: Project, herd: Herd) -> None:
    project.apply()
    started, other, left = project.cameras(3)
    project.rotating()
    new = started.take()
    with herd.without_a_controller():
        project.order("rot-1", desiredState="Paused")
        after_older_readings()
        paused = (other.check_in().status, left.check_in().status)
        project.order("rot-1", desiredState="Running")
        other.prove(other.take())
        project.order("rot-1", desiredState="Aborted")
        after_older_readings()
        started.prove(new)
        aborted = left.check_in().status
    project.wait(state="Aborting")
    ended = project.end(own_system.clock, state="Aborted")

    assert (paused, aborted) == ((204, 204), 204)
    assert counts_of(ended) == {"succeeded": 2, "noRotation": 1, "total": 3}
