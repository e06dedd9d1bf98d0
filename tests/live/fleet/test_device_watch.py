"""The list and watch of Devices beside a real API server and its etcd: nothing is lost, and nothing is kept.

What the watch misses is done behind the back of the API server, in etcd, while it is down. Then it does not have the
version of the watch any more (410), and all Devices are listed again.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from tallystick.controller.cache import ObjectCache
from tallystick.controller.kinds import MissingKinds
from tallystick.controller.list_watch import ListWatch
from tallystick.fleet.api.device import DEVICES
from tallystick.kube.client import KubeCluster
from tallystick.kube.connection import Connection
from tallystick.localplane.plane import ControlPlane
from tallystick.objects.ports import Page, UnavailableError
from tallystick.schema.meta import Resource
from tests.harness.etcd import Etcd
from tests.harness.loops import connections_closed
from tests.harness.many_devices import DEVICE, add_devices, first_device, likes_of
from tests.harness.plane import own_plane
from tests.harness.processes import poll
from tests.harness.proofs import Figure

__all__ = ["own_plane"]

Json = dict[str, Any]
MANY = 2_000
PAGES = 4


class Client(KubeCluster):
    """The real client. It counts what is asked, and does something before some requests."""

    def __init__(self, plane: ControlPlane) -> None:
        super().__init__(Connection(kubeconfig=plane.kubeconfig), field_manager="test")
        self.listings = self.pages = self.watches = 0
        self.before_page: Callable[[int], None] = lambda _: None

    async def page(
        self, resource: Resource, namespace: str = "", *, label_selector: str = "", size: int, rest: str = ""
    ) -> Page:
        self.listings += not rest
        self.pages += 1
        await asyncio.to_thread(self.before_page, self.pages)
        return await super().page(resource, namespace, label_selector=label_selector, size=size, rest=rest)

    def events(self, *arguments: Any, **named: Any) -> Any:
        self.watches += 1
        return super().events(*arguments, **named)


class Replica:
    """A list and watch of Devices, as a controller has it, in a thread of its own."""

    def __init__(self, plane: ControlPlane, before_page: Callable[[int], None] = lambda _: None) -> None:
        self._plane, self._before_page = plane, before_page
        self.cache = ObjectCache(DEVICE)
        self.deleted: set[str] = set()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self._started = threading.Event()

    def is_news(self, resource: Resource, event_type: str | None, body: Mapping[str, Any]) -> bool:
        return event_type == "DELETED" or not self.cache.has(resource, body["metadata"])

    def observe(self, resource: Resource, event_type: str | None, body: Mapping[str, Any]) -> None:
        self.cache.observe(resource, event_type, dict(body))
        if event_type == "DELETED":
            self.deleted.add(body["metadata"]["uid"])

    @property
    def cached(self) -> dict[str, tuple[str, str]]:
        """The uid and the version of each Device, by its name."""
        store = self.cache.stores[DEVICES]
        found = [(key[1], store.get(key)) for key in store]
        return {name: (record.uid, record.resource_version) for name, record in found if record is not None}

    @contextmanager
    def watching(self) -> Iterator["Replica"]:
        self._thread.start()
        self._started.wait()
        try:
            yield self
        finally:
            self._loop.call_soon_threadsafe(self._task.cancel)
            self._thread.join()

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        async with Client(self._plane) as self.client:
            self.client.before_page = self._before_page
            watch = ListWatch(
                feed=self.client,
                resource=DEVICES,
                namespace="",
                cache=self.cache,
                observer=self,
                missing=MissingKinds(),
                page_size=MANY // PAGES,
            )
            self._task = asyncio.create_task(watch.run())
            self._started.set()
            await asyncio.wait({self._task})
        await connections_closed()


def stored(plane: ControlPlane) -> dict[str, tuple[str, str]]:
    """The uid and the version of each Device, by its name, as the API server has them; none while it is behind etcd."""

    async def listed() -> dict[str, tuple[str, str]]:
        async with KubeCluster(Connection(kubeconfig=plane.kubeconfig), field_manager="test") as cluster:
            metas = [body["metadata"] async for body in cluster.list(DEVICES, metadata_only=True)]
        await connections_closed()
        return {meta["name"]: (meta["uid"], meta["resourceVersion"]) for meta in metas}

    with suppress(UnavailableError):
        return asyncio.run(listed())
    return {}


@pytest.fixture(scope="module")
def first(own_plane: ControlPlane) -> Json:
    async def created() -> Json:
        async with KubeCluster(Connection(kubeconfig=own_plane.kubeconfig), field_manager="test") as cluster:
            return await first_device(cluster)

    return asyncio.run(created())


@pytest.fixture
def devices(own_plane: ControlPlane, first: Json) -> Iterator[list[Json]]:
    """So many Devices beside the first one, as etcd stores them."""
    etcd = Etcd.of(own_plane)
    bodies = add_devices(own_plane, first, range(MANY - 1))
    poll(lambda: len(stored(own_plane)) == MANY)
    yield bodies
    everything = [{"metadata": {"namespace": "default", "name": name}} for name in stored(own_plane)]
    etcd.remove(DEVICES, (body for body in everything if body["metadata"]["name"] != first["metadata"]["name"]))
    poll(lambda: len(stored(own_plane)) == 1)


def touched(bodies: list[Json]) -> list[Json]:
    return [{**body, "metadata": {**body["metadata"], "labels": {"site": "moved"}}} for body in bodies]


def test_each_change_of_2000_devices_is_taken_without_another_listing(
    own_plane: ControlPlane, first: Json, devices: list[Json]
) -> None:
    etcd = Etcd.of(own_plane)
    with Replica(own_plane).watching() as replica:
        poll(lambda: len(replica.cached) == MANY)

        etcd.put(DEVICES, touched(devices[:500]), at_a_time=1)
        etcd.remove(DEVICES, devices[500:1000], at_a_time=1)
        etcd.put(DEVICES, likes_of(devices[0], range(MANY, MANY + 300)), at_a_time=1)
        poll(lambda: replica.cached == stored(own_plane))

        assert len(replica.cached) == MANY - 500 + 300
        assert (replica.client.listings, replica.client.pages) == (1, PAGES)
        assert replica.deleted == {body["metadata"]["uid"] for body in devices[500:1000]}
    del first


@pytest.mark.proof(gate=1, soak=5)
def test_what_an_api_server_that_was_killed_did_not_report_is_found_and_what_is_gone_is_removed(
    own_plane: ControlPlane, first: Json, devices: list[Json], rounds: int, figure: Figure
) -> None:
    etcd = Etcd.of(own_plane)
    with Replica(own_plane).watching() as replica:
        poll(lambda: len(replica.cached) == MANY)
        for number in range(1, rounds + 1):
            own_plane.kill_apiserver()
            gone, again, changed = devices[:400], devices[400:500], devices[500:900]
            etcd.remove(DEVICES, [*gone, *again])
            new = list(likes_of(devices[0], range(number * 10_000, number * 10_000 + 400)))
            other_uids = [{**body, "metadata": {**body["metadata"], "uid": f"{number}-{n}"}}
                          for n, body in enumerate(again)]  # fmt: skip
            etcd.put(DEVICES, [*touched(changed), *new, *other_uids])
            etcd.compact()
            own_plane.restart_apiserver()
            poll(lambda: replica.cached == stored(own_plane))

            # The deletion of each was reported, also of those that were created again under the same name.
            assert {body["metadata"]["uid"] for body in (*gone, *again)} <= replica.deleted
            devices = [*devices[900:], *changed, *new, *other_uids]
        figure(f"{rounds} outages: {replica.client.listings} listings, {replica.client.watches} watches of {MANY}")
        assert replica.client.listings > rounds
        assert len(replica.cached) == MANY
    del first


def test_an_api_server_that_is_killed_in_the_middle_of_the_listing_loses_no_device(
    own_plane: ControlPlane, first: Json, devices: list[Json]
) -> None:
    half, back = threading.Event(), threading.Event()

    def stop_at_the_third_page(number: int) -> None:
        if number == 3:
            half.set()
            back.wait(timeout=120)

    etcd = Etcd.of(own_plane)
    with Replica(own_plane, stop_at_the_third_page).watching() as replica:
        assert half.wait(timeout=120)
        some = replica.cached
        own_plane.kill_apiserver()
        # On the pages that were read, and on those that were not.
        listed = [body for body in devices if body["metadata"]["name"] in some]
        unlisted = [body for body in devices if body["metadata"]["name"] not in some]
        etcd.remove(DEVICES, [*listed[:100], *unlisted[:100]])
        etcd.put(DEVICES, touched([*listed[100:200], *unlisted[100:200]]))
        etcd.compact()
        back.set()
        own_plane.restart_apiserver()
        poll(lambda: replica.cached == stored(own_plane))

        assert MANY // PAGES <= len(some) < MANY
        assert len(replica.cached) == MANY - 200
        assert {body["metadata"]["uid"] for body in listed[:100]} <= replica.deleted
    del first


def test_devices_that_are_deleted_while_they_are_listed_again_are_not_kept(
    own_plane: ControlPlane, first: Json, devices: list[Json]
) -> None:
    etcd, ends = Etcd.of(own_plane), devices[::4]

    def remove_some_and_forget_the_rest_of_the_listing(number: int) -> None:
        if number == 3:
            etcd.remove(DEVICES, ends, at_a_time=1)
            etcd.compact()

    with Replica(own_plane, remove_some_and_forget_the_rest_of_the_listing).watching() as replica:
        poll(lambda: replica.cached == stored(own_plane))
        poll(lambda: len(replica.cached) == MANY - len(ends))
    del first
