"""Check in: hand out, prove, report, and nothing to do; who is refused, and in which words."""

import pytest

from tallystick.errors import NotYetError
from tallystick.fleet.api.device import DEVICES
from tallystick.fleet.api.token_rotation import TOKEN_ROTATIONS
from tallystick.fleet.domain.copies import copy_id
from tallystick.fleet.domain.facts import Failure
from tallystick.fleet.services.refused import DeviceRefusedError
from tallystick.objects.ports import RefusedError
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS
from tests.fakes import NOON
from tests.worlds.fleet_world import NAMESPACE, TOKEN, Agent, FleetWorld


@pytest.fixture
def fleet() -> FleetWorld:
    fleet = FleetWorld()
    fleet.project()
    return fleet


@pytest.fixture
async def agent(fleet) -> Agent:
    agent = Agent(fleet)
    await agent.enroll(fleet.replica(), fleet.value())
    return agent


async def refused(checking_in):
    with pytest.raises(DeviceRefusedError) as refusal:
        await checking_in
    return refusal.value.code, refusal.value.description


def status_of(fleet, agent):
    return fleet.cluster.peek(DEVICES, NAMESPACE, agent.name)["status"]


def gets_of_devices(fleet):
    return sum((call.verb, call.plural) == ("get", DEVICES.plural) for call in fleet.cluster.calls)


async def test_the_first_check_in_records_that_the_device_uses_its_copy(fleet, agent):
    checked_in = await agent.check_in(fleet.replica())

    status = status_of(fleet, agent)
    device = fleet.device(agent.name)
    assert checked_in.handed_out is None
    assert (status["state"], status["generation"]) == ("Active", 1)
    assert status["tokenID"] == copy_id(device.uid, 1)
    assert status["provedTime"] == status["lastSeenTime"] == "2030-01-01T12:00:00Z"
    assert [(one["type"], one["status"], one["reason"]) for one in status["conditions"]] == [
        ("Ready", "True", "Active")
    ]


async def test_an_open_rotation_is_handed_out_then_proved_and_then_the_old_copy_has_ended(fleet, agent):
    old = agent.proved
    fleet.rotate()

    handed_out = (await agent.check_in(fleet.replica())).handed_out
    offered = fleet.device(agent.name)
    both = fleet.accepts(old), fleet.accepts(agent.upcoming)
    after = await agent.check_in(fleet.replica())
    proved = fleet.device(agent.name)

    assert handed_out is not None
    assert (handed_out.rotation, handed_out.copy.generation) == ("rot-1", 2)
    assert str(handed_out.prove_before) == "2030-01-01 12:05:00+00:00"
    assert (offered.proved, offered.offered, both) == (1, 2, (True, True))
    assert (after.handed_out, proved.proved, proved.offer) == (None, 2, None)
    assert (fleet.accepts(old), fleet.accepts(agent.proved)) == (False, True)
    assert [line[:2] for line in fleet.audit.lines] == [("enroll", "ok"), ("offer", "ok"), ("prove", "ok")]


async def test_the_same_copy_is_handed_out_at_each_check_in_until_it_is_proved_without_a_write(fleet, agent):
    fleet.rotate()
    old = agent.proved
    first = (await agent.check_in(fleet.replica(), old)).handed_out
    fleet.finish(state="Aborted")
    fleet.rotate(name="rot-2", generation=3)
    writes = len(fleet.cluster.writes())

    again = (await agent.check_in(fleet.replica(), old)).handed_out

    assert first is not None
    assert again is not None
    assert again.copy == first.copy
    assert again.prove_before is None  # its rotation is over; a proof counts all the same
    assert len(fleet.cluster.writes()) == writes


async def test_a_device_that_proves_late_is_handed_the_generation_of_the_next_rotation(fleet, agent):
    fleet.rotate()
    await agent.check_in(fleet.replica())
    fleet.finish(state="Aborted")
    fleet.rotate(name="rot-2", generation=3)

    await agent.check_in(fleet.replica())
    handed_out = (await agent.check_in(fleet.replica())).handed_out

    assert handed_out is not None
    assert (handed_out.rotation, handed_out.copy.generation) == ("rot-2", 3)


