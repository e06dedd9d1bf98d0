"""The running whole for live tests: controller and exchange as processes, under their own ServiceAccounts.

They run on the plane of the test run, are composed by `tests.harness.main`, and share a clock that tests move.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest

from tallystick.cli.settings import FeatureSettings, feature_settings
from tallystick.cli.up import Up, UpOptions
from tallystick.install.installation import EXCHANGE
from tallystick.kube.connection import Connection
from tallystick.localplane.folders import private_folder
from tallystick.localplane.plane import ControlPlane
from tallystick.localplane.probe import free_ports
from tests.harness import clock, failpoints
from tests.harness.api import Api
from tests.harness.clock import MovedClock
from tests.harness.processes import poll

ROOT = (sys.executable, "-m", "tests.harness.main")
REPOSITORY = Path(__file__).parents[2]
HEALTH_PAGES = ("/metrics", "/readyz", "/healthz")
# Where the health server of each replica of the exchange is, by the URL of the replica.
health_urls: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class System:
    """One `Up` on the plane, and the clock of its processes."""

    up: Up
    clock: MovedClock
    plane: ControlPlane


class Between(Protocol):
    """What the processes reach the API server through, such as a proxy."""

    def kubeconfig(self, user: Path, file: Path) -> Path:
        """Write the kubeconfig of a user anew, to go through it, and return where."""


@contextmanager
def running(
    plane: ControlPlane,
    folder: Path,
    *,
    failpoint: str = "",
    between: Between | None = None,
    root: Sequence[str] = ROOT,
    variables: Mapping[str, str] | None = None,
    listen: str = "",
    settings: FeatureSettings | None = None,
) -> Iterator[System]:
    """Start controller and exchange on a plane, and end them.

    Args:
        plane: the control plane.
        folder: where logs, tokens and the clock go.
        failpoint: where the processes die, such as `after:create:secrets`; '' is nowhere.
        between: the only way to the API server that the processes have; None: they are led there directly.
        root: another composition root for the processes.
        variables: further variables of their environment.
        listen: the address of the exchange, which the tokens of an earlier system name; '' takes a free one.
        settings: of the features, for the installation and the processes; None: the defaults.
    """
    clock_file = private_folder(folder) / "clock"
    clock_file.write_text("0")
    environment = {clock.VARIABLE: str(clock_file), "PYTHONPATH": str(REPOSITORY), **(variables or {})}
    if failpoint:
        environment[failpoints.VARIABLE] = failpoint
    options = UpOptions(
        listen=listen or f"127.0.0.1:{free_ports(1)[0]}",
        settings=settings or feature_settings(),
        root=root,
        environment=environment,
    )
    way = between.kubeconfig(plane.kubeconfig, folder / "kubeconfig") if between else plane.kubeconfig
    up = Up(options, folder, Connection(kubeconfig=way), way)
    try:
        health_urls[up.url] = up.health_url(EXCHANGE)
        up.start(lambda _: None)
        yield System(up, MovedClock(clock_file), plane)
    finally:
        up.stop()


@pytest.fixture(scope="session")
def system(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """The running whole, shared by the tests of a run; each takes a namespace of its own."""
    # Objects of earlier files that name a signing key would make the controller report that it is lost.
    with Api.connect(plane.kubeconfig, plane.binaries.kubectl) as admin, suppress(AssertionError):
        poll(lambda: all(found["status"]["phase"] == "Active" for found in admin.find_all("Namespace", "")), seconds=60)
    with running(plane, tmp_path_factory.mktemp("system") / "up") as whole:
        yield whole
