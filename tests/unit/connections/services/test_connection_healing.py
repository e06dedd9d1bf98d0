"""The Secret of a ConnectionConfiguration comes back as it was issued, and only while it may: S3, S22."""

import pytest

from tallystick.connections.api.connection_configuration import CONNECTION_CONFIGURATIONS
from tests.builders import OTHER_UID
from tests.worlds.connection_world import NAME, NAMESPACE, STANDING, ConnectionWorld
from tests.worlds.damages import delete, edit_secret, edit_the_token

STATUS = ("replace_status", "connectionconfigurations")


@pytest.fixture
def world() -> ConnectionWorld:
    return ConnectionWorld()


def edit_the_token_of_a_slot(world):
    edit_secret(world, lambda body: body["data"].update({"token.blue": "Zm9yZ2Vk"}))


def put_the_old_token_in_place_of_the_new_one(world):
    edit_secret(world, lambda body: body["data"].update(token=body["data"]["token.blue"]))


def content(secret):
    meta = secret["metadata"]
    return secret["data"], secret["type"], meta["labels"], meta["ownerReferences"], secret.get("immutable")


@pytest.mark.parametrize("damage", [edit_the_token_of_a_slot, put_the_old_token_in_place_of_the_new_one])
async def test_s22_the_same_tokens_come_back_after_another_client_did(world, damage):
    await world.issue("blue", "green")
    issued, status = content(world.secret()), world.connection().status
    damage(world)

    world.clock.advance(30)
    await world.reconcile()
    world.cluster.calls.clear()
    await world.reconcile()

    assert content(world.secret()) == issued
    assert world.connection().status == status
    assert [line.action for line in world.audit.lines] == ["issue", "issue", "heal"]
    assert world.cluster.calls == []


async def test_being_made_immutable_alone_is_no_damage_and_the_next_token_still_gets_in(world):
    await world.issue("blue")
    edit_secret(world, lambda body: body.update(immutable=True))

    await world.reconcile()
    untouched = world.writes()
    world.set_slots("blue", "green")
    await world.reconcile()

    assert untouched == []
    assert world.values().keys() == {*STANDING, "token", "token-id", "token.blue", "token.green"}
    assert world.writes() == [STATUS, ("delete", "secrets"), ("create", "secrets"), STATUS]


def no_longer_has_the_slot(body):
    body["spec"]["tokens"] = [{"name": "green"}]


def is_going(body):
    body["metadata"]["deletionTimestamp"] = "2030-01-01T12:00:00Z"


def has_lost_its_license(body):
    body["spec"]["licenseExpiresAt"] = "2030-01-01T12:00:00Z"


@pytest.mark.parametrize("change", [no_longer_has_the_slot, is_going, has_lost_its_license])
async def test_s22_a_token_that_ended_meanwhile_is_not_healed(world, change):
    values = await world.issue("blue", "green")
    delete(world)
    world.watch()
    world.cluster.edit(CONNECTION_CONFIGURATIONS, NAMESPACE, NAME, change)

    await world.reconcile(watched=False)

    assert values["token.blue"] not in world.values().values()
    assert world.token_of("blue").state == "Revoked"


async def test_s24_an_object_that_was_made_again_gets_another_token(world):
    before = await world.issue()
    world.delete()
    world.apply(uid=OTHER_UID)

    await world.reconcile()
    conflict = world.said()["Ready"]
    delete(world)
    await world.reconcile()

    assert conflict == ("False", "SecretConflict")
    assert world.values()["token"] != before["token"]


async def test_s22_no_back_off_delays_what_a_user_asks_for(world):
    await world.issue("blue")
    for _ in range(4):
        edit_the_token(world)
        world.clock.advance((await world.reconcile()).requeue_after or 0.0)
        await world.reconcile()
    edit_the_token(world)

    world.set_slots("blue", "green")
    await world.reconcile()

    assert world.tokens() == [("green", 2, "Active"), ("blue", 1, "Active")]
    assert world.values()["token"] == world.values()["token.green"]
    edit_the_token(world)
    world.set_slots("blue")
    await world.reconcile()
    assert "token.green" not in world.values()
    assert world.values()["token"] == world.values()["token.blue"]
