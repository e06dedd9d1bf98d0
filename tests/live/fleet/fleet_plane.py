"""What the live tests of a fleet share: a plane without the system's processes, and the name of the exchange."""

from collections.abc import Iterator
from typing import Any

import pytest

from tallystick.install.installation import EXCHANGE, Installation
from tallystick.localplane.plane import ControlPlane
from tests.harness.api import Api
from tests.harness.installed import install_on
from tests.harness.plane import own_plane
from tests.harness.rule_cases import with_every_right

__all__ = ["admin", "exchange", "installed", "own_plane"]

# A file whose test process leads imports these three, and has them in its `__all__`: no other controller leads there.


@pytest.fixture(scope="module")
def installed(own_plane: ControlPlane) -> Installation:
    installation = Installation()
    install_on(own_plane.kubeconfig, installation)
    return installation


@pytest.fixture(scope="module")
def admin(own_plane: ControlPlane, installed: Installation) -> Iterator[Api]:
    del installed
    with Api.connect(own_plane.kubeconfig, own_plane.binaries.kubectl) as api:
        yield api


# A file of rules and policies imports this one alone. It uses the plane of the run.


@pytest.fixture(scope="module")
def exchange(admin: Api, installed: Installation) -> Api:
    """The exchange's name, with every right. No other user can create a Device."""
    return with_every_right(admin, installed, EXCHANGE)


def a_device(name: str, namespace: str, **spec: Any) -> dict[str, Any]:
    """Build a Device that has its first copy, of generation 1."""
    token = {"name": "cams", "uid": "9a0c1f0e-0000-4000-8000-000000000000"}
    return {
        "apiVersion": "tallystick.dev/v1alpha1",
        "kind": "Device",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"pairingTokenRef": token, "serial": 1, "generation": 1, "kid": "k-1", "projectKey": "fleet01"} | spec,
    }
