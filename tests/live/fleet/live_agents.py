"""The agents of a fleet in one process: each follows the contract over HTTPS, through a network that loses answers."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace

import aiohttp

from tallystick.fleet.api.device import DEVICES
from tallystick.fleet.client.agent import HttpSender, Trust
from tallystick.fleet.client.contract import Answer, Outcome
from tallystick.fleet.client.device import Device, Post, Settings
from tallystick.fleet.domain.readings import device_facts
from tallystick.kube.client import KubeCluster
from tallystick.kube.connection import Connection
from tallystick.kube.tls import TlsSettings, client_context
from tallystick.objects.ports import Clock, NotFoundError
from tallystick.runtime.ids import RandomIds
from tests.harness.own_system import OwnSystem
from tests.live.fleet.project_site import Project
from tests.worlds.agents import MemoryDisk

LOST, DOUBLED, RESTARTED = 0.1, 0.1, 0.02
# An agent of a test asks more often than it has to.
LONGEST_PAUSE = 2.0


@dataclass
class BadNetwork:
    """Sends a request to one of the replicas. Some answers are lost, and some requests arrive twice."""

    send: HttpSender
    issuer: str
    urls: Callable[[], Sequence[str]]
    chooser: random.Random
    counts: Counter[str] = field(default_factory=Counter)

    async def __call__(self, post: Post) -> Answer:
        """Send one request, and return the answer or the loss of it."""
        times = 2 if self.chooser.random() < DOUBLED else 1
        answers = await asyncio.gather(*(self._sent(post) for _ in range(times)))
        self.counts["doubled"] += times - 1
        if self.chooser.random() < LOST:
            self.counts["lost"] += 1
            return Answer(0, problem="lost")
        return self.chooser.choice(answers)

    async def _sent(self, post: Post) -> Answer:
        url = self.chooser.choice(self.urls()) + post.url.removeprefix(self.issuer)
        answer = await self.send(replace(post, url=url))
        self.counts[f"status {answer.status}"] += 1
        return answer


@dataclass
class Fleet:
    """All agents, and what has become of them."""

    cluster: KubeCluster
    network: BadNetwork
    namespace: str
    value: Callable[[], str]
    clock: Clock
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    checked: int = 0
    without: list[str] = field(default_factory=list)
    devices: list[Device] = field(default_factory=list)

    async def live(self, name: str) -> None:
        """Run one agent until it is canceled. Its process is killed now and then, and finds its files again."""
        disk, number = MemoryDisk(), len(self.devices)
        self.devices.append(self._device(name, disk))
        while True:
            device = self.devices[number]
            await self._check(device)
            had = device.held.proved is not None
            taken = await device.take_step()
            self.outcomes[taken.outcome] += 1
            if had and taken.outcome is Outcome.ENROLLED:
                self.without.append(f"{name} has enrolled twice")
            if self.network.chooser.random() < RESTARTED:
                self.devices[number] = self._device(name, disk)
            await asyncio.sleep(min(taken.wait, LONGEST_PAUSE))

    def generations(self) -> Counter[int]:
        """Count the devices by the generation of the copy that they have proved."""
        return Counter(device.held.proved.generation if device.held.proved else 0 for device in self.devices)

    async def _check(self, device: Device) -> None:
        """Note an agent that holds no copy that the exchange accepts, before it asks."""
        copies = [copy for copy in (device.held.proved, device.held.next) if copy is not None]
        if not copies:
            return
        self.checked += 1
        with suppress(NotFoundError):
            facts = device_facts(await self.cluster.get(DEVICES, self.namespace, copies[0].device_id))
            if not facts.revoked and {copy.generation for copy in copies} & {facts.proved, facts.offered}:
                return
        self.without.append(copies[0].device_id)

    def _device(self, name: str, disk: MemoryDisk) -> Device:
        settings = Settings(self.network.issuer, self.value, name)
        return Device(settings, disk=disk, send=self.network, clock=self.clock, ids=RandomIds())


@asynccontextmanager
async def fleet_of(
    system: OwnSystem, project: Project, urls: Callable[[], Sequence[str]], seed: int
) -> AsyncIterator[Fleet]:
    """Open the connections of all agents, which trust the CA of the exchange, and of the test to the API server."""
    context = client_context(ca_file=system.up.ca_file)
    trust = Trust(context, TlsSettings("--url", "--ca-file", True, "ca.crt"), None)
    async with (
        aiohttp.ClientSession(  # noqa: TID251 - that of the command agent
            connector=aiohttp.TCPConnector(ssl=context, limit=64), timeout=aiohttp.ClientTimeout(total=20)
        ) as session,
        KubeCluster(Connection(kubeconfig=system.plane.kubeconfig), field_manager="tests") as cluster,
    ):
        chooser = random.Random(seed)  # noqa: S311 - no secret
        network = BadNetwork(HttpSender(session, trust), system.up.url, urls, chooser)
        yield Fleet(cluster, network, project.namespace, project.value, system.clock)
