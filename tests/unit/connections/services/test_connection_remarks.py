"""What a ConnectionConfiguration reports beside its tokens: who is connected, whom a revocation cuts off, its age.

None of it changes whether the object is Ready, and none of it ends a token (R19, R20, R23, R37, S19).
"""

from datetime import timedelta

import pytest

from tests.fakes import NOON
from tests.worlds.connection_world import ConnectionWorld

STATUS = ("replace_status", "connectionconfigurations")
HALF_A_YEAR, A_YEAR = timedelta(hours=4380), timedelta(hours=8760)
SECOND = timedelta(seconds=1)


@pytest.fixture
def world() -> ConnectionWorld:
    return ConnectionWorld()


def counts(world):
    """Per slot, by the newest token of it: how many instances have used it last."""
    return {token.slot: token.instances for token in world.connection().status.tokens}


def instances(world):
    found = world.connection().status.instances
    return found.good, found.warning, found.problem, found.outdated, found.unlisted


# Who is connected.


async def test_r23_instances_are_counted_for_the_token_that_they_have_used_last(world):
    await world.issue("old", "new")
    for name, serial in (("press-1", 1), ("press-2", 1), ("press-3", 2)):
        world.beat(name, serial)

    outcome = await world.reconcile()

    assert (counts(world), instances(world)) == ({"new": 1, "old": 2}, (3, 0, 0, 2, 0))
    assert world.message().endswith("to revoke the old token. 2 instances still use it: press-1, press-2.")
    assert world.writes() == [STATUS]
    assert outcome.requeue_at == NOON + timedelta(minutes=2)


async def test_r23_the_count_of_the_old_token_falls_as_instances_switch(world):
    await world.issue("old", "new")
    world.beat("press-1", 1)
    await world.reconcile()

    world.beat("press-1", 2)
    await world.reconcile()

    assert (counts(world), instances(world)) == ({"new": 1, "old": 0}, (1, 0, 0, 0, 0))
    assert world.message().endswith("No instance reports that it uses it.")


async def test_an_instance_that_falls_silent_is_reported_without_a_heartbeat(world):
    await world.issue()
    world.beat("press-1", 1)
    outcome = await world.reconcile()
    seen = []

    while outcome.requeue_at is not None and instances(world) != (0, 0, 0, 0, 0):
        seen.append(instances(world))
        world.clock.advance((outcome.requeue_at - world.clock.now()).total_seconds())
        outcome = await world.reconcile()

    assert seen == [(1, 0, 0, 0, 0), (0, 1, 0, 0, 0), (0, 0, 1, 0, 0)]
    assert world.clock.now() == NOON + timedelta(hours=24)
    assert world.tokens() == [("default", 1, "Active")]


async def test_a_reminder_that_comes_while_the_status_is_written_is_due(world):
    await world.issue()
    world.clock.advance((HALF_A_YEAR + SECOND).total_seconds())
    world.cluster.after_next(*STATUS, lambda: world.clock.advance((A_YEAR - HALF_A_YEAR).total_seconds()))

    outcome = await world.reconcile()

    assert outcome.requeue_at == world.clock.now() == NOON + A_YEAR + SECOND
    assert "RotationOverdue" not in world.said()
    await world.reconcile()
    assert world.said()["RotationOverdue"][0] == "True"


async def test_a_heartbeat_that_changes_no_count_writes_nothing(world):
    await world.issue()
    world.beat("press-1", 1)
    await world.reconcile()
    world.writes()

    world.clock.advance(60)
    world.beat("press-1", 1)
    await world.reconcile()

    assert world.writes() == []


async def test_s19_those_that_are_not_kept_are_reported(world):
    await world.issue()
    world.stored_heartbeats.unlisted = 7

    await world.reconcile()

    assert instances(world) == (0, 0, 0, 0, 7)


# Whom a revocation cuts off.


async def test_r23_revoking_a_token_in_use_is_allowed_and_says_whom_it_cuts_off(world):
    await world.issue("old", "new")
    old = world.token_of("old").token_id
    world.beat("press-1", 1)
    world.beat("press-2", 2)

    world.set_slots("new")
    await world.reconcile()

    assert world.tokens() == [("new", 2, "Active"), ("old", 1, "Revoked")]
    assert [(event.reason, event.message) for event in world.events.warnings] == [
        ("TokenStillInUse", f"1 instance last used token {old}: press-1")
    ]
    assert world.said() == {"Ready": ("True", "Issued"), "InstancesCutOff": ("True", "TokenStillInUse")}
    assert world.message("InstancesCutOff") == (
        "1 instance last used a revoked token: press-1; register the token of slot new on them"
    )
    assert instances(world) == (2, 0, 0, 1, 0)


async def test_an_instance_that_was_cut_off_is_no_longer_reported_once_it_uses_the_new_token(world):
    await world.issue("old", "new")
    world.beat("press-1", 1)
    world.set_slots("new")
    await world.reconcile()

    world.beat("press-1", 2)
    await world.reconcile()

    assert world.said() == {"Ready": ("True", "Issued")}


async def test_a_license_that_ends_is_reported_once_and_not_as_cutting_off(world):
    await world.issue(licenseExpiresAt="2030-01-01T13:00:00Z")
    world.clock.advance(3600)
    world.beat("press-1", 1)

    await world.reconcile()

    assert world.events.reasons() == ["LicenseExpired"]
    assert "InstancesCutOff" not in world.said()


