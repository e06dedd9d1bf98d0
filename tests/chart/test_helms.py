"""Which Helm the tests and `make manifests` use: the one on PATH if its version fits, or else the pinned one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chart import helms
from tests.chart.helms import WHEELS, helm_of

FOUR, THREE = WHEELS
PINNED = Path("/pinned/helm")


@pytest.fixture(autouse=True)
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty PATH, and a stand-in for the Helm of a wheel."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(helms, "_from_wheel", lambda _: PINNED)
    helms._program.cache_clear()
    yield tmp_path
    helms._program.cache_clear()


def put_helm(path: Path, version: str, *, status: int = 0) -> Path:
    helm = path / "helm"
    helm.write_text(f'#!/bin/sh\n[ "$1 $2" = "version --short" ] && echo "{version}"; exit {status}\n')
    helm.chmod(0o755)
    return helm


@pytest.mark.parametrize(
    ("wheel", "version"),
    [
        (FOUR, "v4.2.3"),
        (FOUR, "v4.2.3+g1a2b3c4"),
        (FOUR, "v4.10.0"),
        (FOUR, "v4.3.0-rc.1"),
        (THREE, "v3.17.2+gcc0bbbd"),
        (THREE, "v3.18.0"),
    ],
)
def test_a_helm_on_path_of_the_major_version_is_used(path: Path, tmp_path: Path, wheel, version: str):
    own = put_helm(path, version)

    helm = helm_of(wheel, tmp_path / "home")

    assert helm.program == own
    assert helm.run("version", "--short") == f"{version}\n"


@pytest.mark.parametrize(
    ("wheel", "version"),
    [
        (FOUR, "v3.19.0"),
        (THREE, "v4.2.3"),
        # Older than the one that the chart is tested with.
        (FOUR, "v4.2.2"),
        (FOUR, "v4.0.0"),
        (THREE, "v3.9.4"),
        (FOUR, ""),
        (FOUR, "unknown"),
    ],
)
def test_a_helm_on_path_of_another_version_is_not_used(path: Path, tmp_path: Path, wheel, version: str):
    put_helm(path, version)

    assert helm_of(wheel, tmp_path / "home").program == PINNED


def test_a_helm_on_path_that_fails_is_not_used(path: Path, tmp_path: Path):
    put_helm(path, "", status=1)

    assert helm_of(FOUR, tmp_path / "home").program == PINNED


def test_without_a_helm_on_path_the_pinned_one_is_used(tmp_path: Path):
    assert helm_of(FOUR, tmp_path / "home").program == PINNED


@pytest.mark.parametrize("wheel", WHEELS, ids=lambda wheel: wheel.version)
def test_the_pinned_helm_has_its_version(wheel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.undo()

    helm = helm_of(wheel, tmp_path / "home")

    assert helm.run("version", "--short").removeprefix("v").partition(".")[0] == wheel.version[0]
