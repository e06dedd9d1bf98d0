"""A rotation from its start to its end, as users and devices see it."""

from datetime import timedelta

import pytest

from tallystick.fleet.api.device import DEVICES
from tallystick.fleet.api.token_rotation import TOKEN_ROTATIONS
from tallystick.fleet.domain import check_in
from tallystick.fleet.feature import ROTATING_DEVICES, ROTATIONS_BY_STATE
from tallystick.objects.ports import RefusedError
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS
from tests.builders import OTHER_UID
from tests.worlds.fleet_world import NAMESPACE, TOKEN
from tests.worlds.rotation_world import RotationWorld


@pytest.fixture
def world():
    return RotationWorld()


async def a_fleet(world, size=10, **spec):
    """Enroll devices; return their names in order."""
    world.project(**spec)
    world.enrolled(range(size))
    await world.work()
    world.count_devices()
    await world.work()
    return sorted(world.sims)


def check_in_of(world, names, *, failed=""):
    return [world.sims[name].check_in(failed=failed) for name in names]


async def start(world, **spec):
    """Start a rotation and let it open what it may."""
    world.rotate(**spec)
    await world.run(3)


def move(world, names):
    """Let devices get their new copies and use them."""
    check_in_of(world, names)
    check_in_of(world, names)


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


async def test_a_device_that_enrolls_meanwhile_is_not_counted(world):
    names = await a_fleet(world, 2)
    await start(world)

    world.enrolled([7], generation=2)
    await world.run(2)
    move(world, names)
    await world.run(3)

    assert (world.rotation().status.state, world.counts()) == ("Succeeded", (0, 0, 2, 0, 0))


async def test_success_waits_for_an_enrollment_by_the_old_value(world):
    names = await a_fleet(world, 2)
    entry = {"name": "d-" + "a" * 26, "generation": 1, "time": world.clock.now().isoformat()}
    world.cluster.edit(PAIRING_TOKENS, NAMESPACE, TOKEN, lambda body: body["status"].update(enrolling=[entry]))
    await start(world)
    move(world, names)
    await world.run(10)
    waiting = world.said()

    world.clock.advance(600)
    await world.run(15)

    assert waiting["Reconciling"] == ("True", "WaitingForDevices")
    assert (world.rotation().status.state, world.token().status.enrolling) == ("Succeeded", None)


async def test_a_device_that_the_cache_does_not_show_is_not_left_behind(world):
    names = await a_fleet(world, 2)
    await start(world)
    move(world, names)
    watch = world.watch
    await world.work()
    world.watch = lambda: None
    late = world.enrolled([5])

    await world.run(4)
    early = world.rotation().status.state
    world.watch = watch
    await world.run(2)
    move(world, late)
    await world.run(5)

    assert early == "Running"
    assert (world.rotation().status.state, world.counts()) == ("Succeeded", (0, 0, 3, 0, 0))


async def test_a_deleted_device_leaves_the_total(world):
    names = await a_fleet(world, 3)
    await start(world)
    await world.run(2)

    world.remove_device(names[0])
    await world.run(3)

    assert world.counts() == (2, 0, 0, 0, 0)


async def test_a_revoked_device_leaves_the_total(world):
    names = await a_fleet(world, 3)
    await start(world)

    world.cluster.edit(DEVICES, NAMESPACE, names[0], lambda body: body["spec"].update(revoked=True))
    await world.run(3)

    assert world.counts() == (2, 0, 0, 0, 0)
    assert world.stored_device(names[0]).status.state == "Revoked"


async def test_new_labels_move_a_pending_device_to_another_batch(world):
    names = await a_fleet(world, 3)
    canary = {"name": "canary", "selector": {"matchLabels": {"stage": "canary"}}}
    await start(world, strategy={"batches": [canary]}, openBatches=1)
    none = world.startable()

    world.cluster.edit(DEVICES, NAMESPACE, names[1], lambda body: body["metadata"].update(labels={"stage": "canary"}))
    await world.run(3)

    assert (none, world.startable()) == ([], names[1:2])
    assert [batch.total for batch in world.rotation().status.batches] == [1, 2]


