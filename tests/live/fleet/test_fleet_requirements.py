"""Each requirement R1 to R13 of a device project (docs/rules.md), by kubectl and HTTP as its users try it."""

import json
import re
import time
from collections.abc import Callable
from datetime import timedelta

import jwt
import pytest

from tallystick.crypto.keys import SigningKey
from tallystick.schema.meta import API_VERSION
from tests.harness.api import Api
from tests.harness.objects import condition, read_token, secret_of, value_of, wait_for_reason, wait_for_state
from tests.harness.pairing_site import Site, make_site
from tests.harness.processes import poll
from tests.harness.system import System
from tests.live.fleet.project_site import Project, after_older_readings, counts_of, project

__all__ = ["project"]

# No device has the label, so the first batch is empty and done, and the gate keeps the others.
EMPTY_FIRST = {"batches": [{"name": "nobody", "selector": {"matchLabels": {"ring": "none"}}}]}
REPLACED = "enrollment token {} was replaced; take the new one from Secret {}/cams-pairing-token"


@pytest.fixture
def verifier(admin: Api, make_namespace: Callable[[str], str], project: Project) -> Site:
    """A service that introspects tokens of the namespace of the project."""
    del make_namespace
    return make_site(admin, project.namespace, project.client)


def rejection(project: Project, *arguments: str) -> str:
    """Run a kubectl command that fails, and return its error."""
    with pytest.raises(AssertionError) as refused:
        project.kubectl(*arguments)
    return str(refused.value)


def patch(project: Project, kind: str, name: str, **spec: object) -> tuple[str, ...]:
    return ("patch", kind, name, "--type=merge", "-p", json.dumps({"spec": spec}))


def test_r1_r12_a_token_of_a_project_is_created_rotated_aborted_and_revoked_and_enrolls_many(project: Project) -> None:
    project.apply()
    cameras = project.cameras(2)
    claims = read_token(project.value()).claims
    project.rotating("rot-1")
    project.finish(cameras, "rot-1")
    project.rotating("rot-2", openBatches=1, strategy=EMPTY_FIRST)
    project.kubectl(*patch(project, "tokenrotation", "rot-2", desiredState="Aborted"))
    project.wait("rot-2", state="Aborting")
    project.kubectl(*patch(project, "pairingtoken", "cams", revoked=True))
    wait_for_state(project.api, project.pairing_token(), "Revoked")

    assert claims["project"] == f"{project.namespace}/fleet01"
    assert "exp" not in claims
    assert {body["spec"]["projectKey"] for body in project.devices()} == {"fleet01"}
    assert [camera.check_in().status for camera in cameras] == [401, 401]


def test_r1_a_device_project_needs_a_project(project: Project) -> None:
    without, malformed = project.pairing_token(projectKey=None), project.pairing_token(projectKey="Fleet 01")
    del without["spec"]["projectKey"]

    refusals = [project.api.kubectl_apply(body).message for body in (without, malformed)]

    assert "projectKey is required" in refusals[0]
    assert "spec.projectKey in body should match '^[a-z][a-z0-9]{1,31}$'" in refusals[1]


def test_r2_value_and_copy_are_jwts_that_the_published_keys_verify_and_no_other_algorithm_is_accepted(
    project: Project,
) -> None:
    project.apply()
    camera = project.camera()
    keys = jwt.PyJWKSet.from_dict(project.client.get("/.well-known/jwks.json").body)
    issuer = project.client.issuer

    for token, typ in ((project.value(), "enrol+jwt"), (camera.copy, "device+jwt")):
        header = jwt.get_unverified_header(token)
        # The clock of the system is ahead of that of the library.
        claims = jwt.decode(
            token,
            keys[header["kid"]].key,
            algorithms=["ES256"],
            audience=issuer,
            issuer=issuer,
            options={"verify_iat": False},
        )
        assert header == {"alg": "ES256", "kid": header["kid"], "typ": typ}
        assert {"jti", "iat"} <= claims.keys()
    _, claims_part, _ = project.value().split(".")
    for forged in (
        jwt.encode(read_token(project.value()).claims, "", algorithm="none", headers={"typ": "enrol+jwt"}),
        jwt.encode(read_token(project.value()).claims, "k" * 32, algorithm="HS256", headers={"typ": "enrol+jwt"}),
        f"{project.value().split('.')[0]}.{claims_part}.",
    ):
        assert camera.enroll(forged).status == 401


