"""Tokens of a ConnectionConfiguration: three writes each, never twice, and the Secret says what is on record."""

from datetime import timedelta

import pytest

from tallystick.connections.api.connection_configuration import CONNECTION_CONFIGURATIONS
from tallystick.connections.domain.tokens import CONNECTION, connection_token_id
from tallystick.crypto.tokens import verify
from tallystick.schema.builtin import SECRETS
from tests.builders import ISSUER, UID, a_key, a_keyring
from tests.fakes import NOON
from tests.worlds.connection_world import NAME, NAMESPACE, SECRET, STANDING, ConnectionWorld, slots

STATUS = ("replace_status", "connectionconfigurations")
ISSUE = [STATUS, ("create", "secrets"), STATUS]
MINT_INTO_A_SECRET = [STATUS, ("replace", "secrets"), STATUS]
REVOKE = [STATUS, ("replace", "secrets")]


@pytest.fixture
def world() -> ConnectionWorld:
    return ConnectionWorld()


def jti(slot, serial):
    return connection_token_id(UID, slot, serial)


# Issuing.


async def test_r15_the_first_token_costs_three_writes_and_no_read(world):
    world.apply()

    outcome = await world.reconcile()

    assert [(call.verb, call.plural) for call in world.cluster.calls] == ISSUE
    assert (outcome.requeue_after, outcome.requeue_at) == (None, NOON + timedelta(hours=4380, seconds=1))


async def test_an_issued_token_is_on_record(world):
    world.apply()

    await world.reconcile()

    status, (token,) = world.connection().status, world.connection().status.tokens
    assert (token.slot, token.serial, token.token_id, token.state) == ("default", 1, jti("default", 1), "Active")
    assert (token.issued_time, token.key_id, token.not_after) == (NOON, a_key().key_id, None)
    assert (status.last_serial, status.active_tokens, status.current_token_id) == (1, 1, token.token_id)
    assert (status.observed_generation, world.said()) == (1, {"Ready": ("True", "Issued")})
    assert world.message() == (
        f"Secret {NAMESPACE}/{SECRET} holds the token of slot default; to issue a new one, add a slot to spec.tokens"
    )
    (line,) = world.audit.lines
    assert (line.action, line.outcome, line.facts) == (
        "issue",
        "ok",
        {
            "kind": "ConnectionConfiguration",
            "namespace": NAMESPACE,
            "name": NAME,
            "uid": UID,
            "serial": 1,
            "token_id": token.token_id,
            "kid": a_key().key_id,
        },
    )
    assert world.events.warnings == []


async def test_the_plan_is_stored_before_the_secret_and_the_secret_before_the_token_counts(world):
    world.apply()
    seen = []
    world.cluster.before_next("create", "secrets", lambda: seen.append((world.tokens(), world.said())))

    await world.reconcile()

    said = {"Ready": ("False", "Issuing"), "Reconciling": ("True", "Issuing")}
    assert seen == [([("default", 1, "Pending")], said)]


async def test_the_secret_holds_tokens_that_verify_and_never_expire(world):
    values = await world.issue(deploymentType="ReverseProxy")

    verified = verify(
        values["token"], a_keyring(), profile=CONNECTION, issuer=ISSUER, now=NOON + timedelta(days=36_500)
    )
    assert values == {
        **STANDING,
        "deployment-type": "ReverseProxy",
        "token": values["token.default"],
        "token.default": values["token"],
        "token-id": jti("default", 1),
    }
    assert dict(verified.claims) == {
        "iss": ISSUER,
        "aud": ISSUER,
        "sub": f"connection:{NAMESPACE}/{NAME}",
        "scope": "protector",
        "iat": int(NOON.timestamp()),
        "jti": jti("default", 1),
        "deployment_type": "ReverseProxy",
        "tallystick": {
            "kind": "ConnectionConfiguration",
            "ns": NAMESPACE,
            "name": NAME,
            "uid": UID,
            "serial": 1,
        },
    }


async def test_two_slots_from_the_start_get_two_tokens_at_the_cost_of_one(world):
    world.apply(tokens=slots("blue", "green"))

    await world.reconcile()

    assert world.writes() == ISSUE
    assert world.tokens() == [("green", 2, "Active"), ("blue", 1, "Active")]
    assert [facts["token_id"] for facts in world.decisions("issue")] == [jti("blue", 1), jti("green", 2)]


async def test_r18_no_value_of_a_token_is_in_status_audit_or_events(world):
    await world.issue("blue", "green")
    world.beat("press-1", 2)
    world.set_slots("blue")
    values = world.values()
    await world.reconcile()

    reported = f"{world.connection().status.to_json()} {world.audit.lines} {world.events.warnings}"

    for key in ("token.blue", "token.green"):
        assert values[key] not in reported
        assert values[key].split(".")[2] not in reported


