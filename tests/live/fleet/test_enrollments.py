"""Devices enroll and rotate against a real API server, with the permissions, rules and policies of an installation.

The use cases of three replicas run in the process of the test. A replica that is killed stops between its swap and its
create, as a process does.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tallystick.crypto.keyring import Keyring
from tallystick.crypto.keys import SigningKey
from tallystick.errors import NotYetError
from tallystick.fleet.api.device import DEVICES
from tallystick.fleet.api.token_rotation import TOKEN_ROTATIONS
from tallystick.fleet.domain.readings import device_facts
from tallystick.fleet.services.check_ins import CheckIns
from tallystick.fleet.services.device_proofs import DeviceProofs
from tallystick.fleet.services.enrolling import Enrolling
from tallystick.fleet.services.refused import DeviceRefusedError
from tallystick.install.installation import CONTROLLER, EXCHANGE, Installation
from tallystick.kube.client import KubeCluster
from tallystick.kube.connection import Connection
from tallystick.localplane.plane import ControlPlane
from tallystick.objects.context import Context
from tallystick.objects.fresh_reader import FreshReader
from tallystick.objects.ports import Cluster, Json
from tallystick.objects.server_clock import ServerClock
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS
from tallystick.pairing.domain.enrollment_values import ENROLLMENT, value_id
from tallystick.runtime.clock import SystemClock
from tallystick.runtime.ids import RandomIds
from tallystick.schema.meta import API_VERSION
from tallystick.schema.times import rfc3339
from tallystick.tokens.signer import Signer
from tests.builders import ISSUER
from tests.fakes import MemoryAudit, MemoryEvents
from tests.live.fleet.fleet_plane import admin, installed, own_plane
from tests.worlds.fleet_world import Agent

__all__ = ["admin", "installed", "own_plane"]

REPLICAS, FREE, DEVICES_THAT_ASK, KILLS = 3, 10, 50, 12


class Killed(BaseException):
    """The process of a replica has ended."""


class Mortal:
    """The API server, as a replica sees it that is killed before some of its creates."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster, self.kills = cluster, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cluster, name)

    async def create(self, resource: Any, body: Json, *, dry_run: bool = False) -> Json:
        if resource == DEVICES and self.kills > 0:
            self.kills -= 1
            raise Killed
        return await self._cluster.create(resource, body, dry_run=dry_run)


@dataclass
class Replica:
    """The use cases of one process."""

    enrolling: Enrolling
    check_ins: CheckIns


class Project:
    """A project of devices on a real API server. It has what an agent asks of its world."""

    def __init__(self, people: Cluster, controller: Cluster, exchange: Cluster, namespace: str) -> None:
        self.clock, self.ids, self.audit, self.events = SystemClock(), RandomIds(), MemoryAudit(), MemoryEvents()
        self.people, self.controller, self.exchange = people, controller, Mortal(exchange)
        self.namespace = namespace
        self._keyring = Keyring.first(ISSUER, SigningKey.generate("ES256"), self.clock.now())
        self.signer = Signer(self, ISSUER)
        self.uid = ""

    def keyring(self) -> Keyring:
        """The Keys port."""
        return self._keyring

    async def create(self, *, devices: int = 0, **spec: Any) -> None:
        """Create the PairingToken, and write the status that the controller writes."""
        body = {
            "apiVersion": API_VERSION,
            "kind": PAIRING_TOKENS.kind,
            "metadata": {"name": "cams", "namespace": self.namespace},
            "spec": {"purpose": "DeviceProject", "projectKey": "fleet01", **spec},
        }
        stored = await self.people.create(PAIRING_TOKENS, body)
        status = {"state": "Active", "serial": 1, "generation": 1, "devices": devices}
        await self.controller.replace_status(PAIRING_TOKENS, {**stored, "status": status})
        self.uid = stored["metadata"]["uid"]

    def value(self, generation: int = 1) -> str:
        """Sign the value that devices enroll with."""
        project = f"{self.namespace}/fleet01"
        named = {"kind": "PairingToken", "ns": self.namespace, "name": "cams", "uid": self.uid}
        claims: Json = {
            "iss": ISSUER,
            "sub": f"project:{project}",
            "aud": ISSUER,
            "iat": int(self.clock.now().timestamp()),
            "jti": value_id(self.uid, 1, generation),
            "project": project,
            "tallystick": {**named, "serial": 1, "generation": generation},
        }
        key_id = self._keyring.signing_key(self.clock.now()).key_id
        return self.signer.sign(claims, profile=ENROLLMENT, key_id=key_id)

    async def rotate(self) -> None:
        """Start a rotation as the controller does: its lock, and then its status."""
        body = {
            "apiVersion": API_VERSION,
            "kind": TOKEN_ROTATIONS.kind,
            "metadata": {"name": "rot-1", "namespace": self.namespace},
            "spec": {"targetRef": {"kind": "PairingToken", "name": "cams"}},
        }
        rotation = await self.people.create(TOKEN_ROTATIONS, body)
        token = await self.token()
        lock = {"name": "rot-1", "uid": rotation["metadata"]["uid"], "generation": 2, "state": "Running"}
        status = {**token["status"], "generation": 2, "rotation": lock}
        await self.controller.replace_status(PAIRING_TOKENS, {**token, "status": status})
        running = {
            "state": "Running",
            "generation": 2,
            "startTime": rfc3339(self.clock.now()),
            "open": {"batch": 1},
            "batches": [{"name": "rest"}],
        }
        await self.controller.replace_status(TOKEN_ROTATIONS, {**rotation, "status": running})

    async def token(self) -> Json:
        """The PairingToken."""
        return await self.people.get(PAIRING_TOKENS, self.namespace, "cams")

    async def devices(self) -> list[Json]:
        """All Devices."""
        return [body async for body in self.people.list(DEVICES, self.namespace)]

    def replica(self) -> Replica:
        """Start one more replica."""
        reader = FreshReader(self.exchange, self.clock)
        ctx = Context(self.clock, ServerClock(self.clock), self.audit, self.events)
        proofs = DeviceProofs((ISSUER,), self.clock, self.audit)
        return Replica(
            Enrolling(self.exchange, reader, self.signer, proofs.of_enrollment, ctx, ids=self.ids),
            CheckIns(self.exchange, reader, self.signer, proofs, ctx, ids=self.ids),
        )


