"""The admission policies and the RBAC that stands beside them, on a real API server (S2, S4, S5)."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from tallystick.install.installation import Installation
from tallystick.pairing.admission import WRITERS_REFUSE_CREATE
from tallystick.pairing.domain.requester import VALIDATION_IS_IN_FORCE, VALIDATION_PROBE, VALIDATION_REJECTS_FORGED
from tallystick.schema.meta import API_VERSION, GROUP
from tests.harness.api import Api
from tests.harness.grants import grant
from tests.harness.objects import MASTER
from tests.harness.rule_cases import every_creator, every_status_writer, every_writer
from tests.harness.writers import Writer

Json = dict[str, Any]

OURS = "tallystick-system"
SERVICE = {"purpose": "Service", "useCase": "mission-control"}
PAIRED = MASTER | {"pairingTokenRef": {"name": "site-a", "uid": "7a5c"}, "serial": 1, "redemptionID": "c-1"}


@pytest.fixture(scope="module")
def namespace(make_namespace: Callable[[str], str]) -> str:
    return make_namespace("policies")


@pytest.fixture(scope="module")
def build(namespace: str) -> Callable[..., Json]:
    """Build objects of names that nobody uses yet."""
    numbers = itertools.count(1)

    def make(spec: Json, *, kind: str = "PairingToken", namespace: str = namespace) -> Json:
        metadata = {"name": f"object-{next(numbers)}", "namespace": namespace}
        return {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}

    return make


@pytest.fixture(scope="module")
def controller(admin: Api, installed: Installation) -> Api:
    """The controller with no more rights than it is given."""
    return admin.as_user(installed.service_account("controller"))


@pytest.fixture(scope="module")
def exchange(admin: Api, installed: Installation) -> Api:
    """The exchange with no more rights than it is given."""
    return admin.as_user(installed.service_account("exchange"))


@pytest.fixture(scope="module")
def users(admin: Api, namespace: str) -> tuple[Api, Api, Api]:
    """Ann, Bob and Cem may edit pairing tokens in the namespace, for mission-control alone."""
    names = ("ann", "bob", "cem")
    for name in names:
        grant(admin, namespace, name, "tallystick-edit")
        grant(admin, namespace, name, "tallystick-usecase-mission-control")
    ann, bob, cem = (admin.as_user(name) for name in names)
    return ann, bob, cem


# S2: who may write what.


@every_status_writer
def test_a_status_is_refused_to_an_administrator(admin: Api, build: Any, write_status: Any) -> None:
    body = build(SERVICE)
    admin.create(body).must_succeed()

    answer = write_status(admin, body, body | {"status": {"state": "Active", "serial": 1}})

    assert "only system:serviceaccount:tallystick-system:tallystick-controller and" in answer.message
    assert "may write the status" in answer.message


@pytest.mark.parametrize("account", ["controller", "exchange"])
def test_a_status_is_written_by_our_accounts(admin: Api, installed: Installation, build: Any, account: str) -> None:
    body = build(SERVICE)
    admin.create(body).must_succeed()
    writer = admin.as_user(installed.service_account(account))

    answer = writer.replace(body | {"status": {"state": "Active", "serial": 1}}, subresource="status")

    assert answer.succeeded, answer.message


def test_the_status_of_a_master_token_is_refused_to_an_administrator(admin: Api, exchange: Api, build: Any) -> None:
    body = build(PAIRED, kind="MasterToken")
    exchange.create(body).must_succeed()

    answer = admin.merge(body, {"status": {"state": "Active"}}, subresource="status")

    assert "may write the status" in answer.message


@every_creator
def test_a_master_token_is_refused_to_an_administrator(admin: Api, build: Any, writer: Writer) -> None:
    answer = writer.create(admin, build(PAIRED, kind="MasterToken"))

    assert WRITERS_REFUSE_CREATE in answer.message


def test_an_account_of_that_name_in_another_namespace_has_no_rights(admin: Api, build: Any) -> None:
    impostor = admin.as_user("system:serviceaccount:evil:exchange", "system:masters")

    answer = impostor.create(build(PAIRED, kind="MasterToken"))

    assert WRITERS_REFUSE_CREATE in answer.message


def test_a_master_token_without_its_pairing_token_is_refused_to_the_exchange(exchange: Api, build: Any) -> None:
    answer = exchange.create(build(MASTER, kind="MasterToken"))

    assert "can create a MasterToken without spec.pairingTokenRef" in answer.message


def test_the_bootstrap_token_is_allowed_to_the_controllers_name_alone(
    admin: Api, installed: Installation, build: Any
) -> None:
    controller = admin.as_user(installed.service_account("controller"), "system:masters")

    answer = controller.create(build(MASTER, kind="MasterToken"), dry_run=True)

    assert answer.succeeded, answer.message


def test_a_user_who_may_edit_can_revoke_a_master_token(exchange: Api, users: Any, build: Any) -> None:
    body = build(PAIRED, kind="MasterToken")
    exchange.create(body).must_succeed()

    answer = users[0].merge(body, {"spec": {"revoked": True}})

    assert answer.succeeded, answer.message


# S4: who asked.


@every_creator
def test_a_forged_requester_is_refused(admin: Api, users: Any, build: Any, writer: Writer) -> None:
    """The second apply of the same file gets the answer of the first, and its advice helps."""
    body = build(SERVICE | {"requestedBy": "admin"})

    first, second = (writer.create(users[0], body) for _ in range(2))

    assert f"{VALIDATION_REJECTS_FORGED} to ann" in first.message
    assert second.message == first.message
    assert admin.find(body) is None
    stored = writer.create(users[0], body | {"spec": SERVICE}).must_succeed()
    assert stored["spec"]["requestedBy"] == "ann"


@every_creator
@pytest.mark.parametrize("absent", [{}, {"requestedBy": ""}], ids=["no field", "an empty field"])
def test_a_requester_that_is_absent_is_set(users: Any, build: Any, writer: Writer, absent: Json) -> None:
    body = build(SERVICE | absent)

    first, second = (writer.create(users[0], body) for _ in range(2))

    assert first.must_succeed()["spec"]["requestedBy"] == "ann"
    assert "already exists" in second.message if writer.name == "create" else second.succeeded, second.message


@every_writer
def test_ones_own_name_is_stored_and_the_same_file_applies_again(users: Any, build: Any, writer: Writer) -> None:
    ann, bob, _ = users
    body = build(SERVICE | {"requestedBy": "ann"})
    stored = writer.create(ann, body).must_succeed()

    answers = [writer.edit(user, body, body) for user in (ann, bob)]

    assert stored["spec"]["requestedBy"] == "ann"
    assert [answer.message for answer in answers] == ["", ""]
    assert [answer.body["metadata"]["generation"] for answer in answers] == [1, 1]


@every_writer
def test_another_user_who_applies_the_same_again_changes_nothing(users: Any, build: Any, writer: Writer) -> None:
    ann, bob, _ = users
    body = build(SERVICE)
    stored = writer.create(ann, body).must_succeed()

    again = writer.edit(bob, body, body).must_succeed()

    assert again["spec"]["requestedBy"] == "ann"
    assert again["metadata"]["generation"] == stored["metadata"]["generation"]


@every_writer
def test_the_requester_of_an_issued_token_cannot_be_changed(users: Any, build: Any, writer: Writer) -> None:
    """The edit is not refused: a manifest that names an earlier requester can be applied again and again."""
    ann, bob, _ = users
    body = build(SERVICE)
    stored = writer.create(ann, body).must_succeed()

    for name in ("bob", "cem", "system:serviceaccount:tallystick-system:tallystick-exchange"):
        again = writer.edit(bob, body, body | {"spec": SERVICE | {"requestedBy": name}}).must_succeed()
        assert again["spec"] == stored["spec"]
        assert again["metadata"]["generation"] == 1


@every_writer
def test_a_file_that_names_the_previous_requester_applies_twice_with_one_result(
    users: Any, build: Any, writer: Writer
) -> None:
    ann, bob, _ = users
    first = build(SERVICE | {"requestedBy": "ann"})
    raised = first | {"spec": SERVICE | {"requestedBy": "ann", "serial": 2}}
    writer.create(ann, first).must_succeed()

    edits = [(bob, first, raised), (bob, raised, raised), (ann, raised, raised)]
    answers = [writer.edit(user, before, after).must_succeed() for user, before, after in edits]

    assert [answer["spec"] for answer in answers] == [answers[0]["spec"]] * 3
    assert (answers[0]["spec"]["serial"], answers[0]["spec"]["requestedBy"]) == (2, "bob")
    assert [answer["metadata"]["generation"] for answer in answers] == [2, 2, 2]


@every_writer
def test_a_user_who_raises_the_serial_is_the_requester_from_then_on(users: Any, build: Any, writer: Writer) -> None:
    ann, bob, cem = users
    body = build(SERVICE)
    second, third = (body | {"spec": SERVICE | more} for more in ({"serial": 2}, {"serial": 3, "requestedBy": "bob"}))
    writer.create(ann, body).must_succeed()

    by_bob = writer.edit(bob, body, second).must_succeed()["spec"]["requestedBy"]
    by_cem = writer.edit(cem, second, third).must_succeed()["spec"]["requestedBy"]

    assert (by_bob, by_cem) == ("bob", "cem")


@every_writer
def test_a_new_serial_in_the_name_of_a_third_user_is_refused(users: Any, build: Any, writer: Writer) -> None:
    ann, bob, _ = users
    body = build(SERVICE)
    writer.create(ann, body).must_succeed()

    answer = writer.edit(bob, body, body | {"spec": SERVICE | {"serial": 2, "requestedBy": "cem"}})

    assert f"{VALIDATION_REJECTS_FORGED} to bob" in answer.message


def test_a_serial_that_is_written_as_a_fraction_is_a_new_serial(users: Any, build: Any) -> None:
    """JSON has one type of number. The API server stores 2.0 as 2, so it must be stamped as 2 is."""
    ann, bob, _ = users
    body = build(SERVICE)
    ann.create(body).must_succeed()

    raised = bob.merge(body, {"spec": {"serial": 2.0}}).must_succeed()["spec"]

    assert (raised["serial"], raised["requestedBy"]) == (2, "bob")


def test_the_exchange_alone_speaks_for_others_and_names_them(admin: Api, installed: Installation, build: Any) -> None:
    exchange = admin.as_user(installed.service_account("exchange"), "system:masters")

    named = exchange.create(build(SERVICE | {"requestedBy": "ann"})).must_succeed()
    unnamed = exchange.create(build(SERVICE))

    assert named["spec"]["requestedBy"] == "ann"
    assert VALIDATION_REJECTS_FORGED in unnamed.message


def test_the_controllers_probes_are_refused_and_stamped(controller: Api, installed: Installation) -> None:
    spec = {"purpose": "DeviceProject", "projectKey": "probe"}
    metadata = {"name": "probe", "namespace": installed.namespace}
    probe = {"apiVersion": API_VERSION, "kind": "PairingToken", "metadata": metadata, "spec": spec}

    stored = controller.create(probe, dry_run=True).must_succeed()
    forged = controller.create(probe | {"spec": spec | {"requestedBy": "nobody"}}, dry_run=True)

    assert VALIDATION_REJECTS_FORGED in forged.message
    assert stored["spec"]["requestedBy"] == installed.service_account("controller")


def test_the_guards_probe_is_always_refused(admin: Api, build: Any) -> None:
    body = build(SERVICE)
    body["metadata"]["name"] = VALIDATION_PROBE

    assert VALIDATION_IS_IN_FORCE in admin.create(body).message


def test_a_generated_name_is_no_obstacle(admin: Api, build: Any, namespace: str) -> None:
    body = build(SERVICE) | {"metadata": {"generateName": "any-", "namespace": namespace}}

    answer = admin.create(body)

    assert answer.succeeded, answer.message


# S5: who may use a use case.


@every_creator
def test_a_use_case_without_permission_is_refused(users: Any, namespace: str, build: Any, writer: Writer) -> None:
    answer = writer.create(users[0], build(SERVICE | {"useCase": "federated-repo"}))

    assert (
        f"you cannot request use case federated-repo in namespace {namespace}; "
        "ask an administrator for a RoleBinding to ClusterRole tallystick-usecase-federated-repo"
    ) in answer.message


@every_writer
def test_a_use_case_cannot_be_slipped_in_with_a_new_serial(users: Any, build: Any, writer: Writer) -> None:
    body = build(SERVICE)
    writer.create(users[0], body).must_succeed()

    answer = writer.edit(users[1], body, body | {"spec": SERVICE | {"useCase": "federated-repo", "serial": 2}})

    assert "you cannot request use case federated-repo" in answer.message


def test_a_use_case_is_permitted_by_namespace(
    admin: Api, users: Any, build: Any, make_namespace: Callable[[str], str]
) -> None:
    elsewhere = make_namespace("elsewhere")
    grant(admin, elsewhere, "ann", "tallystick-edit")

    answer = users[0].create(build(SERVICE, namespace=elsewhere))

    assert f"you cannot request use case mission-control in namespace {elsewhere}" in answer.message


def test_a_user_who_lost_a_use_case_may_still_revoke(admin: Api, build: Any, namespace: str) -> None:
    grant(admin, namespace, "eve", "tallystick-edit")
    body = build(SERVICE)
    admin.create(body).must_succeed()

    answer = admin.as_user("eve").merge(body, {"spec": {"revoked": True}})

    assert answer.succeeded, answer.message


# Least privilege, as RBAC itself answers.


@pytest.mark.parametrize(
    ("account", "verb", "what", "where", "expected"),
    [
        ("controller", "watch", (GROUP, "pairingtokens", ""), "", True),
        ("controller", "update", (GROUP, "pairingtokens/status", ""), "edge", True),
        ("controller", "update", (GROUP, "pairingtokens", ""), "edge", False),
        ("controller", "create", (GROUP, "pairingtokens", ""), "edge", False),
        ("controller", "create", (GROUP, "pairingtokens", ""), OURS, True),
        ("controller", "create", (GROUP, "mastertokens", ""), "edge", False),
        ("controller", "create", ("", "secrets", ""), "edge", True),
        ("controller", "update", ("coordination.k8s.io", "leases", ""), OURS, True),
        ("controller", "update", ("coordination.k8s.io", "leases", ""), "edge", False),
        ("controller", "use", (GROUP, "usecases", "mission-control"), "edge", False),
        ("exchange", "get", (GROUP, "pairingtokens", "site-a"), "edge", True),
        ("exchange", "list", (GROUP, "pairingtokens", ""), "edge", False),
        ("exchange", "update", (GROUP, "pairingtokens", ""), "edge", False),
        ("exchange", "update", (GROUP, "pairingtokens/status", ""), "edge", True),
        ("exchange", "create", (GROUP, "mastertokens", ""), "edge", True),
        ("exchange", "delete", (GROUP, "mastertokens", ""), "edge", False),
        ("exchange", "get", ("", "secrets", "tallystick-keyring"), OURS, True),
        ("exchange", "get", ("", "secrets", "another"), OURS, False),
        ("exchange", "list", ("", "secrets", ""), OURS, False),
        ("exchange", "get", ("", "secrets", "tallystick-keyring"), "edge", False),
        ("exchange", "create", ("authentication.k8s.io", "tokenreviews", ""), "", True),
        ("exchange", "create", ("authorization.k8s.io", "subjectaccessreviews", ""), "", True),
    ],
)
def test_an_account_of_ours_has_only_the_rights_that_it_needs(
    admin: Api, installed: Installation, account: str, verb: str, what: tuple[str, str, str], where: str, expected: bool
) -> None:
    group, resource, name = what
    user = installed.service_account(account)

    answer = admin.allowed(user, verb, resource, namespace=where, name=name, group=group)

    assert answer == expected