async def test_a_device_reports_a_failure_once_and_gets_the_copy_again(fleet, agent):
    fleet.rotate()
    old = agent.proved
    await agent.check_in(fleet.replica(), old)
    failed = Failure(2, "DiskFull", "no space left", NOON)

    reported = await agent.check_in(fleet.replica(), old, failed=failed)
    writes = len(fleet.cluster.writes())
    repeated = await agent.check_in(fleet.replica(), old, failed=failed)
    again = await agent.check_in(fleet.replica(), old)

    assert (reported.handed_out, repeated.handed_out) == (None, None)
    assert status_of(fleet, agent)["failure"] == {
        "generation": 2,
        "reason": "DiskFull",
        "message": "no space left",
        "time": "2030-01-01T12:00:00Z",
    }
    assert len(fleet.cluster.writes()) == writes
    assert again.handed_out is not None


# Who may start.


def paused_in_spec(fleet):
    change_rotation(fleet, lambda body: body["spec"].update(desiredState="Paused"))


def aborted_in_spec(fleet):
    change_rotation(fleet, lambda body: body["spec"].update(desiredState="Aborted"))


def deleting(fleet):
    change_rotation(fleet, lambda body: body["metadata"].update(deletionTimestamp="2030-01-01T12:00:00Z"))


def halted(fleet):
    change_rotation(fleet, lambda body: body["status"].update(state="Halted"))


def closed(fleet):
    change_rotation(fleet, lambda body: body["status"].pop("open"))


def out_of_window(fleet):
    gate = {"batch": 1, "until": "2030-01-01T12:00:00Z"}
    change_rotation(fleet, lambda body: body["status"].update(open=gate))


def later_name(fleet):
    gate = {"batch": 1, "through": f"d-{'2' * 26}"}
    change_rotation(fleet, lambda body: body["status"].update(open=gate))


def made_anew(fleet):
    change_rotation(fleet, lambda body: body["metadata"].update(uid="another"))


def deleted(fleet):
    fleet.cluster.remove(TOKEN_ROTATIONS, NAMESPACE, "rot-1")


def change_rotation(fleet, change):
    fleet.cluster.edit(TOKEN_ROTATIONS, NAMESPACE, "rot-1", change)


@pytest.mark.parametrize(
    "change",
    [paused_in_spec, aborted_in_spec, deleting, halted, closed, out_of_window, later_name, made_anew, deleted],
)
async def test_a_rotation_that_does_not_let_a_device_start_hands_nothing_out(fleet, agent, change):
    fleet.rotate()
    change(fleet)

    checked_in = await agent.check_in(fleet.replica())

    assert checked_in.handed_out is None
    assert fleet.device(agent.name).offer is None


async def test_an_abort_stops_a_hand_out_that_is_tried_again(fleet, agent):
    """The write conflicts, and the rotation is read again before the next try."""
    fleet.rotate()

    def someone_else_writes() -> None:
        fleet.edit_device(agent.name, lambda body: body["metadata"]["labels"].update(site="berlin"))
        aborted_in_spec(fleet)
        fleet.clock.advance(2)

    fleet.cluster.before_next("replace_status", "devices", someone_else_writes)

    checked_in = await agent.check_in(fleet.replica())

    assert checked_in.handed_out is None
    assert fleet.device(agent.name).offer is None


async def test_a_permission_that_was_read_too_long_ago_is_read_again(fleet, agent):
    fleet.rotate()

    def time_passes() -> None:
        fleet.clock.advance(6)
        aborted_in_spec(fleet)

    fleet.cluster.after_next("get", "devices", time_passes)

    checked_in = await agent.check_in(fleet.replica())

    assert checked_in.handed_out is None
    assert fleet.device(agent.name).offer is None


async def test_a_compromise_does_not_move_a_device_without_a_key(fleet):
    fleet.edit_spec(proofOfPossession="Optional")
    agent = Agent(fleet, has_key=False)
    await agent.enroll(fleet.replica(), fleet.value())
    fleet.rotate(spec={"reason": "Compromised"})

    assert (await agent.check_in(fleet.replica())).handed_out is None


