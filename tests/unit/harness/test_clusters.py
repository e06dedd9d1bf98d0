"""The clusters of the end-to-end tests: what is missing is named with the other way."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.clusters import (
    IP_FAMILIES,
    KIND_IMAGES,
    ClusterError,
    cluster_of,
    kind_cluster,
    kind_config,
    require_engine,
)


def engine(folder: Path, name: str, status: int) -> None:
    (folder / name).write_text(f'#!/bin/sh\n[ "$1" = info ] && exit {status}\n')
    (folder / name).chmod(0o755)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_without_an_engine_kind_fails_and_names_make_e2e(path: Path):
    with pytest.raises(ClusterError, match=r"kind needs Docker or Podman, and neither runs here\..*`make e2e`"):
        require_engine()


def test_an_engine_that_is_installed_and_does_not_run_is_none(path: Path):
    engine(path, "docker", 1)
    engine(path, "podman", 125)

    with pytest.raises(ClusterError, match="neither runs here"):
        require_engine()


@pytest.mark.parametrize(("docker", "podman"), [(0, 1), (1, 0)])
def test_one_engine_that_runs_suffices(path: Path, docker: int, podman: int):
    engine(path, "docker", docker)
    engine(path, "podman", podman)

    require_engine()


def test_the_fixture_of_kind_fails_before_it_builds_anything(path: Path, tmp_path: Path):
    told: list[str] = []

    with pytest.raises(ClusterError, match="make e2e"), cluster_of("kind", tmp_path, told.append):
        pass

    assert told == []


def test_an_unknown_cluster_is_named_with_those_that_exist(tmp_path: Path):
    with pytest.raises(ClusterError, match="Use node, kind or context:NAME"), cluster_of("minikube", tmp_path, print):
        pass


def test_an_unknown_version_of_kubernetes_is_named_with_those_that_exist(path: Path, tmp_path: Path):
    engine(path, "docker", 0)

    cluster = kind_cluster("none", tmp_path / "kubeconfig", print, kubernetes="1.20")

    with pytest.raises(ClusterError, match=r"KUBERNETES=1\.20 is unknown\. Use one of 1\.36, 1\.34, 1\.32\."), cluster:
        pass


def test_an_unknown_family_is_named_with_those_that_exist(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    engine(path, "docker", 0)
    engine(path, "kind", 0)
    monkeypatch.setenv("IP_FAMILY", "ipv5")

    cluster = kind_cluster("none", tmp_path / "kubeconfig", print, kubernetes="1.36")

    with pytest.raises(ClusterError, match=r"IP_FAMILY=ipv5 is unknown\. Use one of ipv4, ipv6, dual\."), cluster:
        pass


@pytest.mark.parametrize("family", IP_FAMILIES)
def test_kind_gets_the_family_and_two_workers(family: str):
    config = yaml.safe_load(kind_config(family))

    assert config["networking"] == {"ipFamily": family}
    assert [node["role"] for node in config["nodes"]] == ["control-plane", "worker", "worker"]
    assert (config["kind"], config["apiVersion"]) == ("Cluster", "kind.x-k8s.io/v1alpha4")


def test_kind_reads_the_configuration_from_its_standard_input(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    engine(path, "docker", 0)
    engine(path, "kubectl", 0)
    (path / "kind").write_text(f'#!/bin/sh\n[ "$1" = create ] && /bin/cat > {tmp_path}/seen\nexit 0\n')
    (path / "kind").chmod(0o755)
    monkeypatch.setenv("IP_FAMILY", "dual")

    with kind_cluster("none", tmp_path / "kubeconfig", lambda _: None, kubernetes="1.36"):
        assert (tmp_path / "seen").read_text() == kind_config("dual")


def matrix_of_ci() -> dict[str, Any]:
    workflow = (Path(__file__).parents[3] / ".github" / "workflows" / "ci.yml").read_text()
    matrix: dict[str, Any] = yaml.safe_load(workflow)["jobs"]["e2e"]["strategy"]["matrix"]
    return matrix


def test_ci_tries_each_version_that_kind_has():
    assert matrix_of_ci()["kubernetes"] == sorted(KIND_IMAGES)


def test_ci_tries_each_family():
    matrix = matrix_of_ci()

    assert {*matrix["ip"], *(row["ip"] for row in matrix["include"])} == set(IP_FAMILIES)
