"""The control plane of the run for one test file at a time, before the run's own system starts on it.

Only one controller leads on a plane. Files that kill it, delay it or move its clock by years take turns: each one finds
an installation without keys and objects, runs its own processes, and stops them. `tests/conftest.py` sets the order.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from tallystick.cli.settings import DEFAULT_NAMESPACE
from tallystick.install.installation import CONTROLLER, Installation
from tallystick.localplane.plane import ControlPlane
from tallystick.registry import KINDS
from tests.harness.api import Api

Json = dict[str, Any]

# The signing keys, who leads, what the exchange has stored of heartbeats, and what was reported.
STATE_OF_AN_INSTALLATION = ("Secret", "Lease", "ConfigMap", "Event")


@pytest.fixture(scope="module")
def vacant_plane(plane: ControlPlane) -> Iterator[ControlPlane]:
    """The plane of the run, on which no controller runs. At its end the objects of the file are deleted."""
    with Api.connect(plane.kubeconfig, plane.binaries.kubectl) as admin:
        before = _namespaces(admin)
        yield plane
        for namespace in sorted(_namespaces(admin)):
            for kind in reversed(KINDS):  # what names another object is deleted before it
                for body in admin.find_all(kind.resource.kind, namespace):
                    _release(admin, {"kind": kind.resource.kind, **body})
                admin.delete_all(kind.resource.kind, namespace).must_succeed()
        for kind_name in STATE_OF_AN_INSTALLATION:
            admin.delete_all(kind_name, DEFAULT_NAMESPACE).must_succeed()
        for namespace in sorted(_namespaces(admin) - before - {DEFAULT_NAMESPACE}):
            # The controller manager deletes what is in it, meanwhile and after.
            admin.delete({"kind": "Namespace", "metadata": {"name": namespace}}).must_succeed()


def _release(admin: Api, body: Json) -> None:
    """Let an object be deleted without a controller: take its finalizers, and what its status counts.

    A PairingToken with devices may be deleted once it is revoked.
    """
    if body["spec"].get("purpose") == "DeviceProject":
        admin.merge(body, {"spec": {"revoked": True}}).must_succeed()
    if body["metadata"].get("finalizers"):
        admin.merge(body, {"metadata": {"finalizers": None}}).must_succeed()
    status = body.get("status", {})
    if status.get("joinKeys"):
        controller = admin.as_user(Installation().service_account(CONTROLLER), "system:masters")
        counted = {**body, "status": {**status, "joinKeys": {"total": 0, "outdated": 0}}}
        controller.replace(counted, subresource="status").must_succeed()


def _namespaces(admin: Api) -> set[str]:
    return {found["metadata"]["name"] for found in admin.find_all("Namespace", "")}
