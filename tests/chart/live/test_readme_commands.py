"""The commands of the README's section "Install" do what it says, as far as a cluster without nodes can do it."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chart.helms import WHEELS
from tests.chart.live.releases import Release, fresh_release
from tests.harness.system import REPOSITORY
from tests.unit.test_docs import section

# A cluster without nodes never gets ready, and runs no pod of a test.
NEEDS_NODES = ("--wait",)
INSTALL = section((REPOSITORY / "README.md").read_text(encoding="utf-8"), "Install")
WORKLOADS = ["deployment.apps/tallystick-controller", "deployment.apps/tallystick-exchange"]


def commands(title: str) -> list[list[str]]:
    """Return the commands of one part of the section."""
    (block,) = re.findall(rf"^### {title}\n.*?```\n(.*?)```", INSTALL, flags=re.DOTALL | re.MULTILINE)
    return [shlex.split(line) for line in block.splitlines()]


@pytest.fixture
def release(tmp_path: Path) -> Iterator[Release]:
    with fresh_release(WHEELS[0], tmp_path) as started:
        yield started


def deployments(release: Release) -> list[str]:
    found = release.api.kubectl("get", "deployments", "--namespace", "tallystick-system", "--output", "name")
    return sorted(found.split())


def test_with_helm(release: Release, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    install, test = commands("With Helm")

    release.helm.run(*(word for word in install[1:] if word not in NEEDS_NODES))

    assert deployments(release) == WORKLOADS
    # What `helm test` runs is there: Helm finds a hook of this release.
    hooks = release.helm.run("get", "hooks", test[2], "--namespace", test[4])
    assert (test[:2], "kind: Pod" in hooks) == (["helm", "test"], True)


def test_with_kubectl(release: Release, tmp_path: Path) -> None:
    make, *applies = commands("With kubectl")
    assert make == ["make", "manifests"]
    # As the target runs it, into a folder of the test.
    subprocess.run([sys.executable, "-m", "tests.chart.manifests", tmp_path / "dist"], cwd=REPOSITORY, check=True)

    for kubectl, *words in applies:
        assert kubectl == "kubectl"
        release.api.kubectl(*(str(tmp_path / word) if word.startswith("dist/") else word for word in words))
        poll_served(release)

    assert deployments(release) == WORKLOADS


def poll_served(release: Release) -> None:
    release.api.kubectl("wait", "--for=condition=Established", "crds", "--all", "--timeout=60s")


def test_the_crds_alone(release: Release, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    (command,) = re.findall(r"`kubectl (apply [^`]*--kustomize[^`]*)`", INSTALL)

    release.api.kubectl(*shlex.split(command))

    assert "pairingtokens.tallystick.dev" in release.api.kubectl("get", "crds", "--output", "name")
