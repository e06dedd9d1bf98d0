"""Whatever fails at whichever call, there is one key for each version, none is lost, and no copy is left behind."""

import pytest

from tallystick.schema.builtin import SECRETS
from tests.unit.clusterkeys.vectors import a_join_key, a_master_key
from tests.worlds.faults import Fault, double_faults, single_faults
from tests.worlds.join_key_history import History, restart_until_done
from tests.worlds.join_key_world import PROVIDED, JoinKeyWorld, targets

# More calls than any of these paths makes; a fault that is never reached proves nothing and harms nothing.
ISSUE_CALLS, STEP_CALLS, HEAL_CALLS, END_CALLS = 7, 9, 8, 4
OVERLAP = 600

# The process is killed before a write reaches the API server, or after.
KILLED = (Fault.NO_ANSWER, Fault.LOST_ANSWER)


def plans(calls):
    return [pytest.param(plan, id=str(plan)) for plan in single_faults(calls)]


def twice_killed(calls):
    return [plan for plan in double_faults(calls) if set(plan.values()) <= set(KILLED)]


def assert_shared(world, history, *, version, copies=2):
    status = world.object().status
    held = [world.held(body["metadata"]["namespace"], body["metadata"]["name"]) for body in world.copies()]
    (signs, *accepted), *others = held
    assert others == [[signs, *accepted]] * (copies - 1)
    assert (status.fingerprint, status.key_version) == (signs.fingerprint, version)
    assert world.opened(version) == signs
    assert world.said()["Ready"][0] == "True"
    assert len(history.signed) == version
    assert (history.lost, history.unsealed) == ([], [])


async def shared(**spec):
    world = JoinKeyWorld()
    await world.issue(targets=targets("rt"), **spec)
    return world, History(world)


@pytest.mark.parametrize("again", ["retries", "crashes"])
@pytest.mark.parametrize("plan", plans(ISSUE_CALLS))
async def test_one_key_is_shared_if_the_controller_is_cut_off_at(plan, again):
    world = JoinKeyWorld()
    history = History(world)
    world.apply(targets=targets("rt"))
    world.cluster.plan_from_now(plan)

    await (restart_until_done(world) if again == "crashes" else world.reconcile_until_done())

    assert_shared(world, history, version=1)


async def test_one_key_is_shared_whatever_two_calls_are_cut_off():
    for plan in twice_killed(ISSUE_CALLS):
        world = JoinKeyWorld()
        history = History(world)
        world.apply(targets=targets("rt"))
        world.cluster.plan_from_now(dict(plan))

        await restart_until_done(world)

        assert_shared(world, history, version=1)


@pytest.mark.parametrize("phase", [0, 1, 2])
@pytest.mark.parametrize("source", ["generated", "provided"])
@pytest.mark.parametrize("plan", plans(STEP_CALLS))
async def test_a_replacement_goes_on_if_the_controller_crashes_in_any_phase_at(plan, source, phase):
    world, history = await a_replacement(source, overlap="10m")
    for number in range(3):
        world.cluster.plan_from_now(plan if number == phase else {})
        await restart_until_done(world)
        world.clock.advance(OVERLAP)
    await restart_until_done(world)

    assert_shared(world, history, version=2)
    assert len(world.held()) == 1


@pytest.mark.parametrize("source", ["generated", "provided"])
@pytest.mark.parametrize("plan", [{number: fault} for number in range(1, 15) for fault in KILLED])
async def test_a_replacement_at_once_goes_on_if_the_controller_crashes_at(plan, source):
    world, history = await a_replacement(source, overlap="0s")
    world.cluster.plan_from_now(plan)

    await restart_until_done(world)

    assert_shared(world, history, version=2)
    assert len(world.held()) == 1


