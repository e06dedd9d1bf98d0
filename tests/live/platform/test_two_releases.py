"""Two releases in one cluster, each with namespaces of its own, on a control plane of their own (S2, S4)."""

from collections.abc import Iterator
from typing import Any

import pytest

from tallystick.cli.settings import feature_settings
from tallystick.install.installation import Installation
from tallystick.localplane.plane import ControlPlane
from tallystick.pairing.domain.requester import VALIDATION_REJECTS_FORGED, RequesterMode
from tallystick.schema.meta import API_VERSION, GROUP
from tests.harness.api import Api
from tests.harness.grants import grant
from tests.harness.installed import install_on
from tests.harness.plane import own_plane
from tests.harness.rule_cases import Refused, by_writer, must_be_refused
from tests.harness.writers import Writer
from tests.live.pairing.rules_pairing_token import SPEC_SCHEMA

__all__ = ["own_plane"]

Json = dict[str, Any]

STAMPING = Installation("one-system", "one", ("mine",))
TRUSTING = Installation("two-system", "two", ("theirs",))
MODES = {STAMPING: RequesterMode.POLICY, TRUSTING: RequesterMode.SERVICE_ACCOUNT}
SERVICE = {"purpose": "Service", "useCase": "mission-control"}
KEPT = (
    "requestedBy is part of the signed token; raise spec.serial in the same edit to issue a new one. "
    "To keep the requester, remove the field"
)


@pytest.fixture(scope="module")
def admin(own_plane: ControlPlane) -> Iterator[Api]:
    """The administrator of a plane with both releases."""
    with Api.connect(own_plane.kubeconfig, own_plane.binaries.kubectl) as api:
        for namespace in ("mine", "theirs", "nobodys"):
            api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}).must_succeed()
        for installation, mode in MODES.items():
            install_on(own_plane.kubeconfig, installation, settings=feature_settings(requester=mode))
        yield api


def token(name: str, namespace: str, spec: Json) -> Json:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": API_VERSION, "kind": "PairingToken", "metadata": metadata, "spec": spec}


@pytest.mark.parametrize(
    ("release", "namespace", "allowed"),
    [(STAMPING, "mine", True), (STAMPING, "theirs", False), (TRUSTING, "mine", False), (TRUSTING, "theirs", True)],
)
def test_a_release_writes_the_status_in_its_own_namespaces_alone_whatever_rbac_says(
    admin: Api, release: Installation, namespace: str, allowed: bool
) -> None:
    body = token(f"by-{release.release}", namespace, SERVICE)
    admin.create(body).must_succeed()
    controller = admin.as_user(release.service_account("controller"), "system:masters")

    answer = controller.replace(body | {"status": {"state": "Pending"}}, subresource="status")

    assert answer.succeeded == allowed
    assert allowed or "may write the status" in answer.message


@pytest.mark.parametrize(("release", "namespace", "allowed"), [(STAMPING, "mine", True), (STAMPING, "theirs", False)])
def test_a_release_has_rights_in_its_own_namespaces_alone(
    admin: Api, release: Installation, namespace: str, allowed: bool
) -> None:
    user = release.service_account("controller")

    assert admin.allowed(user, "list", "secrets", namespace=namespace, group="") == allowed
    assert admin.allowed(user, "list", "pairingtokens", namespace=namespace, group=GROUP) == allowed
    assert admin.allowed(user, "create", "leases", namespace="one-system", group="coordination.k8s.io")


def test_in_policy_mode_the_requester_is_stamped_and_guarded(admin: Api) -> None:
    forged = admin.create(token("forged", "mine", SERVICE | {"requestedBy": "mallory"}))
    stored = admin.create(token("stamped", "mine", SERVICE)).must_succeed()

    assert VALIDATION_REJECTS_FORGED in forged.message
    assert stored["spec"]["requestedBy"] not in {"", "mallory"}


def test_in_service_account_mode_the_requester_is_neither_stamped_nor_guarded(admin: Api) -> None:
    named = admin.create(token("named", "theirs", SERVICE | {"requestedBy": "mallory"})).must_succeed()
    unnamed = admin.create(token("unnamed", "theirs", SERVICE)).must_succeed()

    assert named["spec"]["requestedBy"] == "mallory"
    assert "requestedBy" not in unnamed["spec"]


# With the policies in force, the stored name stays, and no edit comes as far as this rule.
CHANGED = [
    Refused("requestedBy changed", SERVICE | {"requestedBy": "ann"}, SERVICE | {"requestedBy": "mallory"}, KEPT),
    Refused("requestedBy unset", SERVICE | {"requestedBy": "ann"}, SERVICE, KEPT),
]


@by_writer(CHANGED, SPEC_SCHEMA)
def test_in_service_account_mode_the_schema_refuses_a_changed_requester(
    admin: Api, case: Refused, writer: Writer
) -> None:
    before = token(f"{case.id}-{writer.name}".lower().replace(" ", "-"), "theirs", case.before)
    writer.create(admin, before).must_succeed()

    answer = writer.edit(admin, before, before | {"spec": case.after})

    must_be_refused(case, writer, answer)


@pytest.mark.parametrize("namespace", ["mine", "theirs"])
def test_in_either_mode_a_use_case_needs_permission(admin: Api, namespace: str) -> None:
    grant(admin, namespace, "ann", "tallystick-edit")

    answer = admin.as_user("ann").create(token("unpermitted", namespace, SERVICE))

    assert "you cannot request use case mission-control" in answer.message


def test_a_namespace_that_no_release_serves_is_left_alone(admin: Api) -> None:
    stored = admin.create(token("free", "nobodys", SERVICE | {"requestedBy": "mallory"})).must_succeed()

    assert stored["spec"]["requestedBy"] == "mallory"
