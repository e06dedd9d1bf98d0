"""How connection tokens end: by a license, exactly and permanently, and with their object (R35, R36, R37)."""

from datetime import datetime, timedelta

import pytest

from tallystick.errors import NotYetError
from tallystick.schema.builtin import SECRETS
from tests.fakes import NOON
from tests.worlds.connection_world import NAME, NAMESPACE, STANDING, ConnectionWorld, slots

STATUS = ("replace_status", "connectionconfigurations")
ONE_O_CLOCK = NOON + timedelta(hours=1)
LICENCE, LATER = "2030-01-01T13:00:00Z", "2031-01-01T00:00:00Z"
EXPIRED = "license expired at 2030-01-01T13:00:00Z"


@pytest.fixture
def world() -> ConnectionWorld:
    return ConnectionWorld()


def not_after(world):
    return [token.not_after for token in world.connection().status.tokens]


# A licence.


async def test_a_license_is_on_record_with_each_token_and_wakes_the_controller_at_its_end(world):
    world.apply(tokens=slots("blue", "green"), licenseExpiresAt=LICENCE)

    outcome = await world.reconcile()

    assert not_after(world) == [ONE_O_CLOCK, ONE_O_CLOCK]
    assert outcome.requeue_at == ONE_O_CLOCK
    assert world.said() == {"Ready": ("True", "Issued"), "LicenseValid": ("True", "LicenseValid")}
    assert (
        world.message("LicenseValid")
        == "the license expires at 2030-01-01T13:00:00Z; all tokens are revoked at this time"
    )


@pytest.mark.parametrize("seconds", [3599, 3600])
async def test_r35_all_tokens_end_at_that_very_second_and_the_values_go(world, seconds):
    values = await world.issue("blue", "green", licenseExpiresAt=LICENCE)

    world.clock.advance(seconds)
    await world.reconcile()

    over = seconds == 3600
    assert world.values() == (STANDING if over else values)
    assert {state for _, _, state in world.tokens()} == ({"Revoked"} if over else {"Active"})
    assert world.writes() == ([STATUS, ("replace", "secrets")] if over else [])


async def test_r35_the_end_of_a_license_is_reported_everywhere(world):
    await world.issue("blue", "green", licenseExpiresAt=LICENCE)

    world.clock.advance(3600)
    outcome = await world.reconcile()
    await world.reconcile()

    text = f"{EXPIRED}; all tokens are revoked; to issue a new one, set a later spec.licenseExpiresAt"
    assert world.said() == {
        "Ready": ("False", "LicenseExpired"),
        "Stalled": ("True", "LicenseExpired"),
        "LicenseValid": ("False", "LicenseExpired"),
    }
    assert {world.message(kind) for kind in ("Ready", "Stalled", "LicenseValid")} == {text}
    assert [(event.reason, event.message) for event in world.events.warnings] == [("LicenseExpired", text)]
    assert [(facts["serial"], facts["reason"]) for facts in world.decisions("revoke")] == [
        (2, "LicenseExpired"),
        (1, "LicenseExpired"),
    ]
    status = world.connection().status
    assert (status.active_tokens, status.current_token_id, status.vacant_slots) == (0, None, ["blue", "green"])
    assert (outcome.requeue_at, outcome.requeue_after) == (None, None)


async def test_a_license_that_was_over_from_the_start_issues_nothing(world):
    world.apply(licenseExpiresAt="2026-01-31T00:00:00Z")

    await world.reconcile()
    await world.reconcile()

    assert world.message() == (
        "license expired at 2026-01-31T00:00:00Z; no token was issued; to issue a new one, set a later "
        "spec.licenseExpiresAt"
    )
    assert world.writes() == [STATUS]
    assert (world.tokens(), world.secret(), world.connection().status.last_serial) == ([], None, None)
    assert (world.audit.lines, world.events.warnings) == ([], [])


async def test_a_later_date_issues_the_first_token_of_what_was_over_from_the_start(world):
    world.apply(licenseExpiresAt="2026-01-31T00:00:00Z")
    await world.reconcile()

    world.edit(licenseExpiresAt=LATER)
    await world.reconcile()

    assert (world.tokens(), world.said()["Ready"]) == ([("default", 1, "Active")], ("True", "Issued"))