def test_r3_a_rotation_replaces_the_value_by_another_one_of_the_same_project(project: Project) -> None:
    project.apply()
    project.cameras(1)
    old = project.value()
    project.rotating()
    new = project.new_value(old)

    status = project.status()
    assert status["oldTokenID"] == read_token(old).claims["jti"]
    assert status["newTokenID"] == read_token(new).claims["jti"] != status["oldTokenID"]
    assert read_token(new).claims["project"] == read_token(old).claims["project"]
    refused = poll(
        lambda: answer if (answer := project.client.enroll(old, SigningKey.generate("ES256"))).status == 401 else None
    )
    assert refused is not None
    assert refused.description == REPLACED.format(status["oldTokenID"], project.namespace)
    assert project.camera(value=new).generation == 2


def test_r3_a_rotation_may_be_applied_before_its_token(project: Project, system: System) -> None:
    project.rotate()
    project.wait(reason="TargetNotFound")
    system.clock.advance(timedelta(seconds=61))
    stalled = poll(lambda: condition(project.api.get(project.rotation()), "Stalled"))
    project.apply()
    project.wait(state="Succeeded")

    text = f"PairingToken {project.namespace}/cams does not exist; create it to go on"
    assert (stalled["reason"], stalled["message"]) == ("TargetNotFound", text)


def test_r4_a_rotation_may_be_asked_for_at_any_time_and_waits_for_another_one(project: Project) -> None:
    project.apply()
    cameras = project.cameras(1)
    project.rotating("rot-1")
    project.rotate("rot-2", reason="Compromised")
    project.wait("rot-2", reason="WaitingForRotation")
    waiting = project.succeeded("rot-2")["message"]
    project.finish(cameras, "rot-1")
    project.finish(cameras, "rot-2")

    first = f"TokenRotation {project.namespace}/rot-1 of PairingToken {project.namespace}/cams goes first"
    assert waiting == f"{first}; wait until it has finished, or abort it"
    assert [entry["name"] for entry in project.token["status"]["rotations"]] == ["rot-2", "rot-1"]


def test_r5_a_revoked_token_is_inactive_within_five_seconds_and_stays_so(project: Project, verifier: Site) -> None:
    project.apply()
    camera, value = project.camera(), project.value()
    assert verifier.is_active(value)
    assert verifier.is_active(camera.copy)

    project.kubectl(*patch(project, "pairingtoken", "cams", revoked=True))
    revoked = time.monotonic()
    seen = verifier.last_active(value, ("",), until=revoked + 1.5)
    wait_for_state(project.api, project.pairing_token(), "Revoked")

    assert seen < revoked + 5.0
    assert not verifier.is_active(value)
    assert not verifier.is_active(camera.copy)
    assert project.client.enroll(value, SigningKey.generate("ES256")).status == 401
    poll(lambda: project.api.find(secret_of(project.pairing_token())) is None)
    assert "a revoked token cannot be reactivated" in rejection(
        project, *patch(project, "pairingtoken", "cams", revoked=False)
    )


def test_r6_the_id_of_a_token_is_in_the_table_and_in_the_secret(project: Project) -> None:
    project.apply()
    secret = project.api.get(secret_of(project.pairing_token()))
    (row,) = project.table("pairingtokens", "-o", "wide")

    token_id = read_token(project.value()).claims["jti"]
    assert row["TOKEN ID"] == project.token["status"]["tokenID"] == value_of(secret, "token-id") == token_id


def test_r7_a_token_is_found_by_its_id(project: Project) -> None:
    project.apply()
    other = Project(project.api, project.namespace, project.client, project.folder, name="doors")
    other.apply()
    token_id = project.token["status"]["tokenID"]

    assert project.kubectl("get", "pairingtokens", f"--field-selector=status.tokenID={token_id}", "-o", "name") == (
        "pairingtoken.tallystick.dev/cams\n"
    )
    assert project.kubectl("get", "secrets", "-l", f"tallystick.dev/token-id={token_id}", "-o", "name") == (
        "secret/cams-pairing-token\n"
    )


def test_r8_a_rotation_moves_one_token_of_a_project_and_no_other(project: Project) -> None:
    project.apply()
    sibling = Project(project.api, project.namespace, project.client, project.folder, name="doors")
    sibling.apply()
    value, door, camera = sibling.value(), sibling.camera(), project.camera()
    before = sibling.token
    project.rotating()
    project.finish([camera])
    service = {"purpose": "Service", "useCase": "mission-control", "ttl": "24h"}
    body = project.pairing_token() | {"metadata": {"name": "site-a", "namespace": project.namespace}, "spec": service}
    project.api.kubectl_apply(body).must_succeed()
    project.rotate("rot-2", targetRef={"kind": "PairingToken", "name": "site-a"})
    project.wait("rot-2", reason="NotRotatable")

    assert sibling.value() == value
    assert sibling.token["status"].get("rotation") == before["status"].get("rotation") is None
    assert (door.check_in().status, door.generation, camera.generation) == (204, 1, 2)
    text = (
        f"PairingToken {project.namespace}/site-a has purpose Service: it is single-use and cannot be rotated; "
        "create a new PairingToken"
    )
    assert project.succeeded("rot-2")["message"] == text
    assert [event["message"] for event in project.events("NotRotatable")] == [text]
    edit = patch(project, "tokenrotation", "rot-1", targetRef={"kind": "PairingToken", "name": "doors"})
    assert "targetRef is immutable" in rejection(project, *edit)


