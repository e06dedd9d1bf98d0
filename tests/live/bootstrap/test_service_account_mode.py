"""Pairing tokens over HTTP from an operator that runs with `--requester ServiceAccount`, on running processes."""

from collections.abc import Iterator

import pytest

from tallystick.cli.settings import DEFAULT_NAMESPACE, feature_settings
from tallystick.install.installation import Installation
from tallystick.localplane.plane import ControlPlane
from tallystick.pairing.domain.requester_mode import RequesterMode
from tests.harness.grants import grant
from tests.harness.installed import install_on
from tests.harness.objects import value_of
from tests.harness.pairing_site import claims_of
from tests.live.bootstrap.started import ROLES, Started

RIGHTS = tuple(ROLES)


@pytest.fixture(scope="module")
def started(vacant_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    folder, settings = (
        tmp_path_factory.mktemp("accounts") / "up",
        feature_settings(requester=RequesterMode.SERVICE_ACCOUNT),
    )
    with Started.on(vacant_plane, folder, settings=settings) as made:
        yield made
    # The next file finds the policies that stamp the requester, which this mode has deleted.
    install_on(vacant_plane.kubeconfig, Installation())


def test_a_service_account_with_both_rights_is_served_as_itself(started: Started) -> None:
    namespace, bearer = started.caller("own", *RIGHTS)

    issued = started.ask(bearer).must_succeed()

    (made,) = started.admin.find_all("PairingToken", namespace)
    metadata = {"name": f"{issued['name']}-pairing-token", "namespace": namespace}
    assert (issued["namespace"], issued["name"]) == (namespace, made["metadata"]["name"])
    assert made["spec"]["serviceAccountName"] == "press"
    assert claims_of(issued["pairing_token"])["sub"] == f"system:serviceaccount:{namespace}:press"
    assert value_of(started.admin.get({"kind": "Secret", "metadata": metadata}), "token") == issued["pairing_token"]
    assert started.system.exchange.redeem(issued["pairing_token"]).status == 200


@pytest.mark.parametrize("rights", [(), RIGHTS[:1], RIGHTS[1:]], ids=lambda rights: "+".join(rights) or "-")
def test_a_service_account_needs_both_rights(started: Started, rights: tuple[str, ...]) -> None:
    namespace, bearer = started.caller("lacking", *rights)

    answer = started.ask(bearer)

    missing = "cannot use usecases/mission-control" if "create" in rights else "cannot create pairingtokens"
    assert (answer.status, started.admin.find_all("PairingToken", namespace)) == (403, [])
    assert f"{missing} in namespace {namespace}" in answer.description


def test_a_service_account_of_another_namespace_is_refused_though_it_has_both_rights(started: Started) -> None:
    elsewhere, bearer = started.caller("elsewhere", *RIGHTS)
    namespace, _ = started.caller("here", *RIGHTS)
    for right in RIGHTS:
        grant(started.admin, namespace, f"system:serviceaccount:{elsewhere}:press", ROLES[right])

    answer = started.ask(bearer, namespace=namespace)

    assert (answer.status, started.admin.find_all("PairingToken", namespace)) == (403, [])
    assert f"only a ServiceAccount of namespace {namespace} can request a token there" in answer.description


def test_the_admin_token_is_served_as_bootstrap_admin(started: Started) -> None:
    issued = started.ask(started.token).must_succeed()

    (made,) = started.admin.find_all("PairingToken", DEFAULT_NAMESPACE)
    assert (made["metadata"]["name"], issued["namespace"]) == (issued["name"], DEFAULT_NAMESPACE)
    assert (made["spec"]["serviceAccountName"], made["spec"]["requestedBy"]) == ("bootstrap-admin", "bootstrap:admin")
    subject = f"system:serviceaccount:{DEFAULT_NAMESPACE}:bootstrap-admin"
    assert claims_of(issued["pairing_token"])["sub"] == subject


def test_the_admin_token_is_refused_in_another_namespace(started: Started) -> None:
    namespace, _ = started.caller("other", *RIGHTS)

    answer = started.ask(started.token, namespace=namespace)

    assert (answer.status, started.admin.find_all("PairingToken", namespace)) == (403, [])
