"""The Secret of an Active token comes back as it was issued, and only while it may: S3, S22."""

import pytest

from tallystick.pairing.api.pairing_token import PAIRING_TOKENS
from tallystick.schema.builtin import SECRETS
from tests.builders import OTHER_UID, a_key, a_keyring, a_policy
from tests.worlds.damages import delete
from tests.worlds.world import NAME, NAMESPACE, SECRET


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


async def test_s24_nothing_is_healed_for_an_owner_that_was_re_created(world):
    await world.issue()
    delete(world)
    world.watch()
    world.cluster.remove(PAIRING_TOKENS, NAMESPACE, NAME)
    world.apply(uid=OTHER_UID)

    await world.reconcile(watched=False)

    assert world.token().metadata.uid == OTHER_UID
    assert world.token().status.token_id != world.audit.lines[0].facts["token_id"]


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


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lose_the_key, "SigningKeyMissing"),
        (rename_the_issuer, "ClaimsChanged"),
        (drop_the_use_case, "UnknownUseCase"),
    ],
)
async def test_s3_a_secret_that_cannot_be_signed_again_as_it_was_is_not_healed(world, change, reason):
    await world.issue()
    delete(world)

    change(world)
    world.restart()
    await world.reconcile()

    assert world.secret() is None
    assert (world.token().status.state, world.ready(), world.is_stalled()) == (
        "Active",
        ("False", reason),
        True,
    )


async def test_q_a_token_whose_use_case_is_gone_is_not_reported_as_ready_until_it_is_back(world):
    await world.issue()
    offered = world.policy
    drop_the_use_case(world)
    world.restart()
    await world.reconcile()
    gone = world.ready(), world.secret() is not None

    world.policy = offered
    world.restart()
    await world.reconcile()

    assert gone == (("False", "UnknownUseCase"), True)
    assert world.ready() == ("True", "Issued")


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
