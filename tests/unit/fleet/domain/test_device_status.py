"""The status of a Device, as the exchange writes it."""

from dataclasses import replace
from datetime import timedelta

from tallystick.fleet.api.device import Device
from tallystick.fleet.domain.copies import copy_id
from tallystick.fleet.domain.device_status import device_status, revoked_status
from tallystick.fleet.domain.facts import Failure, Offer
from tallystick.fleet.domain.readings import device_facts
from tests.fakes import NOON

UID = "0a0c1f0e-0000-4000-8000-000000000000"


def a_body(**status):
    return {
        "metadata": {
            "name": "d-" + "a" * 26,
            "namespace": "edge",
            "uid": UID,
            "generation": 3,
            "creationTimestamp": "2030-01-01T12:00:00Z",
        },
        "spec": {
            "pairingTokenRef": {"name": "cams", "uid": UID},
            "serial": 1,
            "generation": 1,
            "kid": "first",
            "projectKey": "fleet01",
        },
        "status": status,
    }


def written(body, **facts):
    return device_status(body, replace(device_facts(body), **facts), NOON)


def test_what_is_written_is_read_again_as_the_same_facts():
    body = a_body()
    facts = replace(
        device_facts(body),
        checked_in=True,
        generation=2,
        key_id="second",
        proved_time=NOON,
        last_seen=NOON + timedelta(seconds=7),
        offer=Offer(3, "third", NOON, "rot-1"),
        failure=Failure(3, "DiskFull", "", NOON),
    )

    body["status"] = device_status(body, facts, NOON)

    assert device_facts(body) == facts
    assert Device.model_validate(body).status.offer is not None
    assert body["status"]["offer"]["tokenID"] == copy_id(UID, 3)
    assert body["status"]["tokenID"] == copy_id(UID, 2)
    assert "message" not in body["status"]["failure"]


def test_a_proof_removes_the_offer_and_keeps_the_members_of_others():
    body = a_body(
        offer={"generation": 2, "kid": "second", "time": "2030-01-01T12:00:00Z", "rotation": "rot-1"}, other="kept"
    )

    status = written(body, checked_in=True, generation=2, key_id="second", offer=None, last_seen=NOON)

    assert "offer" not in status
    assert status["other"] == "kept"
    assert (status["generation"], status["kid"], status["observedGeneration"]) == (2, "second", 3)


def test_an_offer_before_the_first_check_in_reports_no_state():
    status = written(a_body(), offer=Offer(2, "second", NOON, "rot-1"))

    assert list(status) == ["offer"]


def test_the_time_of_a_condition_stays_while_its_status_does():
    first = written(a_body(), checked_in=True, last_seen=NOON)
    body = a_body(**first)

    later = device_status(
        body, replace(device_facts(body), last_seen=NOON + timedelta(hours=1)), NOON + timedelta(hours=1)
    )

    assert later["conditions"] == first["conditions"]
    assert (later["provedTime"], later["lastSeenTime"]) == ("2030-01-01T12:00:00Z", "2030-01-01T13:00:00Z")


def test_a_revocation_keeps_an_offer_which_no_longer_is_accepted():
    offer = {"generation": 2, "kid": "second", "time": "2030-01-01T12:00:00Z", "rotation": "rot-1"}

    status = revoked_status(a_body(offer=offer, state="Active"), NOON)

    assert (status["state"], status["offer"]) == ("Revoked", offer)
    assert [(one["type"], one["status"]) for one in status["conditions"]] == [("Ended", "True")]