async def test_a_revoked_copy_with_its_key_may_check_in_to_get_the_new_one(fleet, agent):
    fleet.rotate(spec={"reason": "Compromised", "oldToken": "RevokeImmediately"})
    fleet.edit_status(revokedBelowGeneration=2)

    handed_out = (await agent.check_in(fleet.replica())).handed_out
    await agent.check_in(fleet.replica())

    assert handed_out is not None
    assert fleet.device(agent.name).proved == 2


# What is answered from older readings.


async def test_a_device_with_nothing_to_do_costs_a_get_only_after_the_age_that_the_fleet_allows(fleet, agent):
    fleet.edit_status(devices=3000)
    replica = fleet.replica()
    await agent.check_in(replica)
    fleet.cluster.calls.clear()

    reads = []
    for _ in range(5):
        fleet.clock.advance(10)
        await agent.check_in(replica)
        reads.append(sum(call.plural == "devices" for call in fleet.cluster.calls))

    assert reads == [0, 0, 0, 1, 1]
    assert fleet.cluster.writes() == []


async def test_an_older_reading_refuses_no_newer_copy_and_hides_no_rotation(fleet, agent):
    fleet.edit_status(devices=100_000)
    one, other = fleet.replica(), fleet.replica()
    await agent.check_in(one)
    await agent.check_in(other)
    fleet.rotate()
    fleet.clock.advance(2)

    handed_out = (await agent.check_in(one)).handed_out
    proved = await agent.check_in(other)

    assert handed_out is not None
    assert proved.handed_out is None
    assert fleet.device(agent.name).proved == 2


async def test_a_proof_at_the_replica_that_has_just_offered_reads_nothing_again(fleet, agent):
    replica = fleet.replica()
    fleet.rotate()
    await agent.check_in(replica)
    fleet.cluster.calls.clear()

    await agent.check_in(replica)

    assert [(call.verb, call.plural) for call in fleet.cluster.calls] == [("replace_status", DEVICES.plural)]
    assert fleet.device(agent.name).proved == 2


async def test_a_device_that_is_revoked_after_the_offer_does_not_prove_it(fleet, agent):
    replica = fleet.replica()
    fleet.rotate()
    await agent.check_in(replica)
    fleet.edit_device(agent.name, lambda body: body["spec"].update(revoked=True))

    answer = await refused(agent.check_in(replica))

    assert answer == ("invalid_token", f"device {agent.name} has been revoked")
    assert fleet.device(agent.name).proved == 1


async def test_many_check_ins_of_one_second_share_their_reads(fleet, agent):
    fleet.rotate()
    replica, old = fleet.replica(), agent.proved
    await agent.check_in(replica, old)
    await agent.check_in(replica, old)
    fleet.cluster.calls.clear()

    for _ in range(50):
        await agent.check_in(replica, old)

    assert len(fleet.cluster.calls) == 0


async def test_nothing_to_do_is_answered_by_a_reading_until_it_has_its_full_age(fleet, agent):
    fleet.edit_status(devices=1000)
    replica = fleet.replica()
    await agent.check_in(fleet.replica())
    await agent.check_in(replica)
    fleet.cluster.calls.clear()

    fleet.clock.advance(10)  # one hundredth of the devices, in seconds
    await agent.check_in(replica)
    by_reading = gets_of_devices(fleet)
    fleet.clock.advance(0.1)
    await agent.check_in(replica)

    assert (by_reading, gets_of_devices(fleet)) == (0, 1)


async def test_when_a_device_was_seen_is_written_again_after_a_minute_in_a_small_fleet(fleet, agent):
    replica = fleet.replica()
    await agent.check_in(replica)
    fleet.clock.advance(60)
    await agent.check_in(replica)
    before = status_of(fleet, agent)["lastSeenTime"]
    fleet.clock.advance(1)
    await agent.check_in(replica)

    assert before == "2030-01-01T12:00:00Z"
    assert status_of(fleet, agent)["lastSeenTime"] == "2030-01-01T12:01:01Z"
    assert status_of(fleet, agent)["provedTime"] == "2030-01-01T12:00:00Z"


