"""Measure how Devices come into the cache of a controller: by our list and watch, and by kopf, beside LIST and parse.

    python -m tests.bench.device_watch 20000
    python -m tests.bench.device_watch 100000 --without-kopf

It starts a control plane of its own with so many Devices. Each way runs in a new process, so that its memory is its
own. It prints a line of JSON; the seconds and the processor time are those of that process alone.
"""

import asyncio
import gc
import json
import multiprocessing
import sys
import time
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from tallystick.cli.run_controller import CALL_SECONDS
from tallystick.controller.cache import ObjectCache
from tallystick.controller.kinds import MissingKinds
from tallystick.controller.list_watch import PAGE_SIZE, ListWatch
from tallystick.controller.watcher import WatchedServer, Watcher
from tallystick.fleet.api.device import DEVICES
from tallystick.fleet.services.device_index import DeviceIndex
from tallystick.kube.client import KubeCluster
from tallystick.kube.connection import Connection
from tallystick.localplane.plane import ControlPlane
from tallystick.objects.ports import Page, UnavailableError
from tallystick.runtime.clock import SystemClock
from tallystick.runtime.parts import PartEndedError
from tallystick.schema.meta import Resource
from tests.harness.etcd import Etcd
from tests.harness.many_devices import DEVICE, add_devices, first_device

SIZE = 20_000
CHANGES = 2_000
PATIENCE_SECONDS = 1200.0
FOR_KOPF = tuple(type(kind)(model=kind.model, typical=kind.typical) for kind in DEVICE)

Figures = dict[str, float]
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Site:
    """A control plane with so many Devices."""

    kubeconfig: Path
    etcd: Etcd
    size: int

    def cluster(self) -> KubeCluster:
        return KubeCluster(Connection(kubeconfig=self.kubeconfig), field_manager="bench", timeout_seconds=CALL_SECONDS)


class Receiver:
    """The observer of a watch: a cache alone."""

    def __init__(self) -> None:
        self.cache = ObjectCache(DEVICE)
        self.changes = 0

    def is_news(self, _: Resource, event_type: str | None, body: Mapping[str, Any]) -> bool:
        return event_type == "DELETED" or not self.cache.has(DEVICES, body["metadata"])

    def observe(self, _: Resource, event_type: str | None, body: Mapping[str, Any]) -> None:
        self.cache.observe(DEVICES, event_type, dict(body))
        self.changes += event_type is not None


