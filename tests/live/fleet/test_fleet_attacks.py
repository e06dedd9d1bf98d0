"""Attacks on devices over HTTP. In each, the owner of a key still rotates, and no other client gets a copy."""

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http import HTTPStatus
from typing import Any

import pytest

from tallystick.crypto.keys import SigningKey
from tallystick.install.installation import CONTROLLER, EXCHANGE, Installation
from tallystick.schema.meta import API_VERSION
from tests.harness.api import Api
from tests.harness.exchange import Exchange, another_client
from tests.harness.objects import read_token
from tests.harness.processes import poll
from tests.harness.proofs import Figure
from tests.harness.rule_cases import with_every_right
from tests.harness.system import System
from tests.live.fleet.project_site import Camera, Project, project

__all__ = ["project"]

BOUND = "the token is bound to a key: send it as Authorization: DPoP, with a proof"


@pytest.fixture
def thief(system: System) -> Iterator[Exchange]:
    """A client at an address of its own."""
    with another_client(system) as client:
        yield client


def fresh_key() -> SigningKey:
    return SigningKey.generate("ES256")


def rotates(project: Project, camera: Camera, name: str) -> bool:
    """Return whether the owner still gets its new copy, and uses it."""
    before = camera.generation
    project.rotating(name)
    project.finish([camera], name)
    return camera.generation > before


def test_a_stolen_copy_of_a_device_without_a_key_costs_its_owner_an_enrollment_and_no_more(
    project: Project, thief: Exchange
) -> None:
    project.apply(proofOfPossession="Optional")
    owner = project.camera(keyed=False)
    stolen = replace(owner, client=thief)
    project.rotating()
    stolen.prove(stolen.take())
    refused = owner.check_in()
    events = poll(lambda: project.events("OldTokenReuse"))
    project.api.merge(owner.body | {"apiVersion": API_VERSION}, {"spec": {"revoked": True}}).must_succeed()
    enrolled = replace(owner, client=project.client)
    assert enrolled.enroll().status == HTTPStatus.CREATED

    assert (refused.status, refused.body["type"]) == (401, "urn:problem:invalid-token")
    assert [event["involvedObject"]["name"] for event in events] == [owner.device]
    assert enrolled.device != owner.device
    poll(lambda: stolen.check_in().status == 401)
    assert enrolled.check_in().status == 204


def test_a_stolen_copy_without_its_key_shows_its_thief_no_copy(project: Project, thief: Exchange) -> None:
    project.apply()
    owner, key = project.camera(), fresh_key()
    project.rotating()
    owner.take()
    path = f"{thief.issuer}/v1/devices/{owner.device}/check-in"
    heard = owner.client.proof(owner.key or key, url=path, access_token=owner.copy)
    assert owner.client.check_in(owner.device, owner.copy, None, proof=heard).status == 200
    elsewhere = owner.client.proof(owner.key or key, url=f"{thief.issuer}/v1/devices", access_token=owner.copy)
    answers = {
        "bearer": thief.check_in(owner.device, owner.copy, None),
        "another key": thief.check_in(owner.device, owner.copy, key),
        "a proof for another URL": thief.check_in(owner.device, owner.copy, None, proof=elsewhere),
        "revoke": thief.revoke(owner.copy),
        "revoke by another key": thief.revoke(owner.copy, key=key),
    }

    # A proof that was heard brings the same copy for a minute, and no use of it.
    replayed = thief.check_in(owner.device, owner.copy, None, proof=heard)
    newer = replayed.body["token"]
    answers |= {
        "the newer copy": thief.check_in(owner.device, newer, None),
        "the newer copy by another key": thief.check_in(owner.device, newer, key),
        "the newer copy by a proof that was heard": thief.check_in(owner.device, newer, None, proof=heard),
    }

    assert {name: answer.status for name, answer in answers.items() if answer.status < 400} == {}
    assert not any("token" in answer.body for answer in answers.values())
    assert answers["bearer"].description == BOUND
    assert [body["spec"]["revoked"] for body in project.devices()] == [False]
    project.finish([owner])
    assert rotates(project, owner, "rot-2")


