"""The clusters of the end-to-end tests: what is missing is named with the other way."""

from pathlib import Path

import pytest
import yaml

from tests.e2e.clusters import KIND_IMAGES, ClusterError, cluster_of, kind_cluster, require_engine


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


def test_ci_tries_each_version_that_kind_has():
    workflow = (Path(__file__).parents[3] / ".github" / "workflows" / "ci.yml").read_text()

    versions = yaml.safe_load(workflow)["jobs"]["e2e"]["strategy"]["matrix"]["kubernetes"]
    assert versions == sorted(KIND_IMAGES)