async def test_the_next_check_in_is_a_period_away_give_or_take_a_tenth(fleet, agent):
    fleet.edit_spec(checkInPeriod="100s")
    replica = fleet.replica()

    waits = {(await agent.check_in(replica)).wait for _ in range(20)}

    assert all(90 <= wait <= 110 for wait in waits)


# Refusals.


async def test_an_ended_copy_is_refused_with_an_event_and_an_audit_line(fleet, agent):
    old = agent.proved
    fleet.rotate()
    await agent.check_in(fleet.replica())
    await agent.check_in(fleet.replica())
    ended = copy_id(fleet.device(agent.name).uid, 1)

    answer = await refused(agent.check_in(fleet.replica(), old))

    assert answer == ("invalid_token", f"token {ended} ended when its successor was proved")
    assert [(event.kind, event.name, event.reason) for event in fleet.events.warnings] == [
        ("Device", agent.name, "OldTokenReuse")
    ]
    assert ("reuse", "refused") in fleet.audit.decisions()
    assert fleet.accepts(agent.proved)


async def test_a_revoked_device_and_one_of_a_revoked_token_are_refused_from_the_moment_of_the_spec(fleet, agent):
    other = Agent(fleet)
    await other.enroll(fleet.replica(), fleet.value())
    fleet.edit_device(agent.name, lambda body: body["spec"].update(revoked=True))

    of_device = await refused(agent.check_in(fleet.replica()))
    fleet.edit_spec(revoked=True)
    of_token = await refused(other.check_in(fleet.replica()))

    assert of_device == ("invalid_token", f"device {agent.name} has been revoked")
    assert of_token == ("invalid_token", "PairingToken edge/cams has been revoked")


async def test_after_a_compromise_a_copy_without_a_key_is_refused(fleet):
    fleet.edit_spec(proofOfPossession="Optional")
    agent = Agent(fleet, has_key=False)
    enrolled = await agent.enroll(fleet.replica(), fleet.value())
    fleet.rotate(spec={"reason": "Compromised", "oldToken": "RevokeImmediately"})
    fleet.edit_status(revokedBelowGeneration=2)

    answer = await refused(agent.check_in(fleet.replica()))

    text = f"token {enrolled.copy.token_id} was revoked for a compromise: enroll again"
    assert answer == ("invalid_token", text)


async def test_a_removed_device_gets_410_only_while_its_token_exists(fleet, agent):
    fleet.cluster.remove(DEVICES, NAMESPACE, agent.name)

    removed = await refused(agent.check_in(fleet.replica()))
    fleet.cluster.remove(PAIRING_TOKENS, NAMESPACE, TOKEN)
    with pytest.raises(NotYetError):
        await agent.check_in(fleet.replica())

    assert removed == ("device_removed", f"device {agent.name} was removed: stop calling")


async def test_a_token_that_goes_with_its_devices_removes_none_of_them(fleet, agent):
    """A shared reading still has the PairingToken, and the Device is gone already."""
    replica, other = fleet.replica(), Agent(fleet)
    await other.enroll(replica, fleet.value())
    await other.check_in(replica)
    fleet.cluster.remove(PAIRING_TOKENS, NAMESPACE, TOKEN)
    fleet.cluster.remove(DEVICES, NAMESPACE, agent.name)

    with pytest.raises(NotYetError):
        await agent.check_in(replica)


async def test_a_restored_token_of_another_uid_removes_no_device(fleet, agent):
    fleet.cluster.edit(PAIRING_TOKENS, NAMESPACE, TOKEN, lambda body: body["metadata"].update(uid="another"))
    fleet.cluster.remove(DEVICES, NAMESPACE, agent.name)

    with pytest.raises(NotYetError):
        await agent.check_in(fleet.replica())


async def test_a_check_in_that_a_policy_rejects_is_asked_for_again_and_ends_nothing(fleet, agent):
    fleet.rotate()
    fleet.cluster.fail_next("replace_status", "devices", RefusedError("denied by a policy"))

    with pytest.raises(NotYetError) as later:
        await agent.check_in(fleet.replica())

    assert later.value.retry_after == 5
    assert fleet.accepts(agent.proved)
