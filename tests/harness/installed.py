"""Tallystick's CRDs, policies and RBAC on the control plane of the test run.

`tests/conftest.py` imports the fixtures.
"""

import asyncio
import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tallystick.cli.installing import install_parts
from tallystick.cli.settings import FeatureSettings, feature_settings
from tallystick.feature import Feature, kinds_of
from tallystick.install.apply import FIELD_MANAGER, install
from tallystick.install.installation import Installation
from tallystick.kube.client import KubeCluster
from tallystick.kube.connection import Connection
from tallystick.localplane.plane import ControlPlane
from tallystick.registry import FEATURES
from tests.harness.api import Api

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def installed(plane: ControlPlane) -> Installation:
    """What is installed on the plane: one release that watches all namespaces and stamps the requester."""
    installation = Installation()
    install_on(plane.kubeconfig, installation)
    return installation


@pytest.fixture(scope="session")
def admin(plane: ControlPlane, installed: Installation) -> Iterator[Api]:
    """The API server, as the plane's administrator; `admin.as_user(...)` impersonates others."""
    with Api.connect(plane.kubeconfig, plane.binaries.kubectl) as api:
        yield api


@pytest.fixture(scope="module")
def make_namespace(admin: Api, request: pytest.FixtureRequest) -> Iterator[Callable[[str], str]]:
    """Make namespaces that no other test file uses.

    Before the first controller runs, each file deletes its namespaces at its end: a controller that begins to lead
    looks at whatever is left, and the tests beside it wait for that.
    """
    made: list[str] = []

    def make(purpose: str) -> str:
        made.append(new_namespace(admin, purpose))
        return made[-1]

    yield make
    if not any("system" in getattr(item, "fixturenames", ()) for item in _tests_of_the_file(request)):
        for name in made:
            # The controller manager deletes what is in it, meanwhile and after.
            admin.delete({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}).must_succeed()


def _tests_of_the_file(request: pytest.FixtureRequest) -> list[pytest.Item]:
    return [item for item in request.session.items if item.path == request.path]


def new_namespace(admin: Api, purpose: str) -> str:
    """Make a namespace that no other test uses, on any plane, and return its name."""
    name = f"{purpose}-{next(_NUMBERS)}"
    admin.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}).must_succeed()
    return name


def install_on(
    kubeconfig: Path,
    installation: Installation,
    say: Callable[[str], None] = lambda _: None,
    *,
    features: Sequence[Feature[Any]] = FEATURES,
    settings: FeatureSettings | None = None,
) -> None:
    """Install as the kubeconfig's user, on an event loop of its own."""
    parts = install_parts(installation, features, settings or feature_settings(features))

    async def run() -> None:
        cluster = KubeCluster(Connection(kubeconfig=kubeconfig), field_manager=FIELD_MANAGER)
        try:
            await install(cluster, installation, kinds_of(features), parts, say)
        finally:
            await cluster.close()

    asyncio.run(run())
