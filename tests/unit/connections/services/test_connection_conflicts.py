"""A Secret that is another user's is never touched, and one that cannot be signed again is not invented (S3, S22)."""

import base64

import pytest

from tallystick.connections.domain import tokens
from tallystick.schema.builtin import SECRETS
from tests.builders import a_key, a_keyring
from tests.worlds.connection_world import NAMESPACE, SECRET, ConnectionWorld
from tests.worlds.damages import (
    delete,
    edit_secret,
)

STATUS = ("replace_status", "connectionconfigurations")


@pytest.fixture
def world() -> ConnectionWorld:
    return ConnectionWorld()


# Somebody else's.


@pytest.mark.parametrize("labelled", [True, False], ids=["labelled", "plain"])
async def test_s22_a_conflict_costs_the_plan_and_a_status_and_the_token_stays_pending(world, labelled):
    labels = {"tallystick.dev/kind": "ConnectionConfiguration"} if labelled else {}
    world.cluster.put(SECRETS, {"metadata": {"name": SECRET, "namespace": NAMESPACE, "labels": labels}})
    world.apply()

    await world.reconcile()
    written = world.writes()
    await world.reconcile()

    assert world.tokens() == [("default", 1, "Pending")]
    # What carries no label of ours is seen only when our own is refused.
    tried = [] if labelled else [("create", "secrets")]
    assert (written, world.writes()) == ([STATUS, *tried, STATUS], tried)


async def test_a_conflict_ends_when_the_foreign_secret_is_gone_with_the_token_that_was_planned(world):
    world.cluster.put(SECRETS, {"metadata": {"name": SECRET, "namespace": NAMESPACE}})
    world.apply()
    await world.reconcile()

    delete(world)
    world.clock.advance(3600)
    world.restart()
    await world.reconcile()

    assert world.tokens() == [("default", 1, "Active")]
    assert world.said() == {"Ready": ("True", "Issued")}


async def test_a_conflict_in_the_place_of_an_issued_secret_ends_with_the_same_tokens(world):
    values = await world.issue("blue", "green")
    edit_secret(world, lambda body: body["metadata"].update(ownerReferences=[]))
    disowned = world.secret()

    await world.reconcile()
    untouched, conflict = world.secret() == disowned, world.said()["Ready"]
    delete(world)
    await world.reconcile()

    assert (untouched, conflict) == (True, ("False", "SecretConflict"))
    assert world.tokens() == [("green", 2, "Active"), ("blue", 1, "Active")]
    assert (world.values(), world.said()) == (values, {"Ready": ("True", "Issued")})


async def test_a_license_ends_and_a_slot_is_revoked_in_the_middle_of_a_conflict(world):
    await world.issue("blue", "green", licenseExpiresAt="2030-01-01T13:00:00Z")
    delete(world)
    world.cluster.put(SECRETS, {"metadata": {"name": SECRET, "namespace": NAMESPACE}})
    conflict = await world.reconcile()

    world.set_slots("green")
    await world.reconcile()
    revoked = world.token_of("blue").reason
    world.clock.advance(3600)
    await world.reconcile()

    assert conflict.requeue_at == world.token_of("green").not_after
    assert (revoked, world.token_of("green").reason) == ("Manual", "LicenseExpired")


# What cannot be signed again as it was (S3).


def lose_the_key(world):
    world.keys.held = a_keyring("second")


def rename_the_issuer(world):
    world.issuer = world.base_url = "https://moved.example.com"


@pytest.mark.parametrize(
    ("change", "reason", "again"),
    [(lose_the_key, "SigningKeyMissing", None), (rename_the_issuer, "ClaimsChanged", 10.0)],
)
async def test_s3_a_token_that_cannot_be_signed_again_as_it_was_is_not_healed(world, change, reason, again):
    await world.issue()
    delete(world)

    change(world)
    world.restart()
    outcome = await world.reconcile()

    assert ("token" in world.values(), "token.default" in world.values(), outcome.requeue_after) == (
        False,
        False,
        again,
    )
    assert world.tokens() == [("default", 1, "Active")]
    assert world.said() == {"Ready": ("False", reason), "Stalled": ("True", reason)}
    assert world.events.reasons() == [reason]
    assert world.audit.decisions()[-1] == ("refuse", "stalled")


async def test_s3_it_is_healed_when_the_keys_are_as_they_were(world):
    values = await world.issue()
    delete(world)
    lose_the_key(world)
    await world.reconcile()

    world.keys.held = a_keyring("first", "second")
    await world.reconcile()

    assert (world.values(), world.said()) == (values, {"Ready": ("True", "Issued")})
    assert world.token_of("default").key_id == a_key("first").key_id


async def test_s3_tokens_that_cannot_be_signed_again_are_left_alone_while_the_secret_holds_them(world, monkeypatch):
    values = await world.issue("blue", "green")
    status = world.connection().status

    monkeypatch.setattr(tokens, "CONNECTION_SCOPE", "another")
    world.restart()
    outcome = await world.reconcile()

    assert (world.values(), world.connection().status, outcome.requeue_after) == (values, status, None)
    assert world.writes() == []


@pytest.mark.parametrize(("slot", "other"), [("blue", "green"), ("green", "blue")])
async def test_s3_what_the_secret_has_lost_is_said_and_what_it_still_holds_stays(world, monkeypatch, slot, other):
    values = await world.issue("blue", "green")
    forged = base64.b64encode(b"forged").decode()
    edit_secret(world, lambda body: body["data"].update({f"token.{slot}": forged}))

    monkeypatch.setattr(tokens, "CONNECTION_SCOPE", "another")
    world.restart()
    await world.reconcile()

    held = {name: value for name, value in world.values().items() if name == "token" or name.startswith("token.")}
    assert world.said()["Ready"] == ("False", "ClaimsChanged")
    assert f"no longer holds the token of slot {slot}. " in world.message()
    assert held == dict.fromkeys(("token", f"token.{other}"), values[f"token.{other}"])


async def test_s3_the_token_to_copy_is_put_back_from_the_one_of_its_slot(world, monkeypatch):
    values = await world.issue("blue", "green")
    forged = base64.b64encode(b"forged").decode()
    edit_secret(world, lambda body: body["data"].update({"token": forged}))

    monkeypatch.setattr(tokens, "CONNECTION_SCOPE", "another")
    world.restart()
    await world.reconcile()

    assert (world.values(), world.said()["Ready"]) == (values, ("True", "Issued"))


async def test_s3_the_way_out_that_the_text_names_leads_out(world, monkeypatch):
    """A slot can only be replaced once the one beside it is Active (R31)."""
    await world.issue("old")
    monkeypatch.setattr(tokens, "CONNECTION_SCOPE", "another")
    world.restart()

    world.set_slots("old", "new")
    await world.reconcile()

    assert world.token_of("new").state == "Active"
