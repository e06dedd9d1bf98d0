"""Enroll a device: which Device is made, who is answered again, and how many are taken at a time."""

import pytest

from tallystick.errors import NotYetError
from tallystick.fleet.api.device import DEVICES
from tallystick.fleet.domain.copies import DEVICE, device_name
from tallystick.fleet.domain.enrolling import Presented
from tallystick.fleet.services.refused import DeviceRefusedError
from tallystick.objects.ports import RefusedError
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS, PairingToken
from tallystick.pairing.domain.enrollment_values import value_id
from tests.builders import OTHER_UID, UID
from tests.fakes import NOON
from tests.worlds.fleet_world import NAMESPACE, TOKEN, Agent, FleetWorld

JTI = value_id(UID, 1, 1)


@pytest.fixture
def fleet() -> FleetWorld:
    return FleetWorld()


async def refused(enrolling):
    with pytest.raises(DeviceRefusedError) as refusal:
        await enrolling
    return refusal.value.code, refusal.value.description


async def test_the_device_records_the_key_the_labels_and_the_value_of_its_enrollment(fleet):
    fleet.project(deviceLabels={"site": "berlin"})
    agent = Agent(fleet)

    enrolled = await agent.enroll(fleet.replica(), fleet.value())

    (body,) = fleet.cluster.all(DEVICES)
    assert body["metadata"]["name"] == enrolled.device_id == device_name(UID, agent.key.key_id)
    assert body["metadata"]["labels"] == {"site": "berlin"}
    assert [owner["uid"] for owner in body["metadata"]["ownerReferences"]] == [UID]
    assert body["spec"] == {
        "pairingTokenRef": {"name": TOKEN, "uid": UID},
        "serial": 1,
        "generation": 1,
        "kid": fleet.keys.keyring().signing_key(NOON).key_id,
        "projectKey": "fleet01",
        "keyThumbprint": agent.key.key_id,
        "displayName": "cam-17",
        "revoked": False,
    }
    assert [entry.name for entry in fleet.target().enrolling] == [enrolled.device_id]


async def test_the_copy_names_the_device_its_project_and_its_key(fleet):
    fleet.project()
    agent = Agent(fleet)

    enrolled = await agent.enroll(fleet.replica(), fleet.value())

    verified = fleet.signer.verified(enrolled.copy.signed_jwt, DEVICE, fleet.clock.now())
    assert verified is not None
    assert (verified.claims["project"], enrolled.project) == ("edge/fleet01", "edge/fleet01")
    assert verified.subject == f"device:edge/{enrolled.device_id}"
    assert verified.reference.serial == enrolled.copy.generation == 1
    assert verified.key_thumbprint == agent.key.key_id
    assert verified.expiration_time is None
    assert fleet.accepts(enrolled.copy.signed_jwt)


async def test_an_enrollment_costs_four_reads_and_two_writes(fleet):
    fleet.project()

    await Agent(fleet).enroll(fleet.replica(), fleet.value())

    assert [(call.verb, call.plural) for call in fleet.cluster.calls] == [
        ("get", "pairingtokens"),
        ("get", "devices"),
        ("get", "pairingtokens"),
        ("get", "devices"),
        ("replace_status", "pairingtokens"),
        ("create", "devices"),
    ]


async def test_the_same_key_is_the_same_device_on_each_replica(fleet):
    fleet.project()
    agent = Agent(fleet)

    first = await agent.enroll(fleet.replica(), fleet.value())
    again = await agent.enroll(fleet.replica(), fleet.value())

    assert (first.created, again.created) == (True, False)
    assert again.copy == first.copy
    assert len(fleet.devices()) == len(fleet.target().enrolling) == 1


async def test_a_device_without_a_key_is_another_device_each_time(fleet):
    fleet.project(proofOfPossession="Optional")
    agent = Agent(fleet, has_key=False)

    first = await agent.enroll(fleet.replica(), fleet.value())
    second = await agent.enroll(fleet.replica(), fleet.value())

    assert first.device_id != second.device_id
    assert not first.copy.key_bound
    assert len(fleet.devices()) == 2


async def test_until_its_first_check_in_a_key_may_ask_again_by_its_old_value(fleet):
    fleet.project()
    agent, old = Agent(fleet), fleet.value()
    first = await agent.enroll(fleet.replica(), old)
    fleet.rotate()

    again = await agent.enroll(fleet.replica(), old)
    await agent.check_in(fleet.replica())
    after = await refused(agent.enroll(fleet.replica(), old))

    assert again.copy == first.copy
    assert after == (
        "invalid_token",
        f"enrollment token {JTI} was replaced; take the new one from Secret edge/cams-pairing-token",
    )


