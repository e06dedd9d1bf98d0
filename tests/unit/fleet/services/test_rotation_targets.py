"""The token that a rotation moves, and the other rotations of that token."""

import pytest

from tallystick.fleet.api.token_rotation import TOKEN_ROTATIONS
from tallystick.objects.ports import RefusedError
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS
from tests.builders import OTHER_UID
from tests.worlds.fleet_world import NAMESPACE, TOKEN
from tests.worlds.rotation_world import RotationWorld
from tests.worlds.rotations import a_fleet, move, start


@pytest.fixture
def world():
    return RotationWorld()


async def test_a_deleted_rotation_is_aborted_and_lets_the_next_one_start(world):
    names = await a_fleet(world, 3)
    await start(world)
    move(world, names[:1])
    await world.run(6)  # the counts are on the PairingToken

    world.cluster.remove(TOKEN_ROTATIONS, NAMESPACE, "rot-1")
    at_once = world.startable()
    await world.run(14)
    held = world.token().status.rotation.state
    await world.run(2)
    released = world.token().status.rotation
    world.rotate("rot-2")
    await world.run(20, each_second=world.check_in_all)

    assert (at_once, held) == ([], "Running")
    assert (released.state, released.summary) == ("Aborted", "0/0/1/0")
    (aborted,) = [line.facts for line in world.audit.lines if line.action == "abort"]
    assert (aborted["name"], aborted["reason"]) == ("rot-1", "Deleted")
    assert [(one.name, one.state) for one in world.token().status.rotations] == [
        ("rot-2", "Succeeded"),
        ("rot-1", "Aborted"),
    ]
    assert {sim.proved for sim in world.sims.values()} == {3}


async def test_a_new_leader_releases_the_lock_of_a_rotation_that_is_gone(world):
    await a_fleet(world, 1)
    await start(world)
    world.cluster.remove(TOKEN_ROTATIONS, NAMESPACE, "rot-1")

    world.restart()
    await world.run(17)

    assert world.token().status.rotation.state == "Aborted"


async def test_a_name_that_has_run_is_not_run_again(world):
    await a_fleet(world, 1)
    world.rotate()
    await world.run(8, each_second=world.check_in_all)
    world.cluster.remove(TOKEN_ROTATIONS, NAMESPACE, "rot-1")
    await world.run(1)

    await start(world)

    assert (world.rotation().status.state, world.token().status.generation) == ("Pending", 2)
    assert world.said()["Stalled"] == ("True", "AlreadyRun")
    assert world.message() == (
        "a TokenRotation named rot-1 has rotated PairingToken edge/cams before; create one with another name"
    )


async def test_rotations_of_one_token_run_one_after_the_other_the_oldest_first(world):
    await a_fleet(world, 2)
    world.rotate("rot-b")
    world.clock.advance(1)
    world.rotate("rot-a")
    await world.run(3)
    waiting, message = world.said("rot-a"), world.message("rot-a")

    await world.run(30, each_second=world.check_in_all)

    assert waiting["Reconciling"] == ("True", "WaitingForRotation")
    assert message.startswith("TokenRotation edge/rot-b of PairingToken edge/cams goes first")
    assert [one.name for one in world.token().status.rotations] == ["rot-a", "rot-b"]
    assert {sim.proved for sim in world.sims.values()} == {3}


async def test_a_token_of_a_service_is_not_rotated(world):
    world.cluster.put(
        PAIRING_TOKENS,
        {
            "metadata": {"name": TOKEN, "namespace": NAMESPACE, "generation": 1},
            "spec": {"purpose": "Service", "useCase": "mission-control", "serial": 1, "requestedBy": "alice"},
        },
    )

    await start(world)

    assert world.said()["Stalled"] == ("True", "NotRotatable")
    assert "generation" not in world.cluster.peek(PAIRING_TOKENS, NAMESPACE, TOKEN)["status"]


async def test_a_target_may_follow_its_rotation(world):
    await start(world)
    waiting = world.said()
    await world.run(61)
    missing = world.said()

    await a_fleet(world, 1)
    await world.run(10, each_second=world.check_in_all)

    assert waiting["Reconciling"] == missing["Stalled"] == ("True", "TargetNotFound")
    assert world.rotation().status.state == "Succeeded"


async def test_at_the_deadline_the_devices_that_are_left_have_failed(world):
    names = await a_fleet(world, 3)
    await start(world, strategy={"deadline": "10m"})
    move(world, names[:1])
    await world.run(3)

    world.clock.advance(600)
    at_once = world.startable()
    await world.run(20)

    assert at_once == []
    assert (world.rotation().status.state, world.counts()) == ("Failed", (0, 0, 1, 2, 0))
    assert world.said() == {"Succeeded": ("False", "DeadlineExceeded"), "Stalled": ("True", "DeadlineExceeded")}
    assert {one.reason for one in world.rotation().status.failed_devices} == {"DeadlineExceeded"}
    assert world.token().status.rotation.state == "Failed"


async def test_a_revoked_token_ends_its_rotation_and_revokes_its_devices(world):
    names = await a_fleet(world, 3)
    await start(world)
    move(world, names[:1])
    await world.run(3)

    world.edit_token(revoked=True)
    await world.run(3)

    assert (world.rotation().status.state, world.counts()) == ("Failed", (0, 0, 1, 2, 0))
    assert world.said() == {"Succeeded": ("False", "TargetRevoked")}
    assert {world.stored_device(name).status.state for name in names} == {"Revoked"}
    assert not any(sim.holds_an_accepted_copy() for sim in world.sims.values())


async def test_a_higher_serial_issues_a_new_value_and_moves_no_device(world):
    names = await a_fleet(world, 2)
    before = world.token().status.token_id

    world.edit_token(serial=2)
    await world.run(2)

    assert world.token().status.token_id != before
    assert {world.stored_device(name).status.state for name in names} == {"Active"}
    assert all(sim.holds_an_accepted_copy() for sim in world.sims.values())


async def test_a_token_of_the_same_name_is_another_target(world):
    await a_fleet(world, 2)
    await start(world)

    world.cluster.remove(PAIRING_TOKENS, NAMESPACE, TOKEN)
    other = world.project()
    world.cluster.edit(PAIRING_TOKENS, NAMESPACE, TOKEN, lambda body: body["metadata"].update(uid=OTHER_UID))
    await world.run(3)

    assert other["metadata"]["name"] == TOKEN
    assert world.said() == {"Succeeded": ("False", "TargetRevoked")}


async def test_a_rotation_of_an_expired_token_moves_its_devices_and_issues_no_value(world):
    await a_fleet(world, 2, ttl="1h")
    world.clock.advance(3600)
    await world.run(1)
    state, value = world.token().status.state, world.token().status.token_id

    world.rotate()
    await world.run(12, each_second=world.check_in_all)

    assert (state, world.token().status.state, world.token().status.token_id) == ("Expired", "Expired", value)
    assert (world.rotation().status.state, {sim.proved for sim in world.sims.values()}) == ("Succeeded", {2})


async def test_a_rotation_waits_for_the_first_value_of_its_token(world):
    world.cluster.refusing["create", "secrets"] = RefusedError("exceeded quota: none")
    world.project()
    await start(world)
    said, message, lock = world.said(), world.message(), world.token().status.rotation

    world.cluster.refusing.clear()
    await world.run(70)

    assert (said["Reconciling"], lock) == (("True", "InProgress"), None)
    assert message.startswith("PairingToken edge/cams has no value yet")
    assert (world.rotation().status.state, world.token().status.generation) == ("Succeeded", 2)