async def test_r35_a_later_date_issues_one_new_token_and_the_ended_ones_stay_ended(world):
    before = await world.issue("blue", "green", licenseExpiresAt=LICENCE)
    world.clock.advance(3600)
    await world.reconcile()
    world.writes()

    world.edit(licenseExpiresAt=LATER)
    await world.reconcile()

    assert world.tokens() == [("green", 3, "Active"), ("green", 2, "Revoked"), ("blue", 1, "Revoked")]
    assert world.values().keys() == {*STANDING, "token", "token-id", "token.green"}
    assert not set(world.values().values()) & {before["token.blue"], before["token.green"]}
    assert world.said() == {"Ready": ("True", "Issued"), "LicenseValid": ("True", "LicenseValid")}
    assert world.connection().status.vacant_slots == ["blue"]


async def test_a_license_that_was_renewed_in_time_moves_the_end_and_nothing_else(world):
    values = await world.issue(licenseExpiresAt=LICENCE)
    world.clock.advance(3579)

    world.edit(licenseExpiresAt=LATER)
    outcome = await world.reconcile()
    world.clock.advance(3600)
    await world.reconcile()

    assert (world.values(), world.tokens()) == (values, [("default", 1, "Active")])
    assert not_after(world) == [datetime.fromisoformat(LATER)]
    assert outcome.requeue_at is not None
    assert world.writes() == [STATUS]


async def test_a_license_that_is_renewed_in_its_last_seconds_ends_all_the_same(world):
    """What is planned before the end might be stored after it, and revive what was refused meanwhile."""
    before = await world.issue(licenseExpiresAt=LICENCE)
    world.clock.advance(3580)

    world.edit(licenseExpiresAt=LATER)
    outcome = await world.reconcile()
    recorded = not_after(world)
    world.clock.advance(20)
    await world.reconcile()

    assert (recorded, outcome.requeue_at) == ([datetime.fromisoformat(LICENCE)], datetime.fromisoformat(LICENCE))
    assert world.tokens() == [("default", 2, "Active"), ("default", 1, "Revoked")]
    assert world.values()["token"] != before["token"]


async def test_a_license_that_was_renewed_too_late_ends_the_tokens_all_the_same(world):
    """What the controller has not seen in time is on record as `notAfter`; that end has passed."""
    before = await world.issue(licenseExpiresAt=LICENCE)
    world.clock.advance(7200)

    world.edit(licenseExpiresAt=LATER)
    await world.reconcile()

    assert world.tokens() == [("default", 2, "Active"), ("default", 1, "Revoked")]
    assert world.token_of("default").not_after == datetime.fromisoformat(LATER)
    assert before["token"] not in world.values().values()
    assert [facts["reason"] for facts in world.decisions("revoke")] == ["LicenseExpired"]


@pytest.mark.parametrize("late", [False, True])
async def test_a_license_that_is_removed_frees_only_what_has_not_ended(world, late):
    await world.issue(licenseExpiresAt=LICENCE)
    world.clock.advance(7200 if late else 60)

    world.edit(licenseExpiresAt=None)
    await world.reconcile()
    world.clock.advance(7200)
    await world.reconcile()

    ended = [("default", 1, "Revoked")] if late else []
    assert world.tokens() == [("default", 2 if late else 1, "Active"), *ended]
    assert world.token_of("default").not_after is None
    assert world.said() == {"Ready": ("True", "Issued")}


async def test_a_license_that_is_shortened_to_the_past_ends_all_at_once(world):
    await world.issue(licenseExpiresAt=LATER)

    world.edit(licenseExpiresAt="2029-01-01T00:00:00Z")
    await world.reconcile()

    assert (world.tokens(), world.values()) == ([("default", 1, "Revoked")], STANDING)


async def test_a_vacant_slot_gets_a_token_when_it_is_removed_and_added_again(world):
    await world.issue("blue", "green", licenseExpiresAt=LICENCE)
    world.clock.advance(3600)
    await world.reconcile()
    world.edit(licenseExpiresAt=LATER)
    await world.reconcile()

    for names in (("green",), ("green", "blue")):
        world.set_slots(*names)
        await world.reconcile()

    assert world.tokens()[:2] == [("blue", 4, "Active"), ("green", 3, "Active")]
    assert world.connection().status.vacant_slots == []