async def test_after_a_compromise_failures_halt_nothing_and_a_device_without_a_key_must_enroll_again(world):
    await a_fleet(world, 2)
    (keyless,) = world.enrolled([9], key=False)
    await world.work()
    names = sorted(world.sims)

    await start(world, reason="Compromised", oldToken="RevokeImmediately", strategy={"maxFailures": 0})
    ended = [check_in.is_accepted(world.device(name), 1, world.target()) for name in names]
    move(world, names)
    await world.run(3)

    assert ended == [False, False]
    assert (world.rotation().status.state, world.counts()) == ("Running", (0, 0, 2, 1, 0))
    assert [(one.name, one.reason) for one in world.rotation().status.failed_devices] == [(keyless, "NeedsReenrolment")]
    assert world.token().status.revoked_below_generation == 2


async def test_devices_start_in_a_window_only(world):
    names = await a_fleet(world, 2)  # at noon of a Tuesday
    window = {"schedule": "10 12 * * *", "timeZone": "UTC", "duration": "1m"}
    await start(world, strategy={"windows": [window]})
    before, said = world.startable(), world.said()

    world.clock.advance(600)
    await world.run(2)
    within = world.startable()
    world.clock.advance(60)

    assert (before, within, world.startable()) == ([], names, [])
    assert said["Reconciling"] == ("True", "WaitingForWindow")


async def test_the_counts_are_on_the_token_within_five_seconds(world):
    names = await a_fleet(world, 6)
    await start(world)
    await world.run(5)

    for name in names[:3]:
        check_in_of(world, [name])
        await world.run(1)
    await world.run(5)

    assert world.token().status.rotation.summary == "3/3/0/0"


async def test_the_status_of_a_rotation_is_written_at_most_once_a_second(world):
    names = await a_fleet(world, 10)
    await start(world)
    world.writes()

    for name in names:
        check_in_of(world, [name])
        await world.work()
    await world.run(1)

    written = [write for write in world.writes() if write == ("replace_status", "tokenrotations")]
    assert len(written) <= 2


async def test_a_new_leader_goes_on_by_what_is_stored(world):
    names = await a_fleet(world, 6)
    await start(world, strategy={"batches": [{"name": "canary", "limit": 2}]})
    check_in_of(world, names[:2])
    before = world.rotation().status.start_time

    world.restart()
    await world.run(12, each_second=world.check_in_all)

    assert (world.rotation().status.state, world.rotation().status.start_time) == ("Succeeded", before)
    assert world.counts() == (0, 0, 6, 0, 0)


async def test_the_gauges_count_rotations_and_their_devices(world):
    names = await a_fleet(world, 4)
    await start(world)
    check_in_of(world, names[:2])
    check_in_of(world, names[:1])
    await world.run(2)

    assert world.reading(ROTATIONS_BY_STATE)["running"] == 1
    assert world.reading(ROTATING_DEVICES) == {"pending": 2, "in_progress": 1, "succeeded": 1, "failed": 0}


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


async def test_an_event_of_a_device_asks_nothing_and_reads_few_objects(world):
    names = await a_fleet(world, 30)
    await start(world)
    read = []
    get = world.cache.get
    world.cache.get = lambda *place: read.append(place) or get(*place)
    check_in_of(world, names[:1])
    world.watch()
    world.cluster.calls.clear()
    read.clear()

    await world.reconcilers[DEVICES].reconcile(NAMESPACE, names[0])

    assert world.cluster.calls == []
    assert {place[2] for place in read} <= {names[0], TOKEN}
    assert len(read) <= 4


async def test_a_look_reads_only_the_devices_whose_time_has_come(world):
    names = await a_fleet(world, 30)
    await start(world, strategy={"inProgressTimeout": "30s"})
    check_in_of(world, names[:2])
    await world.run(2)
    read = []
    get = world.cache.get
    world.cache.get = lambda *place: read.append(place) or get(*place)
    world.clock.advance(timedelta(seconds=31).total_seconds())

    await world.reconcilers[TOKEN_ROTATIONS].reconcile(NAMESPACE, "rot-1")

    assert sorted({place[2] for place in read if place[0] == DEVICES}) == names[:2]


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
