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
from tallystick.schema.meta import Resource
from tests.harness.api import Answer, Api
from tests.harness.processes import poll

Json = dict[str, Any]

# The signing keys, who leads, what the exchange has stored of heartbeats, and what was reported.
STATE_OF_AN_INSTALLATION = ("Secret", "Lease", "ConfigMap", "Event")

# The response about a kind whose CRD is not installed: without any kind of its group, and with another one.
NOT_SERVED = ("404 page not found", "the server could not find the requested resource")


@pytest.fixture(scope="module")
def vacant_plane(plane: ControlPlane) -> Iterator[ControlPlane]:
    """The plane of the run, on which no controller runs. At its end the objects of the file are deleted."""
    with Api.connect(plane.kubeconfig, plane.binaries.kubectl) as admin:
        before = _namespaces(admin)
        yield plane
        delete_objects(admin)
        for kind_name in STATE_OF_AN_INSTALLATION:
            admin.delete_all(kind_name, DEFAULT_NAMESPACE).must_succeed()
        for namespace in sorted(_namespaces(admin) - before - {DEFAULT_NAMESPACE}):
            # The controller manager deletes what is in it, meanwhile and after.
            admin.delete({"kind": "Namespace", "metadata": {"name": namespace}}).must_succeed()


def delete_objects(admin: Api) -> None:
    """Delete all objects of our kinds. No controller may run: it would create some of them again."""
    for kind in reversed(KINDS):  # what names another object is deleted before it
        resource = kind.resource
        items = _all_of(admin, resource)
        for body in items:
            _release(admin, {"kind": resource.kind, **body})
        for namespace in sorted({body["metadata"]["namespace"] for body in items}):
            admin.delete_all(resource.kind, namespace).must_succeed()


def _all_of(admin: Api, resource: Resource) -> list[Json]:
    """Read all objects of a kind. For a moment after its CRD was installed, the API server does not list them."""

    def listed() -> Answer | None:
        answer = admin.attempt("GET", f"/apis/{resource.api_version}/{resource.plural}")
        return answer if answer.succeeded or answer.message in NOT_SERVED else None

    items: list[Json] = poll(listed).body.get("items", [])
    return items


def _release(admin: Api, body: Json) -> None:
    """Let an object be deleted without a controller: take its finalizers, and what its status counts.

    A PairingToken with devices may be deleted once it is revoked.
    """
    if body["spec"].get("purpose") == "DeviceProject":
        _prepared(admin, body, admin.merge(body, {"spec": {"revoked": True}}))
    if body["metadata"].get("finalizers"):
        _prepared(admin, body, admin.merge(body, {"metadata": {"finalizers": None}}))
    status = body.get("status", {})
    if status.get("joinKeys"):
        controller = admin.as_user(Installation().service_account(CONTROLLER), "system:masters")
        counted = {**body, "status": {**status, "joinKeys": {"total": 0, "outdated": 0}}}
        _prepared(admin, body, controller.update(counted, subresource="status"))


def _prepared(admin: Api, body: Json, answer: Answer) -> None:
    """A step of `_release` must succeed, unless the controller manager has deleted the object with its namespace."""
    assert answer.succeeded or admin.find(body) is None, answer.message


def _namespaces(admin: Api) -> set[str]:
    return {found["metadata"]["name"] for found in admin.find_all("Namespace", "")}
