"""`tallystick up --context NAME`: on a cluster that exists, with the processes on this machine."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tallystick.localplane.plane import ControlPlane
from tallystick.localplane.probe import free_ports
from tests.harness.outside import UpProcess, still_running


@pytest.fixture
def cluster() -> Iterator[ControlPlane]:
    """A cluster without anything of ours, which `up` did not start."""
    with ControlPlane.start(report=lambda _: None) as plane:
        yield plane


def started(cluster: ControlPlane, folder: Path, context: str, listen: str = "") -> UpProcess:
    environment = {"KUBECONFIG": str(cluster.kubeconfig)}
    listen = listen or f"127.0.0.1:{free_ports(1)[0]}"
    flags = ("--context", context)
    return UpProcess.start(folder, listen, cluster.binaries.kubectl, *flags, environment=environment)


def test_up_installs_and_runs_on_the_cluster_of_a_context_and_leaves_it_running(
    cluster: ControlPlane, tmp_path: Path
) -> None:
    run = started(cluster, tmp_path / "up", "tallystick").await_ready()
    shutil.copy(cluster.kubeconfig, run.folder / "kubeconfig")

    run.apply("site-a")
    token = run.token_into(tmp_path / "token", "site-a")
    status, _ = run.redeem(token)
    below = run.descendants()
    exit_status = run.interrupt()

    assert (status, exit_status) == (200, 0)
    assert still_running(below) == []
    assert cluster.failure() is None
    assert run.kubectl("get", "ptok", "site-a", "--output=jsonpath={.status.state}") == "Used"


def test_a_second_start_on_the_same_folder_works_and_two_at_once_are_refused(
    cluster: ControlPlane, tmp_path: Path
) -> None:
    listen = f"localhost:{free_ports(1)[0]}"
    first = started(cluster, tmp_path / "up", "tallystick", listen).await_ready()
    beside = started(cluster, tmp_path / "up", "tallystick")
    refused = beside.process.wait(timeout=120.0)
    said = beside.output.read_text()
    ready, ended = first.curl("/readyz")[0], first.interrupt()

    second = started(cluster, tmp_path / "up", "tallystick", listen).await_ready()

    assert (refused, ready, ended) == (1, 200, 0)
    assert f"error: {tmp_path / 'up'} is in use by process {first.process.pid}" in said
    assert second.url == f"https://{listen}"
    assert (second.curl("/readyz")[0], second.interrupt()) == (200, 0)


def test_a_context_that_does_not_exist_is_reported_with_what_to_do(cluster: ControlPlane, tmp_path: Path) -> None:
    run = started(cluster, tmp_path / "up", "elsewhere")

    assert run.process.wait(timeout=120.0) == 1
    assert "error: --context elsewhere cannot be used" in run.output.read_text()
    assert "kubectl config get-contexts" in run.output.read_text()