async def test_the_present_value_answers_a_key_at_any_time_with_the_copy_that_is_accepted(fleet):
    fleet.project()
    agent = Agent(fleet)
    await agent.enroll(fleet.replica(), fleet.value())
    fleet.rotate()
    await agent.check_in(fleet.replica())
    await agent.check_in(fleet.replica())
    assert fleet.device(agent.name).proved == 2

    again = await agent.enroll(fleet.replica(), fleet.value(generation=2))

    assert again.copy.generation == 2
    assert fleet.accepts(again.copy.signed_jwt)


async def test_after_a_compromise_a_key_gets_the_present_generation_by_the_present_value(fleet):
    fleet.project()
    agent = Agent(fleet)
    await agent.enroll(fleet.replica(), fleet.value())
    fleet.rotate(spec={"reason": "Compromised", "oldToken": "RevokeImmediately"})
    fleet.edit_status(revokedBelowGeneration=2)

    assert not fleet.accepts(agent.proved)
    again = await agent.enroll(fleet.replica(), fleet.value(generation=2))

    assert again.copy.generation == 2
    assert fleet.accepts(again.copy.signed_jwt)
    offer = fleet.device(agent.name).offer
    assert offer is not None
    assert (offer.generation, offer.rotation) == (2, "rot-1")
    assert not fleet.device(agent.name).checked_in


async def test_a_value_that_is_newer_than_a_shared_reading_enrolls(fleet):
    fleet.project()
    replica = fleet.replica()
    await Agent(fleet).enroll(replica, fleet.value())
    fleet.rotate()

    enrolled = await Agent(fleet).enroll(replica, fleet.value(generation=2))

    assert enrolled.copy.generation == 2


async def test_a_value_whose_status_is_not_recorded_yet_is_asked_for_again(fleet):
    fleet.project()

    with pytest.raises(NotYetError):
        await Agent(fleet).enroll(fleet.replica(), fleet.value(generation=2))

    assert fleet.devices() == []


# Bounds.


async def test_a_project_takes_ten_new_devices_a_second_on_a_replica_and_answers_known_ones(fleet):
    fleet.project()
    replica, known = fleet.replica(), Agent(fleet)
    await known.enroll(replica, fleet.value())
    for _ in range(9):
        await Agent(fleet).enroll(replica, fleet.value())

    with pytest.raises(DeviceRefusedError) as refusal:
        await Agent(fleet).enroll(replica, fleet.value())
    again = await known.enroll(replica, fleet.value())
    fleet.clock.advance(1)
    later = await Agent(fleet).enroll(replica, fleet.value())

    assert (refusal.value.code, refusal.value.retry_after) == ("too_many_requests", 1)
    assert refusal.value.description == "PairingToken edge/cams takes 10 new devices a second; ask again"
    assert (again.created, later.created) == (False, True)


async def test_a_replica_answers_a_hundred_enrollments_a_second_and_the_others_cost_no_read_of_a_device(fleet):
    fleet.project()
    replica, known = fleet.replica(), Agent(fleet)
    for _ in range(100):
        await known.enroll(replica, fleet.value())
    fleet.cluster.calls.clear()

    answer = await refused(known.enroll(replica, fleet.value()))

    assert answer == ("too_many_requests", "PairingToken edge/cams answers 100 enrollments a second; ask again")
    assert [call for call in fleet.cluster.calls if call.plural == "devices"] == []


async def test_at_most_64_devices_enroll_that_are_not_counted(fleet):
    fleet.project()
    entry = {"generation": 1, "time": "2030-01-01T12:00:00Z"}
    letters = "abcdefghijklmnopqrstuvwxyz234567"
    names = [f"d-{'a' * 24}{one}{other}" for one in "ab" for other in letters]
    fleet.edit_status(enrolling=[{"name": name, **entry} for name in names])

    with pytest.raises(NotYetError):
        await Agent(fleet).enroll(fleet.replica(), fleet.value())

    assert fleet.devices() == []


async def test_a_replica_counts_the_devices_that_it_has_created(fleet):
    fleet.project(maxDevices=70)
    replica = fleet.replica()

    for _ in range(70):
        await Agent(fleet).enroll(replica, fleet.value())
        fleet.clock.advance(1)
    answer = await refused(Agent(fleet).enroll(fleet.replica(), fleet.value()))

    target = fleet.target()
    assert (target.devices, len(target.enrolling), len(fleet.devices())) == (69, 1, 70)
    assert answer[0] == "device_limit"


