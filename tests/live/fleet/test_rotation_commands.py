"""`tallystick rotation plan` and `watch` as processes, beside a rotation of devices that check in over HTTPS."""

import asyncio
import base64
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from tallystick.fleet.client.agent import HttpSender, Trust, follow
from tallystick.fleet.client.device import Device, Settings
from tallystick.fleet.client.disk import FolderDisk
from tallystick.kube.tls import TlsSettings, client_context
from tallystick.runtime.clock import SystemClock
from tallystick.runtime.ids import RandomIds
from tests.harness.installed import new_namespace
from tests.harness.objects import must, secret_of, value_of
from tests.harness.own_system import OwnSystem, breakable_system
from tests.harness.plane import own_plane
from tests.harness.processes import poll

__all__ = ["breakable_system", "own_plane"]

Json = dict[str, Any]
COMMAND = (sys.executable, "-m", "tallystick", "rotation")
BATCHES = [{"name": "canary", "limit": 1}, {"name": "half", "limit": "50%"}]
SIZE = 6
PATIENCE_SECONDS = 120


@contextmanager
def checking_in(url: str, ca_file: Path, value: str, folder: Path) -> Iterator[None]:
    """Run devices by their contract, in one thread, until the end of the block."""
    ready, loops = threading.Event(), list[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]]]()

    async def run_all() -> None:
        context = client_context(ca_file=ca_file)
        trust = Trust(context, TlsSettings("url", "ca", True, "the Secret"), None)
        connector = aiohttp.TCPConnector(ssl=context)
        async with aiohttp.ClientSession(connector=connector) as session:  # noqa: TID251 - devices of the test
            devices = []
            for number in range(SIZE):
                state = folder / f"device-{number}"
                state.mkdir()
                settings = Settings(url, lambda: value, f"cam-{number}")
                send = HttpSender(session, trust)
                devices.append(
                    Device(settings, disk=FolderDisk(state), send=send, clock=SystemClock(), ids=RandomIds())
                )
            task = asyncio.ensure_future(asyncio.gather(*(follow(one, SystemClock(), once=False) for one in devices)))
            loops.append((asyncio.get_running_loop(), task))
            ready.set()
            await asyncio.gather(task, return_exceptions=True)

    thread = threading.Thread(target=lambda: asyncio.run(run_all()))
    thread.start()
    try:
        assert ready.wait(PATIENCE_SECONDS)
        yield
    finally:
        for loop, task in loops:
            loop.call_soon_threadsafe(task.cancel)
        thread.join()


