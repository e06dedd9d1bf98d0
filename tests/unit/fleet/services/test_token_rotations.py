"""A rotation from its start to its end, as users and devices see it."""

import pytest

from tallystick.fleet.api.token_rotation import TOKEN_ROTATIONS
from tests.worlds.fleet_world import NAMESPACE
from tests.worlds.rotation_world import RotationWorld
from tests.worlds.rotations import a_fleet, check_in_of, move, start


@pytest.fixture
def world():
    return RotationWorld()


async def test_each_device_gets_the_new_copy_and_the_rotation_succeeds(world):
    await a_fleet(world)
    world.rotate()

    await world.run(20, each_second=world.check_in_all)

    status, token = world.rotation().status, world.token().status
    assert (status.state, status.generation, world.counts()) == ("Succeeded", 2, (0, 0, 10, 0, 0))
    assert world.said() == {"Succeeded": ("True", "Completed")}
    assert (token.rotation.state, token.rotation.summary, token.generation) == ("Succeeded", "0/0/10/0", 2)
    assert [(one.name, one.state) for one in token.rotations] == [("rot-1", "Succeeded")]
    assert {sim.proved for sim in world.sims.values()} == {2}
    assert [line.action for line in world.audit.lines if line.facts["kind"] == "TokenRotation"] == ["rotate", "finish"]


async def test_the_value_that_devices_enroll_with_follows_the_start(world):
    await a_fleet(world, 1)
    before = world.token().status.token_id

    await start(world)

    status = world.rotation().status
    assert (status.old_token_id, status.new_token_id) == (before, world.token().status.token_id)
    assert before != world.token().status.token_id


async def test_no_device_starts_before_its_batch_is_open(world):
    names = await a_fleet(world)

    await start(world, strategy={"batches": [{"name": "canary", "limit": 2}]})

    assert world.startable() == names[:2]
    assert [batch.total for batch in world.rotation().status.batches] == [2, 8]
    assert world.rotation().status.batch == "1/2"


async def test_the_next_batch_opens_when_the_threshold_is_met(world):
    names = await a_fleet(world)
    await start(world, strategy={"batches": [{"name": "canary", "limit": 4}], "successThreshold": "75%"})

    move(world, names[:2])
    await world.run(3)
    early = world.startable()
    move(world, names[2:3])
    await world.run(3)

    assert (early, world.startable()) == (names[2:4], names[3:])


async def test_a_batch_soaks_for_its_minimal_time_of_success(world):
    names = await a_fleet(world, 4)
    await start(world, strategy={"batches": [{"name": "canary", "limit": 1}], "minSuccessTime": "30s"})

    move(world, names[:1])
    await world.run(28)
    early = world.startable()
    await world.run(5)

    assert (early, world.startable()) == ([], names[1:])


async def test_the_manual_gate_waits_for_its_user(world):
    names = await a_fleet(world, 4)
    await start(world, strategy={"batches": [{"name": "canary", "limit": 1}]}, openBatches=1)
    move(world, names[:1])
    await world.run(3)
    said, message = world.said(), world.message()

    world.edit(openBatches=2)
    await world.run(2)

    assert said == {"Succeeded": ("Unknown", "WaitingForBatch"), "Reconciling": ("True", "WaitingForBatch")}
    assert message == "batch 1 of 2 is done; raise spec.openBatches to 2 to go on"
    assert world.startable() == names[1:]


async def test_max_concurrency_bounds_who_was_let_in(world):
    names = await a_fleet(world)
    most = 0
    world.rotate(strategy={"maxConcurrency": 3})

    for _ in range(40):
        await world.run(1)
        waiting = world.startable()
        going = [name for name in names if world.device(name).offer is not None]
        most = max(most, len(waiting) + len(going))
        check_in_of(world, going[:1] or waiting[:1])

    assert (most, world.rotation().status.state) == (3, "Succeeded")


async def test_a_place_that_is_not_taken_goes_to_another_after_a_get(world):
    names = await a_fleet(world, 4, checkInPeriod="5s")
    await start(world, strategy={"maxConcurrency": 1})
    early = world.startable()
    world.cluster.calls.clear()

    await world.run(16)

    asked = [call.name for call in world.cluster.calls if (call.verb, call.plural) == ("get", "devices")]
    assert early == names[:1]
    assert names[0] in asked
    assert world.startable() == names[:2]


async def test_a_device_that_started_unseen_keeps_its_place(world):
    names = await a_fleet(world, 3, checkInPeriod="5s")
    await start(world, strategy={"maxConcurrency": 1})
    check_in_of(world, names[:1])
    stale = world.watch
    world.watch = lambda: None  # the watch is behind

    world.queue[TOKEN_ROTATIONS, NAMESPACE, "rot-1"] = None
    await world.run(16)
    world.watch = stale

    assert world.startable() == []
    assert world.counts()[:2] == (2, 1)