async def test_s19_no_heartbeat_ends_a_token_or_keeps_one(world):
    await world.issue("old", "new")
    before = world.tokens()
    for number in range(50):
        world.beat(f"forged-{number}", 1 if number < 10 else 2)
    await world.reconcile()
    await world.reconcile()  # with the counts in the status
    unchanged = world.tokens() == before
    used = counts(world)

    world.set_slots("new")
    await world.reconcile()

    assert (unchanged, used) == (True, {"new": 40, "old": 10})
    assert world.tokens() == [("new", 2, "Active"), ("old", 1, "Revoked")]


async def test_a_serial_that_never_was_is_counted_for_no_token(world):
    await world.issue()
    world.beat("press-1", 99)

    await world.reconcile()

    assert (counts(world), instances(world)) == ({"default": 0}, (1, 0, 0, 1, 0))


# Reminders.


@pytest.mark.parametrize(
    ("age", "reminders"),
    [
        pytest.param(HALF_A_YEAR, set(), id="exactly half a year"),
        pytest.param(HALF_A_YEAR + SECOND, {"RotationRecommended"}, id="longer"),
        pytest.param(A_YEAR, {"RotationRecommended"}, id="exactly a year"),
        pytest.param(A_YEAR + SECOND, {"RotationRecommended", "RotationOverdue"}, id="longer than a year"),
    ],
)
async def test_r19_r20_a_rotation_is_reminded_of_by_age_and_ready_stays_true(world, age, reminders):
    values = await world.issue()

    world.clock.advance(age.total_seconds())
    await world.reconcile()

    assert world.said() == {"Ready": ("True", "Issued"), **dict.fromkeys(reminders, ("True", "TokenAge"))}
    assert world.values() == values
    assert world.writes() == ([STATUS] if reminders else [])


async def test_the_controller_wakes_for_each_reminder_and_for_no_more(world):
    await world.issue()
    wakes = []

    while (wake := (await world.reconcile()).requeue_at) is not None:
        wakes.append(wake - NOON)
        world.clock.advance((wake - world.clock.now()).total_seconds())

    assert wakes == [HALF_A_YEAR + SECOND, A_YEAR + SECOND]


async def test_reminders_say_how_and_go_with_a_new_token(world):
    await world.issue("old")
    world.clock.advance((A_YEAR + SECOND).total_seconds())
    await world.reconcile()
    recommended, overdue = world.message("RotationRecommended"), world.message("RotationOverdue")

    world.set_slots("old", "new")
    await world.reconcile()

    how = "add a slot to spec.tokens, register its token on all instances, then remove the old slot"
    assert recommended == f"The newest token was issued at 2030-01-01T12:00:00Z, more than 4380h ago. To rotate, {how}."
    assert overdue == f"The newest token was issued at 2030-01-01T12:00:00Z, more than 8760h ago. Rotate now: {how}."
    assert world.said() == {"Ready": ("True", "Issued")}


async def test_the_thresholds_are_those_of_the_object(world):
    await world.issue(rotationPolicy={"recommendAfter": "10s", "requireAfter": "20s"})

    world.clock.advance(11)
    await world.reconcile()
    first = world.said()
    world.clock.advance(10)
    await world.reconcile()

    assert first.keys() == {"Ready", "RotationRecommended"}
    assert world.said().keys() == {"Ready", "RotationRecommended", "RotationOverdue"}


async def test_a_license_and_a_silence_are_reported_beside_a_reminder(world):
    await world.issue("old", "new", licenseExpiresAt="2033-01-01T00:00:00Z")
    world.clock.advance((A_YEAR + SECOND).total_seconds())
    world.beat("press-1", 1)
    world.set_slots("new")

    await world.reconcile()

    assert world.said() == {
        "Ready": ("True", "Issued"),
        "LicenseValid": ("True", "LicenseValid"),
        "RotationRecommended": ("True", "TokenAge"),
        "RotationOverdue": ("True", "TokenAge"),
        "InstancesCutOff": ("True", "TokenStillInUse"),
    }


async def test_a_condition_moves_its_time_only_with_its_status(world):
    await world.issue("old")
    world.clock.advance(60)

    world.set_slots("old", "new")
    await world.reconcile()

    (ready,) = world.connection().status.conditions
    assert ready.last_transition_time == NOON + timedelta(seconds=60)  # it was being issued in between
    world.clock.advance(60)
    world.beat("press-1", 1)
    await world.reconcile()
    (again,) = world.connection().status.conditions
    assert again.message != ready.message
    assert again.last_transition_time == ready.last_transition_time


async def test_w_a_rotation_that_is_overdue_is_in_a_column_in_the_message_and_in_one_event(world):
    await world.issue("blue", rotationPolicy={"recommendAfter": "10s", "requireAfter": "20s"})
    columns = [world.connection().status.rotation]

    for seconds in (11, 10, 3600):
        world.clock.advance(seconds)
        await world.reconcile()
        world.restart()
        columns.append(world.connection().status.rotation)

    assert columns == ["Current", "Recommended", "Overdue", "Overdue"]
    assert "Rotate now: add a slot to spec.tokens" in world.message()
    assert [event.reason for event in world.events.warnings] == ["RotationOverdue"]
    assert "2030-01-01T12:00:00Z, more than 20s ago" in world.events.warnings[0].message
