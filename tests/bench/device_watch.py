"""Measure how long kopf takes to list Devices into the cache, and the memory of each, beside a plain LIST and parse.

    python -m tests.bench.device_watch 20000

It starts a control plane of its own, creates so many Devices, and prints a line of JSON.
"""

import asyncio
import gc
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tallystick.controller.cache import ObjectCache
from tallystick.controller.kinds import MissingKinds
from tallystick.controller.watcher import WatchedServer, Watcher
from tallystick.fleet.api.device import DEVICES
from tallystick.fleet.domain.copies import device_name
from tallystick.fleet.feature import KINDS
from tallystick.fleet.services.device_index import DeviceIndex
from tallystick.install.crds import crds
from tallystick.kube.client import KubeCluster
from tallystick.kube.connection import Connection
from tallystick.localplane.plane import ControlPlane
from tallystick.objects.ports import ClusterError
from tallystick.runtime.clock import SystemClock
from tallystick.schema.meta import API_VERSION, Resource

TOKEN_UID = "9a0c1f0e-0000-4000-8000-000000000000"
CRDS = Resource("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition")
AT_A_TIME = 24
PATIENCE_SECONDS = 300.0
KIND = tuple(kind for kind in KINDS if kind.resource == DEVICES)


class Receiver:
    """The observer of kopf's watch: a cache alone."""

    def __init__(self) -> None:
        self.cache = ObjectCache(KIND)

    def is_news(self, _: Resource, event_type: str | None, body: Mapping[str, Any]) -> bool:
        return event_type == "DELETED" or not self.cache.has(DEVICES, body["metadata"])

    def observe(self, _: Resource, event_type: str | None, body: Mapping[str, Any]) -> None:
        self.cache.observe(DEVICES, event_type, dict(body))


def resident() -> int:
    """Return the memory of this process in bytes."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


async def create(cluster: KubeCluster, size: int) -> None:
    numbers = iter(range(size))

    async def some() -> None:
        for number in numbers:
            body = {
                "apiVersion": API_VERSION,
                "kind": DEVICES.kind,
                "metadata": {"name": device_name(TOKEN_UID, str(number)), "namespace": "default"},
                "spec": {
                    "pairingTokenRef": {"name": "cams", "uid": TOKEN_UID},
                    "serial": 1,
                    "generation": 1,
                    "kid": "k" * 43,
                    "projectKey": "fleet01",
                    "keyThumbprint": device_name(TOKEN_UID, str(number))[2:] + "A" * 17,
                    "displayName": f"cam-{number}",
                },
            }
            await cluster.create(DEVICES, body)

    await asyncio.gather(*(some() for _ in range(AT_A_TIME)))


async def listed(cluster: KubeCluster) -> tuple[float, float]:
    """Return the seconds of a LIST with parse: by the clock, and of this process."""
    started, cpu = time.monotonic(), time.process_time()
    count = 0
    async for _ in cluster.list(DEVICES):
        count += 1
    return time.monotonic() - started, time.process_time() - cpu


async def watched(connection: Connection, cluster: KubeCluster, size: int) -> dict[str, float]:
    """Let kopf list, and return the seconds and the bytes of a Device."""
    receiver, before = Receiver(), resident()
    server = WatchedServer(
        url=connection.server, session=lambda guard: connection.session(limit=0, guard=guard), served=cluster.served
    )
    watcher = Watcher(server=server, kinds=KIND, namespaces=(), observer=receiver, missing=MissingKinds())
    started, cpu = time.monotonic(), time.process_time()
    running = asyncio.create_task(watcher.run())
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(receiver.cache.stores[DEVICES]) < size and not running.done():  # noqa: ASYNC110 - kopf reports no end
            await asyncio.sleep(0.05)
    seconds, cpu = time.monotonic() - started, time.process_time() - cpu
    await asyncio.sleep(2)  # kopf ends the tasks of the objects that it has listed
    at_rest = resident()
    index = DeviceIndex(cluster, receiver.cache, SystemClock(), lambda *_: None)
    filling = time.monotonic()
    await index.fill()
    filled = time.monotonic() - filling
    with_index = resident()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return {
        "kopf_seconds": round(seconds, 2),
        "kopf_cpu_seconds": round(cpu, 2),
        "bytes_each": round((at_rest - before) / size),
        "bytes_each_with_index": round((with_index - before) / size),
        "index_seconds": round(filled, 2),
    }


async def measure(kubeconfig: Path, size: int) -> dict[str, float]:
    connection = Connection(kubeconfig=kubeconfig)
    async with KubeCluster(Connection(kubeconfig=kubeconfig), field_manager="bench") as cluster:
        for body in crds(KIND):
            await cluster.create(CRDS, body)
        started = time.monotonic()
        while True:
            try:
                await create(cluster, 1)
                break
            except ClusterError:
                await asyncio.sleep(0.2)
        async for body in cluster.list(DEVICES):
            await cluster.delete(DEVICES, "default", body["metadata"]["name"], uid=body["metadata"]["uid"])
        await create(cluster, size)
        created = time.monotonic() - started
        by_list, cpu = await listed(cluster)
        found = await watched(connection, cluster, size)
    return {
        "devices": size,
        "create_seconds": round(created, 1),
        "list_seconds": round(by_list, 2),
        "list_cpu_seconds": round(cpu, 2),
        **found,
    }


def main() -> None:
    size = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with ControlPlane.start(report=lambda _: None) as plane:
        sys.stdout.write(json.dumps(asyncio.run(measure(plane.kubeconfig, size))) + "\n")


if __name__ == "__main__":
    main()
