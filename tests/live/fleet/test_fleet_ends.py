"""How devices end: by a revoked PairingToken, by their own revocation, and by deletion; and what ends none."""

from datetime import timedelta
from http import HTTPStatus
from typing import Any

from tallystick.crypto.keys import SigningKey
from tallystick.schema.meta import API_VERSION
from tests.harness.objects import secret_of, wait_for_state, wait_until_gone
from tests.harness.processes import poll
from tests.harness.system import System
from tests.live.fleet.project_site import Camera, Project, after_older_readings, project

__all__ = ["project"]


def ready_to_lose(camera: Camera) -> dict[str, Any]:
    return camera.body | {"apiVersion": API_VERSION}


def test_a_revoked_token_ends_its_devices_and_its_rotation(project: Project) -> None:
    project.apply()
    started, waits = project.cameras(2)
    project.rotating()
    new = started.take()
    project.edit(revoked=True)
    after_older_readings()
    answers = [started.check_in(new), started.check_in(), waits.check_in()]
    ended = project.wait(state="Failed", reason="TargetRevoked")
    poll(lambda: {body["status"].get("state") for body in project.devices()} == {"Revoked"})

    text = f"PairingToken {project.namespace}/cams has been revoked"
    assert [(answer.status, answer.description) for answer in answers] == [(401, text)] * 3
    assert ended["devices"]["total"] == 2
    assert {line["reason"] for line in project.audit("controller", "revoke") if line["kind"] == "Device"} == {
        "PairingToken"
    }


def test_a_higher_serial_moves_no_device_and_a_revocation_ends_the_devices_of_its_serials_only(
    project: Project,
) -> None:
    project.apply()
    first, old = project.camera(), project.value()
    project.edit(serial=2)
    wait_for_state(project.api, project.pairing_token(), "Active")
    second = project.camera(value=project.new_value(old))
    replaced = project.client.enroll(old, SigningKey.generate("ES256"))
    moved = (first.check_in().status, second.check_in().status)
    project.edit(revoked=True)
    wait_for_state(project.api, project.pairing_token(), "Revoked")
    project.edit(revoked=False, serial=3)
    wait_for_state(project.api, project.pairing_token(), "Active")
    third = project.camera()
    after_older_readings()

    assert (replaced.status, moved) == (401, (204, 204))
    assert [camera.check_in().status for camera in (first, second, third)] == [401, 401, 204]
    assert [body["spec"]["serial"] for body in project.devices()].count(3) == 1


def test_a_token_with_devices_is_deleted_only_after_its_revocation(project: Project, system: System) -> None:
    project.apply()
    camera = project.camera()
    at_once = project.api.delete(project.pairing_token())
    project.wait_until_counted(system.clock, 1)
    refused = project.api.delete(project.pairing_token())
    project.edit(revoked=True)
    project.api.delete(project.pairing_token()).must_succeed()
    wait_until_gone(project.api, ready_to_lose(camera))

    for answer in (at_once, refused):
        assert "1 device depends on this token; set spec.revoked: true first" in answer.message


def test_a_removed_device_is_answered_410_and_its_key_may_enroll_again(project: Project) -> None:
    project.apply()
    camera = project.camera()
    project.kubectl("delete", "device", camera.device)
    after_older_readings()
    gone = camera.check_in()
    again = camera.enroll()

    text = f"device {camera.device} was removed: stop calling"
    assert (gone.status, gone.description, gone.body["type"]) == (410, text, "urn:problem:device-removed")
    assert again.status == HTTPStatus.CREATED
    assert camera.check_in().status == 204


def test_no_device_is_answered_410_while_its_token_does_not_exist(project: Project) -> None:
    """A restore that is under way shows a cluster without objects for some time."""
    project.apply()
    first, second = project.cameras(2)
    project.edit(revoked=True)
    wait_until_gone(project.api, secret_of(project.pairing_token()))
    project.api.delete(project.pairing_token(), propagation="Orphan").must_succeed()
    wait_until_gone(project.api, project.pairing_token())
    after_older_readings()
    with_devices = [first.check_in(), second.check_in()]
    for camera in (first, second):
        project.api.delete(ready_to_lose(camera)).must_succeed()
    after_older_readings()
    without = [first.check_in(), second.check_in()]
    project.apply()
    after_older_readings()
    of_another_token = first.check_in()

    assert [answer.status for answer in (*with_devices, *without)] == [503] * 4
    assert all(answer.headers["Retry-After"] for answer in (*with_devices, *without))
    assert of_another_token.status == 503  # the new PairingToken has another uid


def test_the_key_of_a_revoked_device_enrolls_only_after_its_deletion(project: Project) -> None:
    project.apply()
    camera = project.camera()
    project.api.merge(ready_to_lose(camera), {"spec": {"revoked": True}}).must_succeed()
    after_older_readings()
    checked, enrolled = camera.check_in(), camera.enroll()
    (event,) = poll(lambda: project.events("Revoked"))
    project.kubectl("delete", "device", camera.device)
    again = camera.enroll()

    assert (checked.status, checked.description) == (401, f"device {camera.device} has been revoked")
    text = f"device {camera.device} has been revoked; delete it to let its key enroll again"
    assert (enrolled.status, enrolled.description) == (403, text)
    assert event["involvedObject"]["name"] == camera.device
    assert again.status == HTTPStatus.CREATED


def test_a_device_ends_itself_by_a_proof_of_its_key_alone(project: Project) -> None:
    project.apply(proofOfPossession="Optional")
    keyed, keyless = project.camera(), project.camera(keyed=False)
    value = project.client.revoke(project.value())
    stolen = project.client.revoke(keyless.copy)
    project.client.revoke(keyed.copy, key=keyed.key).must_succeed()
    after_older_readings()

    assert (value.status, stolen.status) == (400, 400)
    assert (keyed.check_in().status, keyless.check_in().status) == (401, 204)
    assert [event["involvedObject"]["name"] for event in project.events("RevokedByHolder")] == [keyed.device]


def test_a_closed_enrollment_and_an_expired_value_end_no_device(project: Project, system: System) -> None:
    project.apply(ttl="1h")
    camera, value = project.camera(), project.value()
    project.edit(enrolment="Closed")
    after_older_readings()
    closed, again = project.client.enroll(value, SigningKey.generate("ES256")), camera.enroll(value)
    project.edit(enrolment="Open")
    system.clock.advance(timedelta(hours=1, seconds=1))
    wait_for_state(project.api, project.pairing_token(), "Expired")
    expired = project.client.enroll(value, SigningKey.generate("ES256"))
    project.rotating()
    project.finish([camera])

    text = f"PairingToken {project.namespace}/cams takes no new devices: spec.enrolment is Closed"
    assert (closed.status, closed.description, again.status) == (403, text, 200)
    assert (expired.status, "expired at" in expired.description) == (401, True)
    assert camera.generation == 2
    assert project.token["status"]["state"] == "Expired"