def test_the_disk_image_of_last_month_enrolls_again_and_locks_no_device_out(project: Project, thief: Exchange) -> None:
    project.apply()
    owner, value = project.camera(), project.value()
    image = replace(owner, client=thief)  # its key and its copy as they were
    token_id = read_token(image.copy).claims["jti"]
    for name in ("rot-1", "rot-2"):
        assert rotates(project, owner, name)
    used = image.check_in()
    by_old_value = image.enroll(value)
    by_present_value = image.enroll()

    assert used.description == f"token {token_id} ended when its successor was proved"
    assert by_old_value.status == 401
    assert (by_present_value.status, by_present_value.body["device_id"]) == (200, owner.device)
    assert (image.check_in().status, owner.check_in().status) == (204, 204)
    assert len(project.devices()) == 1
    assert rotates(project, owner, "rot-3")


def test_a_flood_of_enrollments_stops_no_device_and_takes_no_place_too_many(
    project: Project, system: System, thief: Exchange, figure: Figure
) -> None:
    project.apply(maxDevices=50)
    owner, value = project.camera(), project.value()
    with ThreadPoolExecutor(20) as threads:
        flood = threads.map(lambda _: thief.enroll(value, fresh_key()), range(200))
        during = [owner.check_in().status for _ in range(20)]
        answers = list(flood)
    counted = Counter(answer.status for answer in answers)
    with another_client(system) as guesser:
        forged = [guesser.enroll(value[:-8] + "AAAAAAAA", fresh_key()).status for _ in range(60)]
        others = (owner.check_in().status, thief.enroll(value, fresh_key()).status)

    figure(f"200 enrollments at once: {dict(counted)}; 60 forged values: {dict(Counter(forged))}")
    assert set(during) == {204}
    assert counted.keys() <= {201, 403, 429, 503}
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in answers if answer.status == 429)
    assert len(project.devices()) == counted[201] + 1 + (others[1] == 201) <= 50
    assert set(forged) <= {401, 429}  # a source that fails too often waits
    assert (others[0], others[1] in (201, 403, 429)) == (204, True)


def test_a_copy_opens_no_path_of_another_device(project: Project) -> None:
    project.apply()
    mine, other = project.cameras(2)
    answer = mine.client.check_in(other.device, mine.copy, mine.key)
    reported = mine.client.check_in(other.device, mine.copy, mine.key, failed={"generation": 1, "reason": "DiskFull"})

    text = "the token belongs to another device than the path names"
    assert [(one.status, one.description) for one in (answer, reported)] == [(404, text)] * 2
    assert all("failure" not in body["status"] for body in project.devices())


def test_the_value_of_one_project_enrolls_in_no_other(
    project: Project, make_namespace: Callable[[str], str], thief: Exchange
) -> None:
    project.apply()
    neighbor = Project(project.api, make_namespace("fleet"), project.client, project.folder)
    neighbor.apply()
    other = neighbor.camera()
    answer = thief.enroll(project.value(), other.key)

    assert answer.body["device_id"] != other.device
    assert answer.body["project"] == f"{project.namespace}/fleet01"
    assert thief.check_in(other.device, answer.body["token"], other.key).status == 404
    assert len(neighbor.devices()) == 1


def test_no_write_of_a_status_cuts_a_device_off(project: Project, admin: Api, installed: Installation) -> None:
    project.apply()
    camera = project.camera()
    project.rotating()
    new = camera.take()
    body = project.api.get(camera.body)
    cuts: dict[str, dict[str, Any]] = {
        "what was handed out ends": {"offer": None},
        "a generation that it never had": {"generation": 7, "offer": None},
        "a newer offer": {"offer": {**body["status"]["offer"], "generation": 3}},
    }
    answers = {
        (user, name): with_every_right(admin, installed, user).merge(body, {"status": change}, subresource="status")
        for user in (CONTROLLER, EXCHANGE)
        for name, change in cuts.items()
    }
    by_admin = project.api.merge(body, {"status": {"offer": None}}, subresource="status")

    assert [name for name, answer in answers.items() if answer.succeeded] == []
    texts = ("what was handed out ends only", "the copy that was handed out", "status.offer")
    assert all(any(text in answer.message for text in texts) for answer in answers.values()), answers
    assert not by_admin.succeeded
    assert camera.check_in().status == 200
    camera.prove(new)
    project.wait(state="Succeeded")