def kubeconfig_as(own_plane: ControlPlane, path: Path, user: str, *groups: str) -> Path:
    """Write a kubeconfig that impersonates a user."""
    config = yaml.safe_load(own_plane.kubeconfig.read_text())
    for entry in config["users"]:
        entry["user"] |= {"as": user, **({"as-groups": list(groups)} if groups else {})}
    path.write_text(yaml.safe_dump(config))
    path.chmod(0o600)
    return path


@pytest.fixture
def on_project(
    own_plane: ControlPlane, installed: Installation, make_namespace: Callable[[str], str], tmp_path: Path
) -> Callable[[Callable[[Project], Any]], None]:
    """Run a test with a project. The exchange has no right but its own."""
    controller, exchange = (installed.service_account(component) for component in (CONTROLLER, EXCHANGE))
    paths = (
        own_plane.kubeconfig,
        kubeconfig_as(own_plane, tmp_path / "controller", controller, "system:masters"),
        kubeconfig_as(own_plane, tmp_path / "exchange", exchange),
    )

    async def run(test: Callable[[Project], Any]) -> None:
        async with AsyncExitStack() as stack:
            clusters = [
                await stack.enter_async_context(KubeCluster(Connection(kubeconfig=path), field_manager="test"))
                for path in paths
            ]
            await test(Project(*clusters, make_namespace("enrollments")))

    return lambda test: asyncio.run(run(test))


def test_a_device_enrolls_and_a_rotation_moves_it_by_writes_that_the_schema_allows(on_project: Any) -> None:
    async def moved(project: Project) -> None:
        await project.create(deviceLabels={"site": "berlin"})
        agent = Agent(project)
        first = await agent.enroll(project.replica(), project.value())
        again = await agent.enroll(project.replica(), project.value())
        await agent.check_in(project.replica())
        await project.rotate()

        handed_out = await agent.check_in(project.replica())
        offered = await project.devices()
        await agent.check_in(project.replica())
        proved = await project.devices()

        assert (first.created, again.created, again.copy) == (True, False, first.copy)
        assert handed_out.handed_out is not None
        assert [(device_facts(body).proved, device_facts(body).offered) for body in offered] == [(1, 2)]
        assert [(device_facts(body).proved, device_facts(body).offered) for body in proved] == [(2, 0)]
        assert proved[0]["metadata"]["labels"] == {"site": "berlin"}
        assert proved[0]["status"]["conditions"][0]["reason"] == "Active"
        assert (await project.token())["status"]["enrolling"][0]["name"] == agent.name

    on_project(moved)


def test_of_50_enrollments_at_10_free_places_10_pass_although_replicas_are_killed(on_project: Any) -> None:
    async def enrolled(project: Project) -> None:
        await project.create(maxDevices=40 + FREE, devices=40)
        replicas, value, killed = [project.replica() for _ in range(REPLICAS)], project.value(), Counter[str]()
        project.exchange.kills = KILLS

        async def ask(number: int) -> str:
            """Ask as a device does: until there is a final answer."""
            agent = Agent(project)
            for attempt in range(200):
                place = (number + attempt) % REPLICAS
                try:
                    await agent.enroll(replicas[place], value)
                except Killed:
                    killed["replica"] += 1
                    replicas[place] = project.replica()
                except NotYetError as later:
                    await project.clock.pause(later.retry_after)
                except DeviceRefusedError as refused:
                    if not refused.retry_after:
                        return refused.code
                    await project.clock.pause(refused.retry_after)
                else:
                    return "enrolled"
            return "no final answer"

        answers = Counter(await asyncio.gather(*(ask(number) for number in range(DEVICES_THAT_ASK))))

        token, devices = await project.token(), await project.devices()
        assert killed["replica"] == KILLS
        assert answers == {"enrolled": FREE, "device_limit": DEVICES_THAT_ASK - FREE}
        names = {body["metadata"]["name"] for body in devices}
        assert len(names) == FREE
        status = token["status"]
        assert {entry["name"] for entry in status["enrolling"]} <= names
        assert status["devices"] - 40 + len(status["enrolling"]) == FREE

    on_project(enrolled)
