"""The admission policies of a fleet, on a real API server: who creates a Device, and what a deletion would cut off."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from tallystick.fleet.admission import GARBAGE_COLLECTOR, NOTHING_TO_ABORT, ONLY_THE_EXCHANGE
from tests.harness.api import Api
from tests.harness.grants import grant
from tests.harness.installed import new_namespace
from tests.harness.objects import wait_until_gone
from tests.harness.rule_cases import controller, every_creator
from tests.harness.writers import Writer
from tests.live.fleet.fleet_plane import a_device, exchange

__all__ = ["controller", "exchange"]

Json = dict[str, Any]

API_VERSION = "tallystick.dev/v1alpha1"
NOON = "2030-01-01T12:00:00Z"
A_DEVICE = "d-" + "a" * 26
REMEDY = "set spec.revoked: true first"
# Who writes by the name of a component, and with every right: a policy stops him, and RBAC does not.
MASTERS = "system:masters"


@pytest.fixture(scope="module")
def namespace(make_namespace: Callable[[str], str]) -> str:
    return make_namespace("fleet-policies")


@pytest.fixture(scope="module")
def project(admin: Api, controller: Api, namespace: str) -> Callable[..., Json]:
    """Create PairingTokens of purpose DeviceProject with a status that the operator wrote."""
    numbers = itertools.count(1)

    def created(status: Json, *, where: str = namespace, **metadata: Any) -> Json:
        return a_project(admin, controller, where, f"cams-{next(numbers)}", status, **metadata)

    return created


def a_project(admin: Api, controller: Api, namespace: str, name: str, status: Json, **metadata: Any) -> Json:
    body: Json = {
        "apiVersion": API_VERSION,
        "kind": "PairingToken",
        "metadata": {"name": name, "namespace": namespace} | metadata,
        "spec": {"purpose": "DeviceProject", "projectKey": "fleet01"},
    }
    stored = admin.create(body).must_succeed()
    if status:
        controller.merge(body, {"status": status}, subresource="status").must_succeed()
    return stored


def place(name: str = A_DEVICE) -> Json:
    return {"name": name, "generation": 1, "time": NOON}


# A Device is the record of an enrollment, so only the exchange creates one.


@every_creator
@pytest.mark.parametrize("user", ["administrator", "controller"])
def test_only_the_exchange_creates_a_device(
    admin: Api, controller: Api, namespace: str, writer: Writer, user: str
) -> None:
    body = a_device("forged", namespace)

    answer = writer.create(controller if user == "controller" else admin, body)

    assert not answer.succeeded
    assert f"{ONLY_THE_EXCHANGE} (system:serviceaccount:tallystick-system:tallystick-exchange)" in answer.message
    assert admin.find(body) is None


def test_a_user_revokes_names_and_deletes_a_device_and_does_not_create_one(
    admin: Api, exchange: Api, namespace: str
) -> None:
    grant(admin, namespace, "ann", "tallystick-edit")
    ann, body = admin.as_user("ann"), a_device("of-ann", namespace)
    exchange.create(body).must_succeed()

    created = ann.create(a_device("by-ann", namespace))
    edited = ann.merge(body, {"spec": {"displayName": "cam-17", "revoked": True}})
    deleted = ann.delete(body)

    assert "cannot create resource" in created.message
    assert edited.succeeded, edited.message
    assert deleted.succeeded, deleted.message


def test_a_status_of_a_device_is_written_by_exchange_and_controller_and_one_of_a_rotation_by_the_controller(
    admin: Api, exchange: Api, controller: Api, namespace: str
) -> None:
    device = a_device("of-status", namespace)
    exchange.create(device).must_succeed()
    rotation = a_rotation(namespace, "of-status")
    admin.create(rotation).must_succeed()
    state = {"status": {"state": "Revoked"}}, {"status": {"state": "Pending"}}

    def written(body: Json, patch: Json) -> list[bool]:
        users = (admin, exchange, controller)
        return [user.merge(body, patch, subresource="status", dry_run=True).succeeded for user in users]

    assert written(device, state[0]) == [False, True, True]
    assert written(rotation, state[1]) == [False, False, True]


# A deletion of a PairingToken ends its devices. A tool that prunes must not do that, and a user must say so first.


@pytest.mark.parametrize(
    ("status", "count"),
    [
        ({"devices": 1}, "1 device depends"),
        ({"devices": 2}, "2 devices depend"),
        ({"devices": 100_000}, "100000 devices depend"),
        ({"enrolling": [place()]}, "1 device depends"),
        ({"devices": 0, "enrolling": [place(), place()]}, "2 devices depend"),
        ({"devices": 3, "enrolling": [place()]}, "4 devices depend"),
    ],
    ids=str,
)
def test_a_token_that_devices_depend_on_is_not_deleted(
    admin: Api, namespace: str, project: Any, status: Json, count: str
) -> None:
    body = project(status)
    name = body["metadata"]["name"]

    answers = [admin.delete(body), admin.delete(body, dry_run=True), admin.delete_all("PairingToken", namespace)]
    by_kubectl = admin._run_kubectl(["delete", "ptok", name, "--namespace", namespace], None)

    assert all(not answer.succeeded and REMEDY in answer.message for answer in answers)
    assert [f"{count} on this token; {REMEDY}" in answer.message for answer in answers[:2]] == [True, True]
    assert (by_kubectl.returncode, f"{count} on this token" in by_kubectl.stderr) == (1, True)
    assert admin.find(body) is not None


@pytest.mark.parametrize("status", [{}, {"devices": 0}, {"devices": 0, "enrolling": []}], ids=str)
def test_a_token_without_devices_is_deleted(admin: Api, project: Any, status: Json) -> None:
    body = project(status)

    assert admin.delete(body).succeeded
    assert admin.find(body) is None


def test_the_way_out_is_to_revoke_the_token(admin: Api, project: Any) -> None:
    body = project({"devices": 3})
    assert not admin.delete(body).succeeded

    admin.merge(body, {"spec": {"revoked": True}}).must_succeed()

    assert admin.delete(body).succeeded


def test_a_namespace_is_deleted_with_the_devices_and_their_token(admin: Api, controller: Api, exchange: Api) -> None:
    namespace = new_namespace(admin, "fleet-ends")
    body = a_project(admin, controller, namespace, "cams", {"devices": 1})
    device = a_device(A_DEVICE, namespace)
    exchange.create(device).must_succeed()

    admin.delete({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}).must_succeed()

    wait_until_gone(admin, body)
    wait_until_gone(admin, device)


def test_a_token_is_deleted_with_its_owner_by_the_garbage_collector(admin: Api, namespace: str, project: Any) -> None:
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owner", "namespace": namespace}}
    uid = admin.create(owner).must_succeed()["metadata"]["uid"]
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid}
    body = project({"devices": 1}, ownerReferences=[reference])

    admin.delete(owner).must_succeed()

    wait_until_gone(admin, body)


def test_only_the_account_of_the_garbage_collector_is_let_through(admin: Api, project: Any) -> None:
    body = project({"devices": 1})
    others = (GARBAGE_COLLECTOR.replace("generic", "other"), GARBAGE_COLLECTOR.replace("kube-system", "default"))

    answers = [admin.as_user(user, MASTERS).delete(body) for user in others]

    assert [answer.succeeded for answer in answers] == [False, False]
    assert admin.as_user(GARBAGE_COLLECTOR, MASTERS).delete(body).succeeded


def test_a_token_of_purpose_service_is_deleted_as_before(admin: Api, namespace: str) -> None:
    body: Json = {
        "apiVersion": API_VERSION,
        "kind": "PairingToken",
        "metadata": {"name": "site-a", "namespace": namespace},
        "spec": {"purpose": "Service", "useCase": "mission-control"},
    }
    admin.create(body).must_succeed()

    assert admin.delete(body).succeeded


# A sync of Git must not fail for an abort that comes late, and a person must see that it changed nothing.


def a_rotation(namespace: str, name: str) -> Json:
    return {
        "apiVersion": API_VERSION,
        "kind": "TokenRotation",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"targetRef": {"kind": "PairingToken", "name": "cams"}},
    }


@pytest.mark.parametrize(
    ("state", "warned"),
    [
        ("Succeeded", True),
        ("Failed", True),
        ("Aborted", True),
        ("Running", False),
        ("Aborting", False),
        ("Pending", False),
        (None, False),
    ],
)
def test_an_abort_of_a_finished_rotation_is_stored_with_a_warning(
    admin: Api, controller: Api, namespace: str, state: str | None, warned: bool
) -> None:
    body = a_rotation(namespace, f"abort-{state}".lower())
    admin.create(body).must_succeed()
    if state is not None:
        controller.merge(body, {"status": {"state": state}}, subresource="status").must_succeed()
    name = ["trot", body["metadata"]["name"], "--namespace", namespace]

    aborted = admin._run_kubectl(
        ["patch", *name, "--type", "merge", "--patch", '{"spec":{"desiredState":"Aborted"}}'], None
    )
    again = admin._run_kubectl(
        ["patch", *name, "--type", "merge", "--patch", '{"metadata":{"labels":{"a":"b"}}}'], None
    )

    assert (aborted.returncode, NOTHING_TO_ABORT in aborted.stderr) == (0, warned)
    assert (again.returncode, again.stderr) == (0, "")
    assert admin.get(body)["spec"]["desiredState"] == "Aborted"
    assert admin.get(body)["status"].get("state") == state


def test_kubectl_shows_the_columns(admin: Api, controller: Api, namespace: str) -> None:
    body = a_rotation(namespace, "columns")
    admin.create(body).must_succeed()
    counts = {"total": 20, "pending": 18, "inProgress": 1, "succeeded": 1, "failed": 0, "noRotation": 0}
    status = {"state": "Running", "batch": "2/3", "devices": counts}
    controller.merge(body, {"status": status}, subresource="status").must_succeed()

    header, row = admin.kubectl("get", "trot", "columns", "--namespace", namespace).splitlines()

    assert header.split() == [
        "NAME",
        "STATE",
        "BATCH",
        "PENDING",
        "IN",
        "PROGRESS",
        "SUCCEEDED",
        "FAILED",
        "TOTAL",
        "AGE",
    ]
    assert row.split()[:-1] == ["columns", "Running", "2/3", "18", "1", "1", "0", "20"]


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("device.spec", "keyThumbprint"),
        ("device.status.offer", "generation"),
        ("tokenrotation.spec.strategy", "maxConcurrency"),
        ("pairingtoken.spec", "checkInPeriod"),
    ],
)
def test_kubectl_explains_the_fields(admin: Api, path: str, field: str) -> None:
    explained = admin.kubectl("explain", path)

    assert field in explained
    assert "DESCRIPTION:" in explained
