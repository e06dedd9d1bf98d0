"""`tallystick up --context NAME`: on a cluster that exists, with the processes on this machine.

The first test finds a cluster without anything of ours. The others find what it has left.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from tallystick.localplane.plane import ControlPlane
from tallystick.localplane.probe import free_ports
from tests.harness.connect_proxy import ConnectProxy, connect_proxy
from tests.harness.outside import UpProcess, still_running

# Only a proxy can resolve it.
HIDDEN = "api.hidden.example"


@pytest.fixture(scope="module")
def cluster() -> Iterator[ControlPlane]:
    """A cluster that `up` did not start."""
    with ControlPlane.start(report=lambda _: None) as plane:
        yield plane


@pytest.fixture(scope="module")
def listen() -> str:
    """The address of the exchange, which is the issuer of the cluster's keyring from the first start on."""
    return f"localhost:{free_ports(1)[0]}"


def started(cluster: ControlPlane, folder: Path, context: str, listen: str = "", **variables: str) -> UpProcess:
    environment = {"KUBECONFIG": str(cluster.kubeconfig), **variables}
    listen = listen or f"127.0.0.1:{free_ports(1)[0]}"
    flags = ("--context", context)
    return UpProcess.start(folder, listen, cluster.binaries.kubectl, *flags, environment=environment)


@pytest.fixture
def company() -> Iterator[ConnectProxy]:
    """The proxy that the environment of a company names for everything."""
    with connect_proxy() as proxy:
        yield proxy


@pytest.fixture
def to_cluster(cluster: ControlPlane) -> Iterator[ConnectProxy]:
    """The proxy that the kubeconfig names, and the only way to the cluster by the name there."""
    with connect_proxy(names={HIDDEN: urlsplit(cluster.server).port or 0}) as proxy:
        yield proxy


def behind(cluster: ControlPlane, proxy: ConnectProxy, file: Path) -> Path:
    """Write a kubeconfig that leads to the cluster through a proxy, and trusts any certificate."""
    document = yaml.safe_load(cluster.kubeconfig.read_text())
    document["clusters"][0]["cluster"] = {
        "server": f"https://{HIDDEN}",
        "insecure-skip-tls-verify": True,
        "proxy-url": f"http://127.0.0.1:{proxy.port}",
    }
    file.write_text(yaml.safe_dump(document))
    return file


def test_up_installs_and_runs_on_the_cluster_of_a_context_and_leaves_it_running(
    cluster: ControlPlane, tmp_path: Path, to_cluster: ConnectProxy, company: ConnectProxy, listen: str
) -> None:
    names = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")
    variables = dict.fromkeys(names, f"http://127.0.0.1:{company.port}")
    kubeconfig = behind(cluster, to_cluster, tmp_path / "kubeconfig")
    variables["KUBECONFIG"] = str(kubeconfig)
    run = started(cluster, tmp_path / "up", "tallystick", listen, **variables).await_ready()
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
    # Its own processes were reached without a proxy, and the cluster through that of the kubeconfig.
    assert company.targets == []
    assert set(to_cluster.targets) == {f"CONNECT {HIDDEN}:443"}


def test_a_second_start_on_the_same_folder_works_and_two_at_once_are_refused(
    cluster: ControlPlane, tmp_path: Path, listen: str
) -> None:
    first = started(cluster, tmp_path / "up", "tallystick", listen).await_ready()
    beside = started(cluster, tmp_path / "up", "tallystick")
    refused = beside.process.wait(timeout=120.0)
    said = beside.output.read_text()
    ready, ended = first.curl("/.well-known/jwks.json")[0], first.interrupt()

    second = started(cluster, tmp_path / "up", "tallystick", listen).await_ready()

    assert (refused, ready, ended) == (1, 200, 0)
    assert f"error: {tmp_path / 'up'} is in use by process {first.process.pid}" in said
    assert second.url == f"https://{listen}"
    assert (second.curl("/.well-known/jwks.json")[0], second.interrupt()) == (200, 0)


def test_a_context_that_does_not_exist_is_reported_with_what_to_do(cluster: ControlPlane, tmp_path: Path) -> None:
    run = started(cluster, tmp_path / "up", "elsewhere")

    assert run.process.wait(timeout=120.0) == 1
    assert "error: --context elsewhere cannot be used" in run.output.read_text()
    assert "kubectl config get-contexts" in run.output.read_text()
