"""Where the workloads run: control planes side by side, with and without the operator."""

import asyncio
import itertools
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import urllib3

from tallystick.cli.identities import Identity
from tallystick.cli.installing import install_parts
from tallystick.cli.settings import DEFAULT_NAMESPACE, feature_settings
from tallystick.cli.up import Up, UpOptions
from tallystick.install.apply import FIELD_MANAGER, install
from tallystick.install.installation import CONTROLLER, EXCHANGE, Installation
from tallystick.kube.client import KubeCluster
from tallystick.kube.connection import Connection
from tallystick.localplane.children import Child
from tallystick.localplane.folders import private_folder
from tallystick.localplane.pki import prepare_serving
from tallystick.localplane.plane import ControlPlane
from tallystick.localplane.probe import free_ports, port_is_free
from tallystick.registry import FEATURES, KINDS
from tests.bench import profiled
from tests.harness.processes import poll

Json = dict[str, Any]

REPOSITORY = Path(__file__).parents[2]
PATIENCE_SECONDS = 600.0


def bare(program: str, **reported: Any) -> Json:
    """Run one of the bare programs to its end, and return what it says. Values go through pipes alone."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.bare", program],
        input=json.dumps(reported).encode(),
        stdout=subprocess.PIPE,
        cwd=REPOSITORY,
        check=True,
    )
    answer: Json = json.loads(done.stdout)
    return answer


@dataclass(frozen=True, slots=True)
class Stage:
    """A control plane with CRDs, policies and RBAC, and the accounts of controller and exchange."""

    plane: ControlPlane
    folder: Path
    listen: str
    numbers: "itertools.count[int]"

    @classmethod
    @contextmanager
    def set_up(cls, folder: Path) -> Iterator["Stage"]:
        with ControlPlane.start(report=lambda _: None) as plane:
            stage = cls(plane, private_folder(folder), f"127.0.0.1:{free_ports(1)[0]}", itertools.count(1))
            asyncio.run(stage._install())
            yield stage

    @property
    def kubeconfig(self) -> str:
        return str(self.plane.kubeconfig)

    def kubeconfig_of(self, account: str) -> str:
        return str(self.folder / f"{account}.kubeconfig")

    def namespace(self) -> str:
        """Make a namespace that nothing else uses."""
        name = f"bench-{next(self.numbers)}"
        self.kubectl("create", "namespace", name)
        return name

    def kubectl(self, *arguments: str, given: bytes | None = None) -> bytes:
        """Run kubectl as the administrator, and return what it prints."""
        command = [self.plane.binaries.kubectl, "--kubeconfig", self.plane.kubeconfig, *arguments]
        return subprocess.run(command, input=given, stdout=subprocess.PIPE, check=True).stdout

    async def _install(self) -> None:
        connection = Connection(kubeconfig=self.plane.kubeconfig)
        async with KubeCluster(connection, field_manager=FIELD_MANAGER, timeout_seconds=30.0) as admin:
            installation = Installation()
            parts = install_parts(installation, FEATURES, feature_settings())
            await install(admin, installation, KINDS, parts, lambda _: None)
            for account in (CONTROLLER, EXCHANGE):
                identity = Identity(DEFAULT_NAMESPACE, account, self.folder)
                await identity.renew(admin)
                identity.write_kubeconfig(connection)

    @contextmanager
    def operator(self, *, profile: bool = False) -> Iterator[Up]:
        """Run controller and exchange."""
        options = UpOptions(listen=self.listen, root=_root(profile), environment=self.environment())
        up = Up(options, self.folder / "up", Connection(kubeconfig=self.plane.kubeconfig), self.plane.kubeconfig)
        try:
            up.start(lambda _: None)
            yield up
        finally:
            up.stop()

    @contextmanager
    def controller(self, *, profile: bool = False) -> Iterator["ControllerProcess"]:
        """Run one controller by itself, from its start."""
        health = f"127.0.0.1:{free_ports(1)[0]}"
        flags = {
            "--kubeconfig": self.kubeconfig_of(CONTROLLER),
            "--namespace": DEFAULT_NAMESPACE,
            "--public-urls": f"https://{self.listen}",
            "--audit-log": str(self.folder / "audit.jsonl"),
            "--health-listen": health,
        }
        command = [*_root(profile), CONTROLLER, *itertools.chain.from_iterable(flags.items())]
        log = self.folder / "controller.log"
        child = Child.spawn(CONTROLLER, command, log=log, environment={**os.environ, **self.environment()})
        try:
            yield ControllerProcess(child, f"http://{health}")
        finally:
            child.stop(grace=15.0)

    @contextmanager
    def least_exchange(self, *, issuer: str, jwks: Json) -> Iterator["LeastExchange"]:
        """Run wH's limit, with a certificate of its own."""
        authority, serving = prepare_serving(self.folder / "least", "least", now=datetime.now(UTC))
        port = free_ports(1)[0]
        files = {"certificate": str(serving.certificate), "key": str(serving.key)}
        reported = {"port": port, "issuer": issuer, "jwks": jwks, **files}
        command = [sys.executable, "-m", "tests.bench.bare_heartbeats", json.dumps(reported)]
        child = Child.spawn("least-exchange", command, log=self.folder / "least.log", folder=REPOSITORY)
        try:
            poll(lambda: not port_is_free(port))
            yield LeastExchange(child, f"https://127.0.0.1:{port}", authority.certificate)
        finally:
            child.stop(grace=5.0)

    def environment(self) -> dict[str, str]:
        """What a process of the operator needs beside the environment of this one."""
        return {profiled.FOLDER: str(self.folder), "PYTHONPATH": os.pathsep.join(sys.path)}


def _root(profile: bool) -> tuple[str, ...]:
    return (sys.executable, "-m", "tests.bench.profiled" if profile else "tallystick")


@dataclass(frozen=True, slots=True)
class ControllerProcess:
    """A controller and its metrics page."""

    child: Child
    health: str

    def wait_until_at_rest(self) -> None:
        """Return once it leads, and has looked at every object."""
        poll(self._is_at_rest, seconds=PATIENCE_SECONDS)

    @property
    def pid(self) -> int:
        return self.child.pid

    def _is_at_rest(self) -> bool:
        assert self.child.running, self.child.exit_text()
        try:
            return self.metric("tallystick_leader") == 1 and self.metric("tallystick_queue_depth") == 0
        except urllib3.exceptions.HTTPError:
            return False

    def metric(self, name: str) -> float:
        return metric(f"{self.health}/metrics", name)


@dataclass(frozen=True, slots=True)
class LeastExchange:
    """The program that does the least that an exchange could do, and how to reach it."""

    child: Child
    url: str
    ca_file: Path


def metric(url: str, name: str) -> float:
    """Read a gauge, or the sum of a counter over its labels."""
    text = urllib3.request("GET", url, timeout=5.0, retries=False).data.decode()
    return sum(float(value) for value in re.findall(rf"^{name}(?:\{{[^}}]*\}})? (\S+)$", text, re.MULTILINE))
