"""When a replica is ready: it has seen admission behave, and its issuer is that of the signing keys (S6)."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from typing import Any

import pytest
import urllib3

from tallystick.cli.settings import DEFAULT_NAMESPACE
from tallystick.install.installation import Installation
from tallystick.pairing.domain.requester import VALIDATION_IS_IN_FORCE, VALIDATION_PROBE
from tests.harness.api import Api
from tests.harness.controllers import LEASE, ControllerProcess, Controllers, controllers
from tests.harness.objects import a_pairing_token, issued
from tests.harness.processes import poll

__all__ = ["controllers"]

Json = dict[str, Any]

OTHER = "https://moved.example"
GUARD, STAMP = "ValidatingAdmissionPolicyBinding", "MutatingAdmissionPolicyBinding"


def readiness(process: ControllerProcess) -> Json:
    """What `/readyz` says; {} while the process does not listen yet."""
    assert process.child.running, process.child.exit_text()
    with suppress(urllib3.exceptions.HTTPError):
        found: Json = json.loads(process.get("/readyz"))
        return found
    return {}


def is_ready(process: ControllerProcess) -> bool:
    return bool(readiness(process).get("status") == "ready")


def waits_for(process: ControllerProcess, text: str) -> bool:
    return text in str(readiness(process).get("reason", ""))


@contextmanager
def without(admin: Api, kind: str, part: str) -> Iterator[None]:
    """Take the binding of a policy away, wait until the API server does without it, and put it back at the end."""
    body = {"kind": kind, "apiVersion": "admissionregistration.k8s.io/v1"}
    body |= {"metadata": {"name": Installation().cluster_name(part)}}
    stored = admin.get(body)
    admin.delete(body).must_succeed()
    try:
        poll(lambda: not in_force(admin, part))
        yield
    finally:
        stored["metadata"] = {"name": stored["metadata"]["name"]}
        if admin.find(body) is None:
            admin.create(stored).must_succeed()
        poll(lambda: in_force(admin, part))


def in_force(admin: Api, part: str) -> bool:
    if part == "guard":
        answer = admin.create(a_pairing_token(DEFAULT_NAMESPACE, VALIDATION_PROBE), dry_run=True)
        return VALIDATION_IS_IN_FORCE in answer.message
    answer = admin.create(a_pairing_token(DEFAULT_NAMESPACE, "unnamed"), dry_run=True)
    return "requestedBy" in answer.body.get("spec", {})


@pytest.mark.parametrize(
    ("kind", "part", "text"),
    [
        pytest.param(GUARD, "guard", "the validation of requesters and use cases is in force", id="the guard"),
        pytest.param(STAMP, "requester", "the mutation of the requester is in force", id="the stamp"),
    ],
)
def test_s6_a_replica_is_ready_once_it_has_seen_admission_behave(
    controllers: Controllers, kind: str, part: str, text: str
) -> None:
    with controllers.spawned() as leader:
        poll(lambda: is_ready(leader))
        with without(controllers.admin, kind, part), controllers.spawned() as beside:
            poll(lambda: waits_for(beside, f"waiting until {text}: "))
            # It was ready before: the loss of a policy ends no leader.
            assert is_ready(leader)
            with controllers.spawned() as third:
                poll(lambda: waits_for(third, "it is not in force yet; if that lasts, apply the output of tallystick"))
            beside_waits = readiness(beside)
        assert beside_waits["status"] == "not ready"


def test_s6_a_replica_becomes_ready_without_a_restart_when_the_policy_comes(controllers: Controllers) -> None:
    with ExitStack() as outlives:
        with without(controllers.admin, GUARD, "guard"):
            process = outlives.enter_context(controllers.spawned())
            poll(lambda: waits_for(process, "the validation of requesters and use cases is in force"))
        poll(lambda: is_ready(process))


def test_with_requester_service_account_no_stamp_is_waited_for(controllers: Controllers) -> None:
    with (
        without(controllers.admin, STAMP, "requester"),
        controllers.spawned(TALLYSTICK_REQUESTER="ServiceAccount") as process,
    ):
        poll(lambda: is_ready(process))


def test_a_controller_with_another_issuer_is_not_ready_and_leaves_the_old_one_leading(
    controllers: Controllers,
) -> None:
    admin, moved = controllers.admin, replace(controllers, url=OTHER)
    with controllers.leading() as old:
        holder = admin.get(LEASE)["spec"]["holderIdentity"]
        with moved.spawned() as new:
            poll(lambda: waits_for(new, f"has issuer {controllers.url}, not {OTHER}; start with --issuer"))
            body, _ = issued(admin, a_pairing_token("default", "beside-another-issuer"))

            assert (old.leads, new.leads) == (True, False)
            assert admin.get(LEASE)["spec"]["holderIdentity"] == holder
            admin.delete(body).must_succeed()
    # It does not take over either when nobody leads.
    with moved.spawned() as alone:
        poll(lambda: waits_for(alone, f"start with --issuer {controllers.url}"))
        assert admin.get(LEASE)["spec"]["holderIdentity"] == ""
        assert alone.child.running
