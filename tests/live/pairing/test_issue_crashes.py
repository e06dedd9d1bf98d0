"""A controller that is killed, started again or replaced loses nothing and issues nothing twice."""

import itertools
import json
import signal
from datetime import datetime, timedelta
from typing import Any

import pytest

from tallystick.controller.lease import LeaseTimes
from tallystick.install.installation import Installation
from tallystick.localplane.plane import ControlPlane
from tests.harness.api import Api
from tests.harness.audit_trail import Trail
from tests.harness.controllers import LEASE, ControllerProcess, Controllers, controllers
from tests.harness.fleets import History
from tests.harness.installed import install_on, new_namespace
from tests.harness.objects import (
    a_pairing_token,
    issued,
    secret_of,
    wait_for_reason,
    wait_for_state,
)
from tests.harness.processes import poll

__all__ = ["controllers"]

Json = dict[str, Any]

LEASE_TIMES = LeaseTimes()
FORGED = "somebody-else"


@pytest.fixture(scope="module")
def admin(controllers: Controllers) -> Api:
    return controllers.admin


@pytest.fixture(scope="module")
def trail(vacant_plane: ControlPlane) -> Trail:
    return Trail.from_now(vacant_plane.audit_log)


@pytest.fixture
def namespace(admin: Api) -> str:
    return new_namespace(admin, "crash")


# Killed between two steps.


@pytest.mark.parametrize(
    ("failpoint", "secret_is_there"),
    [
        ("before:create:secrets", False),
        ("after:create:secrets", True),
        ("after:replace_status:pairingtokens", True),
    ],
)
def test_a_token_is_issued_once_though_the_controller_is_killed(
    controllers: Controllers, admin: Api, trail: Trail, namespace: str, failpoint: str, secret_is_there: bool
) -> None:
    body = a_pairing_token(namespace)
    with controllers.leading(failpoint=failpoint) as dying:
        admin.create(body).must_succeed()
        poll(lambda: dying.ended)
        assert dying.child.wait(10.0) == -signal.SIGKILL
    left_behind = admin.find(secret_of(body))

    with controllers.leading():
        token = wait_for_state(admin, body, "Active")

    secret = admin.get(secret_of(body))
    minted = [write for write in trail.writes(namespace) if write.startswith("create secrets") and "(" not in write]
    assert (left_behind is not None) == secret_is_there
    assert left_behind is None or secret == left_behind
    assert secret["metadata"]["labels"]["tallystick.dev/token-id"] == token["status"]["tokenID"]
    assert minted == ["create secrets site-a-pairing-token"]
    assert len(admin.find_all("Secret", namespace)) == 1


def test_a_revocation_is_carried_out_though_the_controller_is_killed(
    controllers: Controllers, admin: Api, namespace: str
) -> None:
    body = a_pairing_token(namespace)
    with controllers.leading():
        issued(admin, body)
    with controllers.leading(failpoint="after:replace_status:pairingtokens") as dying:
        admin.merge(body, {"spec": {"revoked": True}}).must_succeed()
        poll(lambda: dying.ended)

    with controllers.leading():
        wait_for_state(admin, body, "Revoked")
        poll(lambda: admin.find(secret_of(body)) is None)


# Started again.


def test_nothing_is_written_by_a_restart_but_the_lease(
    controllers: Controllers, admin: Api, trail: Trail, namespace: str
) -> None:
    bodies = {
        "Issued": a_pairing_token(namespace, "site-a"),
        "Revoked": a_pairing_token(namespace, "site-b", revoked=True),
        "ForeignURL": a_pairing_token(namespace, "site-c", baseURL="https://elsewhere.example"),
    }
    with controllers.leading() as first:
        for reason, body in bodies.items():
            admin.create(body).must_succeed()
            wait_for_reason(admin, body, reason)
        poll(lambda: len(admin.find_all("Event", namespace)) == 2)
    mark = trail.mark()

    with controllers.leading():
        written = trail.settled(admin, namespace, since=mark)

    assert first.child.exit_status == 0
    assert written == []
    assert {write.split()[1] for write in trail.writes("tallystick-system", since=mark)} == {"leases"}


def test_what_was_missed_while_no_controller_ran_is_made_good(
    controllers: Controllers, admin: Api, namespace: str
) -> None:
    names = ("site-a", "site-b", "site-c")
    deleted, revoked, new = (a_pairing_token(namespace, name) for name in names)
    with controllers.leading():
        _, secret = issued(admin, deleted)
        issued(admin, revoked)
    admin.delete(secret).must_succeed()
    admin.merge(revoked, {"spec": {"revoked": True}}).must_succeed()
    admin.create(new).must_succeed()

    with controllers.leading():
        wait_for_state(admin, new, "Active")
        wait_for_state(admin, revoked, "Revoked")
        healed = poll(lambda: admin.find(secret_of(deleted)))

    assert healed is not None
    assert healed["data"] == secret["data"]


# Two replicas.


