"""How long the controller waits for the API server, in virtual time."""

import socket
from pathlib import Path

import pytest
import yaml

from tallystick.cli import run_controller as root
from tallystick.cli.settings import load_settings
from tallystick.objects.ports import UnavailableError
from tallystick.registry import FEATURES
from tallystick.schema.builtin import LEASES
from tests.virtual_time import LoopClock, in_virtual_time

LOOPBACK = "127.0.0.1"


class ReachedError(Exception):
    """The process has been composed."""


def kubeconfig_of(port: int, folder: Path) -> Path:
    """Write a kubeconfig for a server without TLS."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "silent",
        "clusters": [{"name": "silent", "cluster": {"server": f"http://{LOOPBACK}:{port}"}}],
        "contexts": [{"name": "silent", "context": {"cluster": "silent", "user": "silent"}}],
        "users": [{"name": "silent", "user": {}}],
    }
    file = folder / "kubeconfig"
    file.write_text(yaml.safe_dump(config))
    return file


def test_a_call_that_is_not_answered_ends_in_time_and_one_for_the_lease_before_its_deadline(monkeypatch, tmp_path):
    """The kernel accepts the connections, and no one reads the requests."""
    clients, waited = [], []

    async def call_instead(*_: object, **__: object) -> None:
        clock = LoopClock()
        for cluster in clients:
            began = clock.monotonic()
            with pytest.raises(UnavailableError):
                await cluster.get(LEASES, "default", "tallystick-controller")
            waited.append(clock.monotonic() - began)
        raise ReachedError

    def kept(cluster):
        clients.append(cluster)
        return cluster

    monkeypatch.setattr(root, "live", call_instead)
    with socket.create_server((LOOPBACK, 0)) as silent:
        kubeconfig = kubeconfig_of(silent.getsockname()[1], tmp_path)
        settings = load_settings(FEATURES, kubeconfig=kubeconfig, public_urls=("https://trust.example.com",))

        @in_virtual_time
        async def run() -> None:
            with pytest.raises(ReachedError):
                await root.run_controller(settings, clock=LoopClock(), wrap=kept)

        run()

    assert waited == [root.CALL_SECONDS, root.LEASE_CALL_SECONDS]