async def test_too_many_failures_halt_and_a_late_proof_goes_on(world):
    names = await a_fleet(world)
    await start(world, strategy={"maxFailures": 1, "batches": [{"name": "canary", "limit": 3}]})
    check_in_of(world, names[:2])
    check_in_of(world, names[:2], failed="DiskFull")
    await world.run(3)
    halted, said = world.startable(), world.said()
    warned = [event.reason for event in world.events.warnings if event.kind == "TokenRotation"]

    check_in_of(world, names[:1])
    await world.run(3)

    assert (halted, said["Stalled"]) == ([], ("True", "TooManyFailures"))
    assert world.rotation().status.failed_devices[0].reason == "DiskFull"
    assert warned == ["TooManyFailures"]
    assert (world.rotation().status.state, world.startable()) == ("Running", names[2:3])


async def test_a_halted_rotation_goes_on_after_a_higher_bound_or_the_deletion_of_failed_devices(world):
    names = await a_fleet(world, 4)
    await start(world, strategy={"maxFailures": 1, "batches": [{"name": "canary", "limit": 3}]})
    check_in_of(world, names[:2])
    check_in_of(world, names[:2], failed="DiskFull")
    await world.run(3)
    halted = world.rotation().status.state

    world.edit(strategy={"maxFailures": 2, "batches": [{"name": "canary", "limit": 3}]})
    await world.run(3)
    raised = world.rotation().status.state, world.startable()
    world.edit(strategy={"maxFailures": 0, "batches": [{"name": "canary", "limit": 3}]})
    await world.run(3)
    lowered = world.rotation().status.state, world.startable()
    for name in names[:2]:
        world.remove_device(name)
    await world.run(3)

    assert (halted, raised, lowered) == ("Halted", ("Running", names[2:3]), ("Halted", []))
    assert (world.rotation().status.state, world.startable()) == ("Running", names[2:3])


async def test_a_device_that_does_not_use_its_copy_in_time_has_failed_and_may_still_succeed(world):
    names = await a_fleet(world, 2)
    await start(world, strategy={"inProgressTimeout": "30s", "maxFailures": 1})
    check_in_of(world, names)
    check_in_of(world, names[:1])
    await world.run(33)
    failed = (world.counts(), world.rotation().status.failed_devices[0].reason)

    check_in_of(world, names[1:])
    await world.run(3)

    assert failed == ((0, 0, 1, 1, 0), "NotProved")
    assert (world.rotation().status.state, world.counts()) == ("Succeeded", (0, 0, 2, 0, 0))


async def test_a_pause_is_obeyed_before_the_controller_looks(world):
    names = await a_fleet(world, 3)
    await start(world)

    world.edit(desiredState="Paused")
    at_once = world.startable()
    await world.run(3)
    paused = world.said()
    world.edit(desiredState="Running")
    await world.run(2)

    assert (at_once, paused["Reconciling"]) == ([], ("True", "Paused"))
    assert (world.rotation().status.state, world.startable()) == ("Running", names)


async def test_an_abort_lets_devices_in_progress_finish_and_gives_the_others_nothing(world):
    names = await a_fleet(world, 4)
    await start(world)
    move(world, names[:1])
    check_in_of(world, names[1:2])

    world.edit(desiredState="Aborted")
    await world.run(20)
    waiting = (world.rotation().status.state, world.counts())
    check_in_of(world, names[1:2])
    await world.run(3)

    assert waiting == ("Aborting", (0, 1, 1, 0, 2))
    assert (world.rotation().status.state, world.counts()) == ("Aborted", (0, 0, 2, 0, 2))
    assert world.said() == {"Succeeded": ("False", "Aborted")}
    assert world.token().status.rotation.state == "Aborted"
    assert [sim.proved for _, sim in sorted(world.sims.items())] == [2, 2, 1, 1]
    assert all(sim.holds_an_accepted_copy() for sim in world.sims.values())


async def test_aborted_is_said_only_when_no_replica_can_act_by_an_older_reading(world):
    await a_fleet(world, 2)
    await start(world)

    world.edit(desiredState="Aborted")
    await world.run(14)
    early = world.rotation().status.state
    await world.run(5)

    assert (early, world.rotation().status.state) == ("Aborting", "Aborted")


async def test_an_abort_before_the_start_ends_no_value(world):
    await a_fleet(world, 2)

    await start(world, desiredState="Aborted")

    assert (world.rotation().status.state, world.token().status.generation) == ("Aborted", 1)
    assert world.token().status.rotation is None