@pytest.mark.parametrize(("most", "counted"), [(1, 0), (2, 1)])
async def test_a_replica_remembers_the_devices_of_a_limited_number_of_projects(fleet, most, counted):
    body = fleet.project()
    other = {"name": "bells", "uid": OTHER_UID}
    fleet.cluster.put(PAIRING_TOKENS, {**body, "metadata": {**body["metadata"], **other}})
    claims = {"kind": "PairingToken", "ns": NAMESPACE, **other, "serial": 1, "generation": 1}
    replica = fleet.replica()
    replica.enrolling._places._most = most

    await Agent(fleet).enroll(replica, fleet.value())
    await Agent(fleet).enroll(replica, fleet.value(jti=value_id(OTHER_UID, 1, 1), tallystick=claims))
    await Agent(fleet).enroll(replica, fleet.value())

    # The controller counts what the replica does not remember.
    assert (fleet.target().devices, len(fleet.target().enrolling)) == (counted, 2 - counted)


async def test_a_replica_does_not_count_the_place_of_another_enrollment_of_the_same_key(fleet):
    fleet.project()
    agent, replica = Agent(fleet), fleet.replica()
    await agent.enroll(replica, fleet.value())
    (place,) = fleet.target().enrolling
    # The Device was deleted, and the key has taken a place again elsewhere. That replica was killed.
    fleet.edit_status(enrolling=[{"name": place.name, "generation": 1, "time": "2030-01-01T12:00:30Z"}])

    await Agent(fleet).enroll(replica, fleet.value())

    assert (fleet.target().devices, len(fleet.target().enrolling)) == (0, 2)


async def test_a_key_whose_device_is_counted_takes_no_second_place_by_an_older_reading(fleet):
    fleet.project()
    agent, replica = Agent(fleet), fleet.replica()
    older = PairingToken.model_validate(fleet.cluster.peek(PAIRING_TOKENS, NAMESPACE, TOKEN))
    for one in (agent, Agent(fleet)):
        await one.enroll(replica, fleet.value())
    before = fleet.target()
    presented = Presented(JTI, UID, 1, 1, None, agent.name, agent.key.key_id)

    taken = await fleet.replica().enrolling._places.take(presented, older)

    assert (taken, fleet.target()) == (None, before)
    assert (before.devices, len(before.enrolling)) == (1, 1)


async def test_a_place_that_the_leader_may_give_up_is_taken_again_before_the_device_is_made(fleet):
    fleet.project(maxDevices=1)
    agent = Agent(fleet)
    name = device_name(UID, agent.key.key_id)
    fleet.edit_status(enrolling=[{"name": name, "generation": 1, "time": "2030-01-01T12:00:00Z"}])
    fleet.clock.advance(599)

    await agent.enroll(fleet.replica(), fleet.value())

    (entry,) = fleet.target().enrolling
    assert (entry.name, entry.time) == (name, fleet.clock.now())


async def test_a_replica_that_stood_still_after_its_swap_takes_the_place_again_before_the_device_is_made(fleet):
    fleet.project(maxDevices=1)
    fleet.cluster.after_next("replace_status", "pairingtokens", lambda: fleet.clock.advance(301))

    enrolled = await Agent(fleet).enroll(fleet.replica(), fleet.value())

    (entry,) = fleet.target().enrolling
    assert (entry.name, entry.time) == (enrolled.device_id, fleet.clock.now())
    assert len(fleet.devices()) == 1


async def test_a_device_that_the_api_server_rejects_is_reported_and_may_be_tried_again(fleet):
    fleet.project()
    fleet.cluster.fail_next("create", "devices", RefusedError("exceeded quota: devices"))
    agent = Agent(fleet)

    with pytest.raises(NotYetError) as later:
        await agent.enroll(fleet.replica(), fleet.value())
    enrolled = await agent.enroll(fleet.replica(), fleet.value())

    assert later.value.retry_after == 5
    assert "quota" not in later.value.message
    assert [(event.reason, "exceeded quota" in event.message) for event in fleet.events.warnings] == [
        ("WriteRejected", True)
    ]
    assert enrolled.created
    assert len(fleet.target().enrolling) == 1


async def test_a_device_of_this_name_that_others_have_made_is_not_answered(fleet):
    fleet.project()
    agent = Agent(fleet)
    await agent.enroll(fleet.replica(), fleet.value())
    fleet.edit_device(agent.name, lambda body: body["spec"].update(keyThumbprint="B" * 43))

    with pytest.raises(NotYetError):
        await agent.enroll(fleet.replica(), fleet.value())
