"""Who is counted by a rotation, when the counts are written, and what they cost."""

from datetime import timedelta

import pytest

from tallystick.fleet.api.device import DEVICES
from tallystick.fleet.api.token_rotation import TOKEN_ROTATIONS
from tallystick.fleet.domain import check_in
from tallystick.fleet.feature import ROTATING_DEVICES, ROTATIONS_BY_STATE
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS
from tests.worlds.fleet_world import NAMESPACE, TOKEN
from tests.worlds.rotation_world import RotationWorld
from tests.worlds.rotations import a_fleet, check_in_of, check_in_one_a_second, move, start


@pytest.fixture
def world():
    return RotationWorld()


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

    await check_in_one_a_second(world, names[:3])
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


async def test_counts_that_change_each_second_cost_three_writes_in_five_seconds(world):
    names = await a_fleet(world, 20)
    await start(world)
    await world.run(5)
    world.writes()

    await check_in_one_a_second(world, names)

    written = world.writes()
    assert set(written) == {("replace_status", "tokenrotations"), ("replace_status", "pairingtokens")}
    assert len(written) <= len(names) * 3 / 5 + 1


async def test_a_batch_that_opens_does_not_wait_for_the_time_of_the_counts(world):
    names = await a_fleet(world, 4)
    await start(world, strategy={"batches": [{"name": "canary", "limit": 1}]})
    await world.run(3)
    check_in_of(world, names[:1])
    await world.run(2)  # counts were written just now
    opened = world.rotation().status.open.batch

    check_in_of(world, names[:1])
    await world.run(1)

    assert (opened, world.rotation().status.open.batch) == (1, 2)


async def test_the_last_counts_are_written_although_no_event_follows(world):
    names = await a_fleet(world, 4)
    await start(world)
    await world.run(3)
    await check_in_one_a_second(world, names[:3])

    await world.run(2)

    assert world.counts() == (1, 3, 0, 0, 0)


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
