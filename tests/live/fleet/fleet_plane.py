"""A control plane with the kinds and policies of a fleet, which the registry does not have yet."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tallystick import registry
from tallystick.controller.part import ControllerContext, ControllerPart
from tallystick.feature import Feature, NoSettings
from tallystick.fleet.admission import install_part
from tallystick.fleet.api.device import Device
from tallystick.fleet.api.token_rotation import TokenRotation
from tallystick.install.installation import CONTROLLER, EXCHANGE, Installation
from tallystick.localplane.plane import ControlPlane
from tallystick.objects.kind import READ, Kind
from tests.harness.api import Api
from tests.harness.installed import install_on
from tests.harness.plane import own_plane
from tests.harness.rule_cases import with_every_right

__all__ = ["admin", "controller", "exchange", "installed", "own_plane"]


def _nothing_runs(_: ControllerContext[NoSettings]) -> ControllerPart:
    return ControllerPart()


FLEET: Feature[Any] = Feature(
    kinds=(
        Kind(
            model=Device,
            typical={},
            editor=(*READ, "update", "patch", "delete"),
            exchange=("get", "list", "create"),
            exchange_status=True,
        ),
        Kind(model=TokenRotation, typical={}),
    ),
    settings=NoSettings,
    controller=_nothing_runs,
    installation=lambda installation, _: install_part(installation),
)
FEATURES = (*registry.FEATURES, FLEET)


# A test file imports these, and has them in its `__all__`: they stand for the fixtures of the run.


@pytest.fixture(scope="module")
def installed(own_plane: ControlPlane) -> Installation:
    installation = Installation()
    install_on(own_plane.kubeconfig, installation, features=FEATURES)
    return installation


@pytest.fixture(scope="module")
def admin(own_plane: ControlPlane, installed: Installation) -> Iterator[Api]:
    del installed
    with Api.connect(own_plane.kubeconfig, own_plane.binaries.kubectl) as api:
        yield api


@pytest.fixture(scope="module")
def controller(admin: Api, installed: Installation) -> Api:
    """The controller's name, with every right: a rule or a policy rejects it, and RBAC does not."""
    return with_every_right(admin, installed, CONTROLLER)


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


Build = Callable[..., dict[str, Any]]