async def test_a_clock_that_is_set_back_revives_nothing(world):
    await world.issue(licenseExpiresAt=LICENCE)
    world.clock.advance(3600)
    await world.reconcile()

    world.clock.jump(-3600)
    await world.reconcile()

    assert ("default", 1, "Revoked") in world.tokens()
    assert ("default", 1, "Active") not in world.tokens()


async def test_r22_r37_age_alone_ends_nothing(world):
    values = await world.issue()

    world.clock.advance(timedelta(days=36_500).total_seconds())
    await world.reconcile()

    assert (world.values(), world.tokens()) == (values, [("default", 1, "Active")])


# The object goes.


async def test_r36_an_object_that_is_gone_is_reported_in_audit_and_event(world):
    await world.issue("blue", "green")
    tokens = {token.slot: token.token_id for token in world.connection().status.tokens}

    world.delete()
    outcome = await world.reconcile()
    await world.reconcile()

    assert (outcome.requeue_at, outcome.requeue_after, world.writes()) == (None, None, [])
    (event,) = world.events.warnings
    assert event == (
        "ConnectionConfiguration",
        NAMESPACE,
        NAME,
        "ConfigurationDeleted",
        f"the object was deleted; tokens {tokens['green']}, {tokens['blue']} are revoked",
    )
    assert [(facts["token_id"], facts["reason"]) for facts in world.decisions("revoke")] == [
        (tokens["green"], "ConfigurationDeleted"),
        (tokens["blue"], "ConfigurationDeleted"),
    ]


async def test_r36_while_a_foreign_finalizer_holds_the_object_its_tokens_are_on_record_as_ended(world):
    await world.issue("blue", "green")

    world.start_deleting()
    outcome = await world.reconcile()
    await world.reconcile()

    assert {(token.state.value, token.reason) for token in world.connection().status.tokens} == {
        ("Revoked", "ConfigurationDeleted")
    }
    assert world.said() == {
        "Ready": ("False", "ConfigurationDeleted"),
        "Reconciling": ("True", "ConfigurationDeleted"),
    }
    assert world.message() == "the object is being deleted; all its tokens are revoked"
    assert world.writes() == [STATUS, ("delete", "secrets")]
    assert world.secret() is None
    assert (outcome.requeue_at, outcome.requeue_after) == (None, None)
    assert [facts["reason"] for facts in world.decisions("revoke")] == ["ConfigurationDeleted"] * 2


async def test_r36_a_deletion_is_reported_in_one_event_though_a_finalizer_held_the_object(world):
    await world.issue()
    world.start_deleting()
    await world.reconcile()

    world.delete()
    await world.reconcile()

    assert world.events.reasons() == ["ConfigurationDeleted"]
    assert len(world.decisions("revoke")) == 1


async def test_nothing_is_issued_and_nothing_healed_for_an_object_that_is_going(world):
    await world.issue("blue")
    world.set_slots("blue", "green")
    world.start_deleting()
    for body in world.cluster.all(SECRETS):
        world.cluster.remove(SECRETS, NAMESPACE, body["metadata"]["name"])

    await world.reconcile()

    assert (world.tokens(), world.secret()) == ([("blue", 1, "Revoked")], None)


async def test_the_keyring_is_not_needed_to_end_anything(world):
    await world.issue()
    world.keys.held = None
    world.start_deleting()

    await world.reconcile()

    assert world.tokens() == [("default", 1, "Revoked")]


async def test_what_is_planned_and_not_in_the_secret_yet_ends_with_its_license(world):
    world.apply(licenseExpiresAt=LICENCE)
    world.cluster.after_next("replace_status", "connectionconfigurations", lambda: setattr(world.keys, "held", None))
    with pytest.raises(NotYetError):
        await world.reconcile()
    planned = world.tokens()

    world.clock.advance(3600)
    await world.reconcile()

    assert planned == [("default", 1, "Pending")]
    assert world.tokens() == [("default", 1, "Revoked")]
    assert "token" not in world.values()