def test_the_other_replica_goes_on_when_the_lease_of_a_killed_leader_is_over_and_not_before(
    controllers: Controllers, admin: Api, trail: Trail, namespace: str
) -> None:
    """Without delay, too: tests/unit/controller/test_lease.py has the exact time, by a clock that no machine slows."""
    before = [a_pairing_token(namespace, f"before-{n}") for n in range(5)]
    amid = [a_pairing_token(namespace, f"amid-{n}") for n in range(30)]
    after = [a_pairing_token(namespace, f"after-{n}") for n in range(5)]
    with controllers.leading() as leader, controllers.running() as other:
        ids = [issued(admin, body)[0]["status"]["tokenID"] for body in before]
        assert not other.leads

        for body in amid:
            admin.create(body).must_succeed()
        leader.child.kill()
        left = admin.get(LEASE)["spec"]
        for body in after:
            admin.create(body).must_succeed()
        for body in (*amid, *after):
            wait_for_state(admin, body, "Active")
        taken = admin.get(LEASE)["spec"]

        assert other.leads
        assert time_of(taken["acquireTime"]) - time_of(left["renewTime"]) >= timedelta(seconds=LEASE_TIMES.duration)
        assert taken["holderIdentity"] != left["holderIdentity"]
        assert [admin.get(body)["status"]["tokenID"] for body in before] == ids
    creates = [write.split()[2:] for write in trail.writes(namespace) if write.startswith("create secrets")]
    minted = [name for name, *failure in creates if not failure]
    # One that was on its way when the leader was killed may be stored, though the log tells a failure.
    stored = {name for name, *failure in creates if failure != ["(409)"]}
    assert len(minted) == len(set(minted))
    assert stored == {secret_of(body)["metadata"]["name"] for body in (*before, *amid, *after)}


def time_of(written: str) -> datetime:
    return datetime.fromisoformat(written)


def test_a_replica_that_ends_in_good_order_gives_its_lease_back_to_the_other_one(
    controllers: Controllers, admin: Api, namespace: str
) -> None:
    body = a_pairing_token(namespace)
    with controllers.leading() as leader, controllers.running() as other, History.of(admin, LEASE) as history:
        before = admin.get(LEASE)["spec"]["holderIdentity"]
        leader.child.stop(grace=60.0)
        admin.create(body).must_succeed()

        wait_for_state(admin, body, "Active")
        assert other.leads
        after = admin.get(LEASE)["spec"]["holderIdentity"]
        holders = [version["spec"].get("holderIdentity", "") for version in history.versions()]
    # A Lease without a holder is free at once. The other one did not wait until it was over.
    assert [holder for holder, _ in itertools.groupby([before, *holders])] == [before, "", after]
    assert leader.child.exit_status == 0


# The policy that says who asked (S4).


def forged_is_stored(admin: Api, namespace: str) -> bool:
    answer = admin.create(a_pairing_token(namespace, "probe", requestedBy=FORGED), dry_run=True)
    return bool(answer.succeeded and answer.body["spec"]["requestedBy"] == FORGED)


def test_nothing_is_issued_while_the_policy_that_stamps_the_requester_is_missing(
    controllers: Controllers, vacant_plane: ControlPlane, admin: Api, trail: Trail, namespace: str
) -> None:
    body = a_pairing_token(namespace)
    admin.create(body).must_succeed()
    for kind, part in (("Mutating", "requester"), ("Validating", "guard")):
        name = Installation().cluster_name(part)
        admin.delete({"kind": f"{kind}AdmissionPolicyBinding", "metadata": {"name": name}}).must_succeed()
    poll(lambda: forged_is_stored(admin, namespace))

    with controllers.leading():
        wait_for_reason(admin, body, "RequesterPolicyMissing")
        without_policy = admin.find(secret_of(body))
        install_on(vacant_plane.kubeconfig, Installation())
        token = wait_for_state(admin, body, "Active")

    assert without_policy is None
    assert token["status"]["subject"] == token["spec"]["requestedBy"]
    written = [write for write in trail.writes(namespace) if "events" not in write]
    assert written == [
        "update pairingtokens/status site-a",
        "create secrets site-a-pairing-token",
        "update pairingtokens/status site-a",
    ]


def test_a_token_is_refused_at_admission_while_only_the_stamp_is_missing(
    controllers: Controllers, vacant_plane: ControlPlane, admin: Api, namespace: str
) -> None:
    name = Installation().cluster_name("requester")
    admin.delete({"kind": "MutatingAdmissionPolicyBinding", "metadata": {"name": name}}).must_succeed()
    try:
        refused = poll(lambda: admin.create(a_pairing_token(namespace, "site-a"), dry_run=True).message)
    finally:
        install_on(vacant_plane.kubeconfig, Installation())

    assert "spec.requestedBy must be the name of the user who sends the request" in refused


# Its own small HTTP server.


def figures_of(process: ControllerProcess) -> dict[str, str]:
    return dict(line.split(" ") for line in process.get("/metrics").splitlines() if not line.startswith("#"))


def test_a_controller_reports_its_health(controllers: Controllers, admin: Api, namespace: str) -> None:
    with controllers.leading() as process:
        issued(admin, a_pairing_token(namespace))
        # What earlier tests have left is looked at, too.
        poll(lambda: figures_of(process)["tallystick_queue_depth"] == "0.0")

        figures = figures_of(process)

        assert process.get("/healthz") == '{"status": "ok"}'
        assert json.loads(process.get("/readyz"))["status"] == "ready"
    assert figures["tallystick_leader"] == "1.0"
    assert float(figures['tallystick_reconciles_total{kind="PairingToken",result="done"}']) >= 1
    assert figures["tallystick_audit_failures"] == "0.0"
