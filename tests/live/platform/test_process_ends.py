"""A process serves all that it can, uses files as they are renewed, and ends when a signal asks for it.

What breaks is what breaks at users: a CRD is deleted and put back, or is not installed yet; the API server is away or
silent; another program renews the CA of the exchange.
"""

import base64
import os
import shutil
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
import urllib3
import yaml

from tallystick.connections.api.connection_configuration import CONNECTION_CONFIGURATIONS
from tallystick.localplane.children import Child
from tallystick.localplane.pki import prepare_serving
from tallystick.localplane.probe import free_ports
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS
from tallystick.schema.meta import API_VERSION, Resource
from tests.harness.api import Api, Json
from tests.harness.connections import a_connection, connection_secret_of, wait_for_active
from tests.harness.controllers import Controllers, controllers
from tests.harness.installed import new_namespace
from tests.harness.processes import poll

__all__ = ["controllers"]

CRD = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"}
# The deadline of a process, and time to begin and end on a busy machine.
GRACE = 45.0


@contextmanager
def without(admin: Api, resource: Resource) -> Iterator[None]:
    """Delete the CRD of a kind, and put it back at the end."""
    named = {**CRD, "metadata": {"name": f"{resource.plural}.{resource.group}"}}
    stored = admin.get(named)
    admin.delete(stored).must_succeed()
    poll(lambda: admin.find(named) is None)
    try:
        yield
    finally:
        metadata = {key: stored["metadata"].get(key) or {} for key in ("name", "labels", "annotations")}
        metadata["name"] = named["metadata"]["name"]
        admin.create({**CRD, "metadata": metadata, "spec": stored["spec"]}).must_succeed()


def a_token(namespace: str, name: str) -> Json:
    metadata = {"namespace": namespace, "name": name}
    spec = {"purpose": "Service", "useCase": "mission-control"}
    return {"apiVersion": API_VERSION, "kind": "PairingToken", "metadata": metadata, "spec": spec}


def is_issued(admin: Api, body: Json) -> bool:
    found = admin.find(body) or {}
    return bool(found.get("status", {}).get("state") == "Active")


def test_a_missing_kind_is_waited_for_and_the_others_are_served(controllers: Controllers) -> None:
    admin = controllers.admin
    namespace = new_namespace(admin, "ends")
    configuration = a_connection(namespace, "others")
    with without(admin, PAIRING_TOKENS), controllers.leading() as process:
        # It was not installed when the process began.
        assert "does not serve PairingToken;" in process.get("/readyz")
        admin.create(configuration).must_succeed()
        wait_for_active(admin, configuration, ["default"])
        with controllers.running() as second:
            # A replica that does not lead, and waits for a kind.
            second.child.stop(grace=GRACE)
            assert second.child.exit_status == 0, second.child.exit_text()
        process.child.stop(grace=GRACE)
        assert process.child.exit_status == 0, process.child.exit_text()


def test_a_kind_that_was_deleted_and_is_back_is_served_without_a_restart(controllers: Controllers) -> None:
    admin = controllers.admin
    namespace = new_namespace(admin, "back")
    token, configuration = a_token(namespace, "back"), a_connection(namespace, "others")
    with controllers.leading() as process:
        admin.create(token).must_succeed()
        poll(lambda: is_issued(admin, token))
        with without(admin, PAIRING_TOKENS):
            poll(lambda: "does not serve PairingToken;" in process.get("/readyz"))
            assert "\ntallystick_missing_kinds 1.0\n" in process.get("/metrics")
            with without(admin, CONNECTION_CONFIGURATIONS):
                poll(lambda: "does not serve ConnectionConfiguration, PairingToken;" in process.get("/readyz"))
            poll(lambda: admin.create(configuration).succeeded)
            wait_for_active(admin, configuration, ["default"])
        poll(lambda: admin.create(token).succeeded)
        poll(lambda: is_issued(admin, token))
        assert "does not serve" not in process.get("/readyz")
        assert process.child.running


def test_a_renewed_ca_is_in_the_secrets_without_a_restart(controllers: Controllers, tmp_path: Path) -> None:
    admin = controllers.admin
    # As a kubelet mounts a Secret: the file is a link into a folder, and the folder is swapped.
    for name in ("first", "second"):
        authority, _ = prepare_serving(tmp_path / name, name, now=datetime.now(UTC))
        shutil.copy(authority.certificate, tmp_path / name / "ca.crt")
    (tmp_path / "..data").symlink_to("first")
    (tmp_path / "ca.crt").symlink_to("..data/ca.crt")
    configuration = a_connection(new_namespace(admin, "ca"), "renewed")

    def shown() -> bytes:
        return base64.b64decode(admin.get(connection_secret_of(configuration))["data"]["ca.crt"])

    with replace(controllers, ca_file=tmp_path / "ca.crt").leading() as process:
        admin.create(configuration).must_succeed()
        wait_for_active(admin, configuration, ["default"])
        before = shown()
        (tmp_path / "..new").symlink_to("second")
        (tmp_path / "..new").rename(tmp_path / "..data")
        poll(lambda: shown() == (tmp_path / "second" / "ca.crt").read_bytes())
        assert process.child.running

    assert before == (tmp_path / "first" / "ca.crt").read_bytes()


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        yield silent.getsockname()[1]


@pytest.mark.parametrize(
    ("silent", "number"),
    [
        pytest.param(True, signal.SIGTERM, id="it is silent: SIGTERM"),
        pytest.param(False, signal.SIGINT, id="it is away: SIGINT"),
    ],
)
def test_a_signal_ends_each_process_that_cannot_reach_the_api_server(
    number: signal.Signals, silent: bool, silent_port: int, tmp_path: Path
) -> None:
    server = silent_port if silent else free_ports(1)[0]
    with started("controller", server, tmp_path) as controller, started("exchange", server, tmp_path) as exchange:
        for child, health in (controller, exchange):
            poll(partial(answers, child, health))
            os.kill(child.pid, number)
        for child, _ in (controller, exchange):
            assert child.wait(GRACE) == 0, child.exit_text()


def answers(child: Child, url: str) -> bool:
    assert child.running, child.exit_text()
    with suppress(urllib3.exceptions.HTTPError):
        return urllib3.request("GET", url, timeout=10.0, retries=False).status == 200
    return False


@contextmanager
def started(process: str, server_port: int, folder: Path) -> Iterator[tuple[Child, str]]:
    """Run a process of the operator alone; yield it and the URL of its liveness."""
    kubeconfig, port = folder / "kubeconfig", free_ports(1)[0]
    kubeconfig.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "one", "cluster": {"server": f"https://127.0.0.1:{server_port}"}}],
                "users": [{"name": "one", "user": {"token": "one"}}],
                "contexts": [{"name": "one", "context": {"cluster": "one", "user": "one"}}],
                "current-context": "one",
            }
        )
    )
    api = [] if process == "controller" else ["--plain-http", "--listen", f"127.0.0.1:{free_ports(1)[0]}"]
    command = [sys.executable, "-m", "tallystick", process, "--kubeconfig", str(kubeconfig)]
    command += ["--public-urls", "https://exchange.example", *api, "--health-listen", f"127.0.0.1:{port}"]
    child = Child.spawn(process, command, log=folder / f"{process}.log")
    try:
        yield child, f"http://127.0.0.1:{port}/healthz"
    finally:
        child.kill()
