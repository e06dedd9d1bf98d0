"""The Secret of an Active token comes back as it was issued, and only while it may: S3, S22."""

import pytest

from tallystick.objects.ports import NotFoundError
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS
from tallystick.schema.builtin import SECRETS
from tests.builders import OTHER_UID, a_key, a_keyring, a_policy
from tests.worlds.damages import (
    change_a_label,
    change_the_type,
    damage_and_make_immutable,
    delete,
    edit_secret,
    empty_it,
    recreate_with_another_token,
    strip_the_labels,
)
from tests.worlds.world import NAME, NAMESPACE, SECRET


def edit_the_token(world):
    edit_secret(world, lambda body: body["data"].update(token="Zm9yZ2Vk"))


DAMAGES = [
    delete,
    edit_the_token,
    empty_it,
    strip_the_labels,
    change_a_label,
    damage_and_make_immutable,
    change_the_type,
    recreate_with_another_token,
]


@pytest.mark.parametrize("damage", DAMAGES)
async def test_s22_the_same_token_comes_back_after_somebody_did(world, damage):
    await world.issue()
    issued, status = world.secret(), world.token().status
    damage(world)

    world.clock.advance(30)
    await world.reconcile()

    healed = world.secret()
    assert (healed["data"], healed["type"]) == (issued["data"], issued["type"])
    assert healed["metadata"]["labels"] == issued["metadata"]["labels"]
    assert healed["metadata"]["ownerReferences"] == issued["metadata"]["ownerReferences"]
    assert world.token().status == status
    assert ("heal", "ok") in world.audit.decisions()


@pytest.mark.parametrize("damage", DAMAGES)
async def test_after_healing_there_is_nothing_to_do(world, damage):
    await world.issue()
    damage(world)
    await world.reconcile()
    world.cluster.calls.clear()

    await world.reconcile()

    assert world.cluster.calls == []


def is_used(body):
    body["status"]["state"] = "Used"


def is_revoked_in_spec(body):
    body["spec"]["revoked"] = True


def is_revoked_in_status(body):
    body["status"]["state"] = "Revoked"


def is_going(body):
    body["metadata"]["deletionTimestamp"] = "2030-01-01T12:00:00Z"


def has_a_raised_serial_that_is_revoked(body):
    body["spec"].update(serial=2, revoked=True)


@pytest.mark.parametrize(
    "change", [is_used, is_revoked_in_spec, is_revoked_in_status, is_going, has_a_raised_serial_that_is_revoked]
)
async def test_s22_nothing_is_healed_when_the_owner_meanwhile(world, change):
    await world.issue()
    delete(world)
    world.watch()
    world.cluster.edit(PAIRING_TOKENS, NAMESPACE, NAME, change)

    await world.reconcile(watched=False)

    assert world.secret() is None
    assert ("create", "secrets") not in world.writes()


async def test_s22_nothing_is_healed_when_the_owner_is_gone(world):
    await world.issue()
    delete(world)
    world.watch()
    world.cluster.remove(PAIRING_TOKENS, NAMESPACE, NAME)

    with pytest.raises(NotFoundError):
        await world.reconcile(watched=False)

    assert world.secret() is None


async def test_s24_nothing_is_healed_for_an_owner_that_was_re_created(world):
    await world.issue()
    delete(world)
    world.watch()
    world.cluster.remove(PAIRING_TOKENS, NAMESPACE, NAME)
    world.apply(uid=OTHER_UID)

    await world.reconcile(watched=False)

    assert world.token().metadata.uid == OTHER_UID
    assert world.token().status.token_id != world.audit.lines[0].facts["token_id"]


async def test_s22_a_foreign_secret_in_the_place_of_ours_is_left_alone(world):
    await world.issue()
    delete(world)
    foreign = world.cluster.put(SECRETS, {"metadata": {"name": SECRET, "namespace": NAMESPACE}, "data": {"a": "YQ=="}})

    outcome = await world.reconcile()

    assert world.secret() == foreign
    assert (world.token().status.state, world.ready()) == ("Active", ("False", "SecretConflict"))
    assert (outcome.requeue_after, outcome.requeue_at) == (10.0, world.token().status.expiration_time)


async def test_a_conflict_of_an_active_token_ends_with_the_same_token(world):
    jwt = await world.issue()
    delete(world)
    world.cluster.put(SECRETS, {"metadata": {"name": SECRET, "namespace": NAMESPACE}})
    await world.reconcile()

    delete(world)
    await world.reconcile()

    assert (world.jwt(), world.ready(), world.is_stalled()) == (jwt, ("True", "Issued"), False)


async def test_a_token_in_conflict_still_expires(world):
    await world.issue()
    delete(world)
    world.cluster.put(SECRETS, {"metadata": {"name": SECRET, "namespace": NAMESPACE}})
    await world.reconcile()

    world.clock.advance(300)
    await world.reconcile()

    assert world.token().status.state == "Expired"


def lose_the_key(world):
    world.keys.held = a_keyring("second")


def rename_the_issuer(world):
    world.policy = a_policy(external_urls=("https://moved.example.com",))


def drop_the_use_case(world):
    world.policy = a_policy(table={"useCases": {"other": {"scope": ["x"]}}})


@pytest.mark.parametrize("change", [lose_the_key, rename_the_issuer, drop_the_use_case])
async def test_s3_a_secret_that_cannot_be_signed_again_as_it_was_is_not_healed(world, change):
    await world.issue()
    delete(world)

    change(world)
    world.restart()
    await world.reconcile()

    assert world.secret() is None
    assert (world.token().status.state, world.ready(), world.is_stalled()) == (
        "Active",
        ("False", "ClaimsChanged"),
        True,
    )


async def test_s3_it_is_healed_when_the_settings_are_as_they_were(world):
    jwt = await world.issue()
    delete(world)
    settings = world.policy
    rename_the_issuer(world)
    world.restart()
    await world.reconcile()

    world.policy = settings
    world.restart()
    await world.reconcile()

    assert (world.jwt(), world.ready()) == (jwt, ("True", "Issued"))


async def test_a_new_signing_key_heals_with_the_key_of_the_record(world):
    jwt = await world.issue()
    delete(world)

    world.keys.held = a_keyring("first", "second")
    await world.reconcile()

    assert world.jwt() == jwt
    assert world.token().status.key_id == a_key("first").key_id


async def test_an_edit_in_the_same_instant_is_not_overwritten_blindly(world):
    jwt = await world.issue()
    edit_the_token(world)
    world.cluster.before_next("replace", "secrets", lambda: empty_it(world))

    await world.reconcile_until_done()

    assert world.jwt() == jwt


async def test_s22_healing_backs_off_from_somebody_who_keeps_changing_the_secret(world):
    await world.issue()
    pauses = []

    for _ in range(5):
        edit_the_token(world)
        outcome = await world.reconcile()
        pauses.append(outcome.requeue_after or 0.0)
        world.clock.advance(outcome.requeue_after or 0.0)
        await world.reconcile()
        assert (await world.reconcile()).requeue_after is None

    assert pauses == [0.0, 0.0, 1.0, 2.0, 4.0]


async def test_a_secret_that_was_left_alone_for_long_is_healed_at_once_again(world):
    await world.issue(ttl="24h")
    for _ in range(3):
        edit_the_token(world)
        world.clock.advance((await world.reconcile()).requeue_after or 0.0)
        await world.reconcile()
    world.clock.advance(600)

    edit_the_token(world)

    assert (await world.reconcile()).requeue_after is None