async def test_a_secret_name_of_ones_own_is_used(world):
    world.apply(secretName="trust")

    await world.reconcile()

    assert [body["metadata"]["name"] for body in world.cluster.all(SECRETS)] == ["trust"]
    assert world.message().startswith(f"Secret {NAMESPACE}/trust holds ")


# Nothing to do.


async def test_a_metadata_edit_and_another_order_of_slots_make_no_token(world):
    values = await world.issue("blue", "green")

    world.cluster.edit(
        CONNECTION_CONFIGURATIONS, NAMESPACE, NAME, lambda body: body["metadata"].update(labels={"team": "a"})
    )
    await world.reconcile()
    labelled = world.writes()
    world.set_slots("green", "blue")
    await world.reconcile()

    assert labelled == []
    assert (world.writes(), world.values()) == ([STATUS], values)
    assert world.connection().status.observed_generation == 2


# Adding and removing slots.


async def test_r25_an_added_slot_is_the_one_to_copy_and_the_old_token_stays_as_it_was(world):
    before = await world.issue("blue")
    world.clock.advance(100)

    world.set_slots("blue", "green")
    await world.reconcile()

    values = world.values()
    assert world.writes() == MINT_INTO_A_SECRET
    assert world.tokens() == [("green", 2, "Active"), ("blue", 1, "Active")]
    assert (values["token.blue"], values["token"]) == (before["token"], values["token.green"])
    assert values["token-id"] == world.connection().status.current_token_id == jti("green", 2)
    assert world.secret()["metadata"]["labels"]["tallystick.dev/token-id"] == jti("green", 2)
    assert world.message() == (
        f"2 tokens are active. Register the token of slot green (Secret {NAMESPACE}/{SECRET}, key token) on all "
        "instances. Then remove slot blue from spec.tokens to revoke the old token. No instance reports that it "
        "uses it."
    )
    assert ("heal", "ok") not in world.audit.decisions()


async def test_r28_revoking_the_newest_brings_the_token_to_copy_back_to_the_one_before(world):
    before = await world.issue("blue")
    world.set_slots("blue", "green")
    await world.reconcile()
    world.writes()

    world.set_slots("blue")
    await world.reconcile()

    assert world.writes() == REVOKE
    assert world.values() == before
    assert world.tokens() == [("blue", 1, "Active"), ("green", 2, "Revoked")]
    (revoked,) = world.decisions("revoke")
    assert (revoked["token_id"], revoked["serial"], revoked["reason"]) == (jti("green", 2), 2, "Manual")
    assert ("heal", "ok") not in world.audit.decisions()


async def test_r30_the_old_token_is_revoked_alone(world):
    values = await world.issue("blue", "green")
    world.clock.advance(60)

    world.set_slots("green")
    await world.reconcile()

    old = world.token_of("blue")
    assert (old.state, old.reason, old.revoked_time) == ("Revoked", "Manual", world.clock.now())
    assert world.values() == {key: value for key, value in values.items() if key != "token.blue"}
    assert world.events.warnings == []


async def test_r26_one_edit_revokes_one_and_generates_another(world):
    await world.issue("blue", "green")

    world.set_slots("green", "red")
    await world.reconcile()

    assert world.writes() == MINT_INTO_A_SECRET
    assert world.tokens() == [("red", 3, "Active"), ("green", 2, "Active"), ("blue", 1, "Revoked")]
    assert world.values().keys() == {"token", "token.green", "token.red", "token-id", *STANDING}


async def test_a_name_that_comes_back_gets_another_token(world):
    await world.issue("blue", "green")
    old = world.values()["token.green"]
    world.set_slots("blue")
    await world.reconcile()

    world.set_slots("blue", "green")
    await world.reconcile()

    assert world.tokens() == [("green", 3, "Active"), ("blue", 1, "Active"), ("green", 2, "Revoked")]
    assert world.values()["token.green"] != old
    assert world.connection().status.last_serial == 3


async def test_r33_the_last_three_that_were_revoked_are_shown(world):
    await world.issue("keep", "s1")
    for number in range(2, 6):
        world.clock.advance(1)
        world.set_slots("keep", f"s{number}")
        await world.reconcile()

    assert world.tokens() == [
        ("s5", 6, "Active"),
        ("keep", 1, "Active"),
        ("s4", 5, "Revoked"),
        ("s3", 4, "Revoked"),
        ("s2", 3, "Revoked"),
    ]
    assert [facts["serial"] for facts in world.decisions("revoke")] == [2, 3, 4, 5]


async def test_edits_between_two_steps_are_all_carried_out(world):
    world.apply()
    world.cluster.before_next("create", "secrets", lambda: world.set_slots("default", "next"))

    await world.reconcile_until_done()
    await world.reconcile()

    assert world.tokens() == [("next", 2, "Active"), ("default", 1, "Active")]