@dataclass(frozen=True)
class Site:
    """A project of devices in a namespace of its own."""

    system: OwnSystem
    namespace: str
    folder: Path

    def token(self) -> Json:
        return self._object("PairingToken", "cams")

    def rotation(self, name: str) -> Json:
        return self._object("TokenRotation", name)

    def _object(self, kind: str, name: str) -> Json:
        return {
            "apiVersion": "tallystick.dev/v1alpha1",
            "kind": kind,
            "metadata": {"name": name, "namespace": self.namespace},
        }

    def a_file(self, name: str, **spec: Any) -> Path:
        file = self.folder / f"{name}.yaml"
        body = {**self.rotation(name), "spec": {"targetRef": {"kind": "PairingToken", "name": "cams"}, **spec}}
        file.write_text(yaml.safe_dump(body), encoding="utf-8")
        return file

    def command(self, *arguments: str) -> list[str]:
        kubeconfig = str(self.system.plane.kubeconfig)
        return [*COMMAND, *arguments, "--namespace", self.namespace, "--kubeconfig", kubeconfig]

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        command = self.command(*arguments)
        return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)

    @contextmanager
    def watching(self, name: str) -> Iterator["subprocess.Popen[str]"]:
        with subprocess.Popen(
            self.command("watch", name), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def wait_for_gate(self, name: str) -> None:
        """Return once a batch is done, and the next one waits for openBatches."""

        def waits() -> bool:
            conditions = self.system.admin.get(self.rotation(name)).get("status", {}).get("conditions", [])
            return any(one["reason"] == "WaitingForBatch" for one in conditions)

        poll(waits)

    def apply(self, file: Path) -> None:
        self.system.admin.create(yaml.safe_load(file.read_text(encoding="utf-8"))).must_succeed()


@pytest.fixture(scope="module")
def site(breakable_system: OwnSystem, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Devices that have enrolled, and check in every five seconds."""
    api, folder = breakable_system.admin, tmp_path_factory.mktemp("rotation-commands")
    site = Site(breakable_system, new_namespace(api, "rotation-commands"), folder)
    spec = {"purpose": "DeviceProject", "projectKey": "fleet01", "checkInPeriod": "5s"}
    created = api.create({**site.token(), "spec": spec}).must_succeed()
    secret = must(poll(lambda: api.find(secret_of(created))))
    ca_file = folder / "ca.crt"
    ca_file.write_bytes(base64.b64decode(secret["data"]["ca.crt"]))
    with checking_in(breakable_system.up.url, ca_file, value_of(secret, "token"), folder):
        poll(lambda: api.get(site.token())["status"].get("devices") == SIZE)
        yield site


def lines_of(process: "subprocess.Popen[str]") -> list[str]:
    out, error = process.communicate(timeout=PATIENCE_SECONDS)
    return [line.partition(" ")[2] for line in out.splitlines()] + error.splitlines()


def test_a_plan_comes_true_while_the_api_server_restarts(site: Site) -> None:
    api, plane = site.system.admin, site.system.plane
    file = site.a_file("rot-1", openBatches=1, strategy={"batches": BATCHES})
    before = site.run("plan", str(file))
    unstored = api.find(site.rotation("rot-1"))

    with site.watching("rot-1") as watch:
        assert watch.stdout is not None
        first = watch.stdout.readline()  # before the rotation exists
        site.apply(file)
        site.wait_for_gate("rot-1")
        meanwhile = site.run("plan", "rot-1")
        plane.kill_apiserver()
        outage = ""
        while "did not respond" not in outage:
            outage = watch.stdout.readline()
            assert outage
        plane.restart_apiserver()
        site.system.recover()
        api.merge(site.rotation("rot-1"), {"spec": {"openBatches": 3}}).must_succeed()
        lines = lines_of(watch)
    after = site.run("plan", "rot-1")

    assert unstored is None
    assert (before.returncode, meanwhile.returncode, after.returncode, watch.returncode) == (0, 0, 0, 0)
    assert [line.split()[:2] for line in before.stdout.splitlines()[3:6]] == [
        ["canary", "1"],
        ["half", "3"],
        ["rest", "2"],
    ]
    assert "by hand" in before.stdout
    assert "The rotation succeeds at " in before.stdout
    assert f"TokenRotation {site.namespace}/rot-1 of PairingToken {site.namespace}/cams: Running, 1 of 6" in (
        meanwhile.stdout
    )
    assert first.partition(" ")[2] == f"TokenRotation {site.namespace}/rot-1 does not exist yet; waiting for it\n"
    assert lines[-1] == (
        "Succeeded, batch 3/3: 0 pending, 0 in progress, 6 succeeded, 0 failed; all 6 devices have used the new copy"
    )
    assert after.stdout.startswith(f"TokenRotation {site.namespace}/rot-1 is over: Succeeded: all 6 devices")


def test_a_watch_of_a_rotation_that_is_aborted_or_deleted_ends_with_status_1(site: Site) -> None:
    api, errors, statuses = site.system.admin, [], []
    for name in ("rot-2", "rot-3"):
        site.apply(site.a_file(name, openBatches=1, strategy={"batches": BATCHES}))
        site.wait_for_gate(name)
        with site.watching(name) as watch:
            assert watch.stdout is not None
            watch.stdout.readline()
            if name == "rot-2":
                api.merge(site.rotation(name), {"spec": {"desiredState": "Aborted"}}).must_succeed()
            else:
                api.delete(site.rotation(name)).must_succeed()
            errors.append(lines_of(watch)[-1])
        statuses.append(watch.returncode)

    rotation = f"error: TokenRotation {site.namespace}"
    assert errors[0] == f"{rotation}/rot-2 was aborted; to go on, create another one"
    assert errors[1].startswith(f"{rotation}/rot-3 was deleted while it was Running, which aborts it; to go on, ")
    assert statuses == [1, 1]


def test_control_c_ends_a_watch_with_status_130(site: Site) -> None:
    with site.watching("nosuch") as watch:
        assert watch.stdout is not None
        watch.stdout.readline()
        watch.send_signal(signal.SIGINT)
        out, error = watch.communicate(timeout=PATIENCE_SECONDS)

    assert (watch.returncode, out, error) == (130, "", "")


def test_a_plan_that_cannot_be_made_is_one_line_with_status_1(site: Site) -> None:
    broken = site.a_file("rot-9", strategy={"batches": [{"name": "none"}]})

    rejected, missing = site.run("plan", str(broken)), site.run("plan", "nosuch")

    assert (rejected.returncode, rejected.stdout, missing.returncode, missing.stdout) == (1, "", 1, "")
    assert "a batch needs a selector, a limit or both" in rejected.stderr
    assert missing.stderr == (
        f"error: TokenRotation {site.namespace}/nosuch does not exist; set --namespace, or give the file that you will "
        "apply\n"
    )
    assert len(rejected.stderr.splitlines()) == 1