def test_r9_r10_the_status_shows_how_many_devices_are_in_each_of_four_states(project: Project, system: System) -> None:
    project.apply()
    cameras = project.cameras(4)
    project.rotating(strategy={"maxFailures": "100%"})
    cameras[0].follow()
    cameras[1].take()
    failing = cameras[2].take()
    report = {"generation": read_token(failing).claims["tallystick"]["serial"], "reason": "DiskFull"}
    assert cameras[2].check_in(failed=report).status == 204

    status = project.wait_for_counts(pending=1, inProgress=1, succeeded=1, failed=1)
    assert counts_of(status) == {"pending": 1, "inProgress": 1, "succeeded": 1, "failed": 1, "total": 4}
    system.clock.advance(timedelta(seconds=5))
    poll(lambda: project.token["status"]["rotation"].get("summary") == "1/1/1/1")
    (row,) = project.table("pairingtokens")
    assert row["ROTATION"] == "1/1/1/1"
    (row,) = project.table("tokenrotations")
    counted = ("PENDING", "IN PROGRESS", "SUCCEEDED", "FAILED", "TOTAL")
    assert [row[title] for title in counted] == ["1", "1", "1", "1", "4"]
    (failed,) = status["failedDevices"]
    assert (failed["name"], failed["reason"]) == (cameras[2].device, "DiskFull")


def test_r11_an_abort_leaves_who_has_not_started_and_lets_who_has_finish(project: Project, system: System) -> None:
    project.apply()
    done, started, failed, left = project.cameras(4)
    project.rotating(strategy={"maxFailures": "100%"})
    done.follow()
    new = started.take()
    report = {"generation": read_token(failed.take()).claims["tallystick"]["serial"], "reason": "DiskFull"}
    failed.check_in(failed=report)
    project.wait_for_counts(pending=1, inProgress=1, succeeded=1, failed=1)

    project.kubectl(*patch(project, "tokenrotation", "rot-1", desiredState="Aborted"))
    aborting = project.wait(state="Aborting")
    after_older_readings()
    held = left.check_in()
    started.prove(new)
    aborted = project.end(system.clock, state="Aborted")

    assert held.status == 204
    assert aborting["devices"] == {
        "total": 4,
        "pending": 0,
        "inProgress": 1,
        "succeeded": 1,
        "failed": 0,
        "noRotation": 2,
    }
    assert aborted["devices"] == {
        "total": 4,
        "pending": 0,
        "inProgress": 0,
        "succeeded": 2,
        "failed": 0,
        "noRotation": 2,
    }
    assert [camera.check_in().status for camera in (done, started, left)] == [204, 204, 204]
    resume = patch(project, "tokenrotation", "rot-1", desiredState="Running")
    assert "an aborted rotation cannot be resumed; create a new TokenRotation" in rejection(project, *resume)


def test_r13_the_audit_log_has_each_action_with_its_token_and_never_a_value(project: Project, system: System) -> None:
    project.apply()
    camera, value = project.camera(), project.value()
    project.rotating("rot-1")
    camera.follow()
    project.wait("rot-1", state="Succeeded")
    project.rotating("rot-2", openBatches=1, strategy=EMPTY_FIRST)
    project.order("rot-2", desiredState="Aborted")
    project.wait("rot-2", state="Aborting")
    project.end(system.clock, "rot-2", state="Aborted")
    project.client.enroll(value, SigningKey.generate("ES256"))
    project.edit(revoked=True)
    wait_for_reason(project.api, camera.body | {"apiVersion": API_VERSION}, "Revoked")

    lines = [*project.audit("controller"), *project.audit("exchange")]
    found = {(line["action"], line["outcome"]) for line in lines}
    assert found >= {
        *((action, "ok") for action in ("issue", "rotate", "finish", "abort", "revoke", "enroll", "offer", "prove")),
        ("enroll", "refused"),
    }
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", line["time"]) for line in lines)
    assert all(line.keys() & {"token_id", "new_token_id"} for line in lines)
    assert not any(part in json.dumps(lines) for token in (value, camera.copy) for part in token.split("."))
