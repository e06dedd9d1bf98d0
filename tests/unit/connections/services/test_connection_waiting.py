"""What a ConnectionConfiguration waits for: a safe clock, the signing keys, other writers; what ends waits for none."""

from datetime import timedelta

import pytest

from tallystick.connections.services.heartbeat_registry import HeartbeatRegistry
from tallystick.errors import NotYetError
from tallystick.objects.ports import RefusedError
from tests.builders import a_key, a_keyring
from tests.fakes import NOON
from tests.worlds.connection_world import STANDING, ConnectionWorld

STATUS = ("replace_status", "connectionconfigurations")


@pytest.fixture
def world() -> ConnectionWorld:
    return ConnectionWorld()


async def test_nothing_is_planned_while_the_clock_is_too_far_from_the_api_servers(world):
    world.server_clock.observe(NOON + timedelta(seconds=31))
    world.apply()

    await world.reconcile()

    assert world.tokens() == []


async def test_an_unsafe_clock_ends_no_license(world):
    values = await world.issue(licenseExpiresAt="2030-01-01T13:00:00Z")
    world.clock.jump(3600)
    world.server_clock.observe(NOON)

    await world.reconcile()
    ended = world.tokens() != [("default", 1, "Active")]
    world.clock.jump(-3600)
    world.server_clock.observe(NOON)
    await world.reconcile()

    assert not ended
    assert (world.values(), world.said()["Ready"]) == (values, ("True", "Issued"))


async def test_while_the_keyring_cannot_be_read_nothing_is_issued(world):
    world.keys.held = None
    world.apply()

    with pytest.raises(NotYetError):
        await world.reconcile()
    assert (world.tokens(), world.secret()) == ([], None)
    world.keys.held = a_keyring()
    await world.reconcile()

    assert world.tokens() == [("default", 1, "Active")]


async def test_a_revocation_is_recorded_while_the_keyring_cannot_be_read(world):
    await world.issue("blue", "green")
    world.keys.held = None

    world.set_slots("green")
    with pytest.raises(NotYetError):
        await world.reconcile()

    assert world.tokens() == [("green", 2, "Active"), ("blue", 1, "Revoked")]
    assert [facts["reason"] for facts in world.decisions("revoke")] == ["Manual"]


async def test_a_license_ends_and_its_values_go_while_the_keyring_cannot_be_read(world):
    await world.issue("blue", "green", licenseExpiresAt="2030-01-01T13:00:00Z")
    world.keys.held = None
    world.clock.advance(3600)

    await world.reconcile()

    assert world.tokens() == [("green", 2, "Revoked"), ("blue", 1, "Revoked")]
    assert world.values() == STANDING


async def test_a_new_signing_key_signs_the_new_token_and_the_old_one_stays_as_it_was(world):
    before = await world.issue("blue")
    world.keys.held = a_keyring("first", "second")

    world.set_slots("blue", "green")
    await world.reconcile()

    assert [token.key_id for token in world.connection().status.tokens] == [
        a_key("second").key_id,
        a_key("first").key_id,
    ]
    assert world.values()["token.blue"] == before["token"]


async def test_a_conflict_writes_nothing_and_the_next_look_carries_on(world):
    world.apply()
    world.cluster.before_next("replace_status", "connectionconfigurations", lambda: world.edit(description="new"))

    await world.reconcile_until_done()

    assert world.tokens() == [("default", 1, "Active")]
    assert world.connection().status.observed_generation == 2


async def test_heartbeats_that_may_not_be_read_are_one_event_and_the_tokens_come_once_they_may(world):
    registry = HeartbeatRegistry(world.cluster, world.clock, namespace="tallystick-system")
    world.stored_heartbeats.of = registry.of
    world.cluster.refusing["list", "configmaps"] = RefusedError('User "x" cannot list resource "configmaps"')
    world.apply()
    with pytest.raises(NotYetError):
        await world.reconcile()  # before the first read, which takes less than a second
    with pytest.raises(RefusedError):
        await registry.refresh()

    results = [await world.reconcile() for _ in range(3)]
    reasons, message = world.events.reasons(), world.events.warnings[0].message
    world.cluster.refusing.clear()
    await registry.refresh()
    await world.reconcile()

    assert {result.failed for result in results} == {True}
    assert (reasons, "grant the permission again" in message) == (["HeartbeatsNotRead"], True)
    assert (world.tokens(), world.said()["Ready"]) == ([("default", 1, "Active")], ("True", "Issued"))
