"""After a compromise: failures never halt, a copy without a key is not moved, and all older copies can end at once."""

from collections.abc import Callable

import pytest

from tallystick.schema.meta import API_VERSION
from tests.harness.api import Api
from tests.harness.objects import read_token
from tests.harness.pairing_site import Site, make_site
from tests.harness.processes import poll
from tests.harness.system import System
from tests.live.fleet.project_site import Project, after_older_readings, counts_of, project

__all__ = ["project"]

AT_ONCE = {"reason": "Compromised", "oldToken": "RevokeImmediately"}


@pytest.fixture
def verifier(admin: Api, make_namespace: Callable[[str], str], project: Project) -> Site:
    """A service that introspects tokens of the namespace of the project."""
    del make_namespace
    return make_site(admin, project.namespace, project.client)


def test_after_a_compromise_failures_do_not_halt_and_a_device_without_a_key_must_enroll_again(project: Project) -> None:
    project.apply(proofOfPossession="Optional")
    broken, sound = project.cameras(2)
    keyless, old = project.camera(keyed=False), project.value()
    project.rotating(reason="Compromised", strategy={"maxFailures": 0})
    new = broken.take()
    report = {"generation": 2, "reason": "DiskFull"}
    assert broken.check_in(failed=report).status == 204
    failed = project.wait_for_counts(failed=2)
    sound.prove(sound.take())
    held = keyless.check_in()
    broken.prove(new)
    replacement = project.camera(keyed=False, value=project.new_value(old))
    project.api.delete(keyless.body | {"apiVersion": API_VERSION}).must_succeed()
    done = project.wait(state="Succeeded")

    reasons = {one["name"]: one["reason"] for one in failed["failedDevices"]}
    assert reasons == {broken.device: "DiskFull", keyless.device: "NeedsReenrolment"}
    assert failed["state"] == "Running"
    assert (held.status, replacement.generation) == (204, 2)
    assert counts_of(done) == {"succeeded": 2, "total": 2}


def test_old_copies_are_inactive_at_once_and_their_keys_get_the_new_one(
    project: Project, verifier: Site, system: System
) -> None:
    project.apply(proofOfPossession="Optional")
    waits, enrolls = project.cameras(2)
    keyless, old = project.camera(keyed=False), project.value()
    project.wait_until_counted(system.clock, 3)  # a device that is deleted before it is counted keeps its place
    copies = [waits.copy, enrolls.copy, keyless.copy]
    assert all(verifier.is_active(copy) for copy in copies)
    project.rotate(**AT_ONCE)
    poll(lambda: project.token["status"].get("revokedBelowGeneration") == 2)
    after_older_readings()
    active = [verifier.is_active(copy) for copy in copies]
    refused = keyless.check_in()
    project.new_value(old)
    offered = enrolls.enroll()
    assert enrolls.check_in().status == 204
    waits.prove(waits.take())
    project.api.delete(keyless.body | {"apiVersion": API_VERSION}).must_succeed()
    done = project.wait(state="Succeeded")

    token_id = read_token(keyless.copy).claims["jti"]
    assert active == [False] * 3
    text = f"token {token_id} was revoked for a compromise: enroll again"
    assert (refused.status, refused.description) == (401, text)
    assert (offered.status, offered.body["generation"], offered.body["device_id"]) == (200, 2, enrolls.device)
    assert [verifier.is_active(copy) for copy in (waits.copy, enrolls.copy)] == [True, True]
    assert counts_of(done) == {"succeeded": 2, "total": 2}


def test_no_device_may_wait_once_the_old_copies_are_revoked(project: Project) -> None:
    waiting = {
        "strategy": {"maxConcurrency": 1},
        "openBatches": 1,
    }
    refusals = [
        project.api.kubectl_apply(project.rotation(**AT_ONCE, **{field: value})).message
        for field, value in waiting.items()
    ]
    routine = project.api.kubectl_apply(project.rotation(oldToken="RevokeImmediately")).message

    assert all("no device may wait once its copy is revoked" in text for text in refusals)
    assert "oldToken: RevokeImmediately is for reason: Compromised" in routine


def test_a_copy_whose_successor_was_used_is_reported_when_it_is_used_again(project: Project) -> None:
    project.apply()
    camera = project.camera()
    old = camera.copy
    project.rotating()
    project.finish([camera])
    reused = camera.check_in(old)
    (event,) = poll(lambda: project.events("OldTokenReuse"))
    (line,) = project.audit("exchange", "reuse")

    token_id = read_token(old).claims["jti"]
    text = f"token {token_id} ended when its successor was proved"
    assert (reused.status, reused.description) == (401, text)
    assert (event["involvedObject"]["name"], event["type"]) == (camera.device, "Warning")
    assert (line["token_id"], line["source"][:4]) == (token_id, "127.")
    assert camera.check_in().status == 204
