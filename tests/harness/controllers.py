"""Controllers one by one, for tests that kill them, start them again, or let two compete.

They need a control plane on which no other controller leads.
"""

import asyncio
import itertools
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import urllib3

from tallystick.cli.identities import Identity
from tallystick.cli.settings import DEFAULT_NAMESPACE
from tallystick.feature import Feature
from tallystick.install.installation import CONTROLLER, Installation
from tallystick.kube.client import KubeCluster
from tallystick.kube.connection import Connection
from tallystick.localplane.children import Child
from tallystick.localplane.folders import private_folder
from tallystick.localplane.plane import ControlPlane
from tallystick.localplane.probe import free_ports
from tallystick.registry import FEATURES
from tests.harness import clock, failpoints
from tests.harness.api import Api
from tests.harness.installed import install_on
from tests.harness.processes import ended, poll
from tests.harness.system import REPOSITORY, ROOT, System

URL = "https://exchange.example"
LEASE = {
    "apiVersion": "coordination.k8s.io/v1",
    "kind": "Lease",
    "metadata": {"name": "tallystick-controller", "namespace": DEFAULT_NAMESPACE},
}


@dataclass(frozen=True, slots=True)
class ControllerProcess:
    """One controller, ready, which may or may not lead."""

    child: Child
    health: str

    @property
    def ended(self) -> bool:
        return ended(self.child.pid)

    def get(self, path: str) -> str:
        """Fetch a page of its small HTTP server."""
        return urllib3.request("GET", self.health + path, timeout=30.0, retries=False).data.decode()

    @property
    def leads(self) -> bool:
        return "\ntallystick_leader 1.0\n" in self.get("/metrics")


@dataclass(frozen=True, slots=True)
class Controllers:
    """Starts controllers on a plane, each with logs of its own, all with one clock: the one in `folder`."""

    plane: ControlPlane
    admin: Api
    folder: Path
    identity: Identity
    numbers: "itertools.count[int]"
    url: str = URL
    ca_file: Path | None = None
    root: Sequence[str] = ROOT

    @classmethod
    @contextmanager
    def on(
        cls,
        plane: ControlPlane,
        folder: Path,
        *,
        features: Sequence[Feature[Any]] = FEATURES,
        root: Sequence[str] = ROOT,
    ) -> Iterator["Controllers"]:
        """Install Tallystick on a plane; nothing runs yet. `root` is the program of the controllers."""
        install_on(plane.kubeconfig, Installation(), features=features)
        identity = Identity(DEFAULT_NAMESPACE, CONTROLLER, private_folder(folder))
        asyncio.run(_store(identity, plane))
        (folder / "clock").write_text("0")
        with Api.connect(plane.kubeconfig, plane.binaries.kubectl) as admin:
            yield cls(plane, admin, folder, identity, itertools.count(1), root=root)

    @classmethod
    def beside(cls, system: System, admin: Api, identity: Identity) -> "Controllers":
        """More controllers of a system, which are run as its own is; one leads when that one ends."""
        up = system.up
        return cls(system.plane, admin, up.folder, identity, itertools.count(1), up.url, up.ca_file)

    @contextmanager
    def running(self, *, failpoint: str = "", **variables: str) -> Iterator[ControllerProcess]:
        """Run a controller, ready, until the end of the block; it then ends in good order if it still runs.

        Args:
            failpoint: Where it dies; '' is nowhere.
            variables: Further variables of its environment.
        """
        with self.spawned(failpoint=failpoint, **variables) as process:
            poll(lambda: _ready(process))
            yield process

    @contextmanager
    def spawned(self, *, failpoint: str = "", **variables: str) -> Iterator[ControllerProcess]:
        """Run a controller that need not become ready, until the end of the block."""
        process = self._spawn(failpoint, **variables)
        try:
            yield process
        finally:
            process.child.stop(grace=60.0)

    @contextmanager
    def leading(self, *, failpoint: str = "", **variables: str) -> Iterator[ControllerProcess]:
        """Run a controller that leads, ready or not. What a killed one left of its Lease is taken away first."""
        self.admin.delete(LEASE)
        with self.spawned(failpoint=failpoint, **variables) as process:
            poll(lambda: _leads(process))
            yield process

    def die(self, failpoint: str, *, first: Callable[[], object] = lambda: None, **variables: str) -> None:
        """Run a controller that is killed at a call, and return when it has ended.

        Args:
            failpoint: The call.
            first: What to do while it runs, such as an edit that leads it to that call.
            variables: Further variables of its environment.
        """
        self.admin.delete(LEASE)  # what the one before has left of it would only be waited for
        process = self._spawn(failpoint, **variables)
        try:
            first()
            poll(lambda: process.ended)
            assert process.child.wait(10.0) == -signal.SIGKILL, process.child.exit_text()
        finally:
            process.child.stop()

    def _spawn(self, failpoint: str, **variables: str) -> ControllerProcess:
        number = next(self.numbers)
        listen = f"127.0.0.1:{free_ports(1)[0]}"
        flags = {
            "--kubeconfig": str(self.identity.kubeconfig),
            "--namespace": DEFAULT_NAMESPACE,
            "--public-urls": self.url,
            "--audit-log": str(self.folder / f"audit-{number}.jsonl"),
            "--health-listen": listen,
            **({"--ca-file": str(self.ca_file)} if self.ca_file else {}),
        }
        environment = {
            **os.environ,
            clock.VARIABLE: str(self.folder / "clock"),
            "PYTHONPATH": str(REPOSITORY),
            # A test that counts calls or is killed at one means its own objects.
            "TALLYSTICK_BOOTSTRAP_KEYS": "false",
            "TALLYSTICK_BOOTSTRAP_GENERATION": "0",
            **variables,
        }
        if failpoint:
            environment[failpoints.VARIABLE] = failpoint
        command = [*self.root, CONTROLLER, *itertools.chain.from_iterable(flags.items())]
        child = Child.spawn(CONTROLLER, command, log=self.folder / f"controller-{number}.log", environment=environment)
        return ControllerProcess(child, f"http://{listen}")


async def _store(identity: Identity, plane: ControlPlane) -> None:
    connection = Connection(kubeconfig=plane.kubeconfig)
    cluster = KubeCluster(connection, field_manager="tests")
    try:
        await identity.renew(cluster)
    finally:
        await cluster.close()
    identity.write_kubeconfig(connection)


def _leads(process: ControllerProcess) -> bool:
    assert process.child.running, process.child.exit_text()
    with suppress(urllib3.exceptions.HTTPError):
        return process.leads
    return False


def _ready(process: ControllerProcess) -> bool:
    assert process.child.running, process.child.exit_text()
    with suppress(urllib3.exceptions.HTTPError):
        return '"ready"' in process.get("/readyz")
    return False


@pytest.fixture(scope="module")
def controllers(vacant_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Controllers]:
    """Controllers for one test file, which imports this name and has it in its `__all__`. None runs at first."""
    with Controllers.on(vacant_plane, tmp_path_factory.mktemp("controllers") / "run") as installed:
        # The first one to lead makes the keyring, which later ones find.
        with installed.leading():
            pass
        yield installed