@pytest.mark.parametrize("change", ["another key", "the old key", "no Secret"])
@pytest.mark.parametrize("plan", [{number: fault} for number in range(1, STEP_CALLS) for fault in KILLED])
async def test_a_change_of_mind_after_a_crash_gives_no_version_to_two_keys(plan, change):
    world, history = await a_replacement("provided", overlap="10m")
    await world.reconcile()
    world.clock.advance(OVERLAP)
    world.cluster.plan_from_now(plan)
    world.restart()
    try:
        await world.reconcile()
    except Exception:  # noqa: BLE001 - the process was killed
        world.restart()
    world.cluster.plan_from_now({})

    world.provide({"another key": a_join_key("third"), "the old key": a_join_key("old"), "no Secret": None}[change])
    for _ in range(6):
        await restart_until_done(world)
        world.clock.advance(OVERLAP)

    status = world.object().status
    expected = {"another key": a_join_key("third"), "the old key": a_join_key("old")}.get(change, a_join_key("new"))
    assert world.held() == world.held("rt") == [expected]
    assert status.replacement is None
    assert (history.lost, history.unsealed) == ([], [])
    # Each key that has signed has its version; the old one signs again under a version of its own.
    turns = 2 if change == "the old key" and len(history.signed) == 2 else 0
    assert status.key_version == (3 if turns else len(history.signed))


@pytest.mark.parametrize("plan", plans(HEAL_CALLS))
@pytest.mark.parametrize("name", ["jpd-1-join-key", "jpd-1-join-key-sealed"])
async def test_the_same_key_is_healed_if_the_controller_crashes_at(plan, name):
    world, history = await shared()
    (key,) = world.held()
    world.edit_secret("edge", name, **{"join_key": "mine"} if name.endswith("-key") else {"join_key.jwe": "mine"})
    history.lost.clear()
    history.unsealed.clear()
    world.cluster.plan_from_now(plan)

    await restart_until_done(world)

    assert world.held() == world.held("rt") == [world.opened()] == [key]
    assert history.lost == []


@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize("plan", plans(HEAL_CALLS))
async def test_a_rotation_leaves_a_sealed_copy_that_opens_if_the_controller_crashes_at(plan, lost):
    world, history = await shared()
    (key,) = world.held()
    world.open_master(a_master_key("newer"), None if lost else a_master_key())
    world.cluster.plan_from_now(plan)

    await restart_until_done(world)

    assert (world.opened(), world.held()) == (key, [key])
    assert world.object().status.sealed.master_key == a_master_key("newer").fingerprint
    assert history.lost == []
    # What the controller has left itself is no edit of somebody else, unless an old status was stored over it.
    assert "JoinKeyDrift" not in world.events.reasons() or Fault.LATE in plan.values()


@pytest.mark.parametrize("plan", plans(END_CALLS))
async def test_no_copy_of_a_removed_target_is_left_behind_if_the_controller_crashes_at(plan):
    world, history = await shared()
    world.edit(targets=[])
    world.cluster.plan_from_now(plan)

    await restart_until_done(world)

    assert_shared(world, history, version=1, copies=1)
    assert world.raw()["metadata"]["finalizers"] == []


@pytest.mark.parametrize("plan", plans(END_CALLS))
async def test_no_copy_of_a_deleted_join_key_is_left_behind_if_the_controller_crashes_at(plan):
    world, _ = await shared()
    world.start_deleting()
    world.cluster.plan_from_now(plan)

    await restart_until_done(world)
    world.collect()

    assert (world.raw(), world.cluster.all(SECRETS)) == ({}, [])


@pytest.mark.parametrize("plan", [{number: fault} for number in range(1, ISSUE_CALLS) for fault in KILLED])
async def test_no_copy_is_left_behind_if_the_join_key_is_deleted_while_it_is_shared(plan):
    world = JoinKeyWorld()
    world.apply(targets=targets("rt", "mc"))
    world.cluster.plan_from_now(plan)
    try:
        await world.reconcile()
    except Exception:  # noqa: BLE001 - the process was killed
        world.restart()
    world.cluster.plan_from_now({})

    world.start_deleting()
    await restart_until_done(world)
    world.collect()

    assert (world.raw(), world.cluster.all(SECRETS)) == ({}, [])


async def a_replacement(source, **spec):
    """A shared key, and the request for another one."""
    if source == "generated":
        world, history = await shared(**spec)
        world.edit(serial=2)
        return world, history
    world = JoinKeyWorld()
    world.provide(a_join_key("old"))
    history = History(world)
    await world.issue(targets=targets("rt"), secretRef={"name": PROVIDED}, **spec)
    world.provide(a_join_key("new"))
    return world, history