def resident() -> int:
    """Return the memory of this process in bytes."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


class Stopwatch:
    """The time since it was made: by the clock, and of this process."""

    def __init__(self) -> None:
        self._began, self._cpu = time.monotonic(), time.process_time()

    def read(self, name: str) -> Figures:
        return {
            f"{name}_seconds": round(time.monotonic() - self._began, 2),
            f"{name}_cpu_seconds": round(time.process_time() - self._cpu, 2),
        }


async def until(done: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not done():  # noqa: ASYNC110 - kopf reports no end
            await asyncio.sleep(0.05)


async def by_list(site: Site) -> Figures:
    """LIST and parse, and keep nothing."""
    async with site.cluster() as cluster:
        watch, count, page = Stopwatch(), 0, Page([], "", "")
        while not count or page.rest:
            page = await cluster.page(DEVICES, size=PAGE_SIZE, rest=page.rest)
            count += len(page.items)
    assert count == site.size
    return watch.read("list")


async def by_kopf(site: Site) -> Figures:
    connection, receiver = Connection(kubeconfig=site.kubeconfig), Receiver()
    async with site.cluster() as cluster:
        server = WatchedServer(
            url=connection.server, session=lambda guard: connection.session(limit=0, guard=guard), served=cluster.served
        )
        watcher = Watcher(server=server, kinds=FOR_KOPF, namespaces=(), observer=receiver, missing=MissingKinds())
        return await watched(receiver, site, "kopf", watcher.run())


async def by_list_watch(site: Site) -> Figures:
    receiver = Receiver()
    async with site.cluster() as cluster:
        ours = ListWatch(
            feed=cluster,
            resource=DEVICES,
            namespace="",
            cache=receiver.cache,
            observer=receiver,
            missing=MissingKinds(),
        )
        return await watched(receiver, site, "ours", ours.run())


async def watched(receiver: Receiver, site: Site, name: str, work: Coroutine[Any, Any, None]) -> Figures:
    """Let one of them list, change some Devices, and return what that has taken."""
    before, watch = resident(), Stopwatch()
    running = asyncio.create_task(work)
    try:
        await until(lambda: len(receiver.cache.stores[DEVICES]) == site.size or running.done())
        listed = watch.read(name)
        await asyncio.sleep(2)  # kopf ends the tasks of the objects that it has listed
        at_rest = resident()
        async with site.cluster() as cluster:
            index = DeviceIndex(cluster, receiver.cache, SystemClock(), lambda *_: None)
            await index.fill()
        with_index = resident()
        changed = await of_changes(site.etcd, receiver, name)
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError, PartEndedError):
            await running
    return {
        **listed,
        f"{name}_bytes_each": round((at_rest - before) / site.size),
        f"{name}_bytes_each_with_index": round((with_index - before) / site.size),
        **changed,
    }


async def of_changes(etcd: Etcd, receiver: Receiver, name: str) -> Figures:
    """Change some Devices in etcd by another process, and return the time of the watch."""
    places = receiver.cache.keys(DEVICES)[:CHANGES]
    changed = [receiver.cache.get(DEVICES, *place) or {} for place in places]
    for body in changed:
        del body["metadata"]["resourceVersion"]
        body["metadata"]["labels"] = {"touched": name}
    watch, expected = Stopwatch(), receiver.changes + len(places)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as writer:
        writing = writer.submit(partial(etcd.put, DEVICES, changed, at_a_time=1))
        await until(lambda: receiver.changes >= expected or (writing.done() and writing.exception()))
    return watch.read(f"{name}_{len(changed)}_changes")


def prepare(plane: ControlPlane, size: int) -> Site:
    """Fill etcd, and start the API server again: it reads so many objects faster than so many events."""
    site = Site(plane.kubeconfig, Etcd.of(plane), size)
    add_devices(plane, asyncio.run(with_cluster(site, first_device)), range(size - 1))
    plane.restart_apiserver()
    asyncio.run(with_cluster(site, until_current))
    return site


async def with_cluster(site: Site, work: Callable[[KubeCluster], Coroutine[Any, Any, Result]]) -> Result:
    async with site.cluster() as cluster:
        return await work(cluster)


async def until_current(cluster: KubeCluster) -> None:
    """Return as soon as the API server has read all from etcd."""
    pages = 0
    while pages < 2:
        try:
            page = await cluster.page(DEVICES, size=1)
            pages += 1
            await cluster.page(DEVICES, size=1, rest=page.rest)
        except UnavailableError:
            pages = 0
            await SystemClock().pause(1.0)


def run(way: Callable[[Site], Coroutine[Any, Any, Figures]], site: Site) -> Figures:
    return asyncio.run(way(site))


def main() -> None:
    arguments = sys.argv[1:]
    size = int(arguments[0]) if arguments else SIZE
    ways = [by_list, by_list_watch, *([] if "--without-kopf" in arguments else [by_kopf]), by_list]
    figures: dict[str, float] = {"devices": size}
    with ControlPlane.start(report=lambda _: None) as plane:
        site = prepare(plane, size)
        for number, way in enumerate(ways):
            new = multiprocessing.get_context("spawn")
            with ProcessPoolExecutor(1, mp_context=new) as process:
                found = process.submit(run, way, site).result()
            figures |= {f"{name}_again": value for name, value in found.items()} if number and way is by_list else found
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
