"""The status says that a token works if and only if the exchange accepts it, in all states of both kinds."""

import asyncio
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tallystick.pairing.api.master_token import MASTER_TOKENS
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS
from tallystick.pairing.domain.redemption import Presented, Redeem, decide
from tallystick.pairing.domain.tokens import pairing_token_id
from tallystick.pairing.domain.validity import why_master_invalid
from tallystick.schema.times import rfc3339
from tests.builders import MASTER_TOKEN_ID, UID, a_redemption, raw_master_token
from tests.fakes import NOON
from tests.worlds.world import NAME, NAMESPACE, World

Json = dict[str, Any]

DAY = 86_400
SECONDS = (0, 59, 61, 299, 300, DAY, 366 * DAY)
STATES = (None, "Active", "Used", "Expired", "Revoked")
MASTERS = (None, "new", "Active", "revoked in spec", "Revoked", "Expired", "deleting")
WORKS = ("can be redeemed once", "was redeemed; see", "is valid until")

worlds = st.fixed_dictionaries(
    {
        "state": st.sampled_from(STATES),
        "revoked": st.booleans(),
        "raised": st.booleans(),
        "deleting": st.booleans(),
        "policy": st.sampled_from(("Revoke", "Retain")),
        "master": st.sampled_from(MASTERS),
        "seconds": st.sampled_from(SECONDS),
    }
)


async def a_world(facts: Json) -> World:
    """Issue serial 1 and store its end and its MasterToken; then raise, revoke or delete, and let time pass."""
    world, state = World(), facts["state"]
    policy = {"masterToken": {"deletionPolicy": facts["policy"]}}
    if state is None:
        world.apply(**policy)
    else:
        await world.issue(**policy)
    world.cluster.edit(PAIRING_TOKENS, NAMESPACE, NAME, lambda body: _change(body, facts))
    if facts["master"] is not None:
        world.cluster.put(MASTER_TOKENS, _master(facts))
    world.clock.advance(facts["seconds"])
    return world


def _change(body: Json, facts: Json) -> None:
    state = facts["state"]
    if state is not None:
        body["status"]["state"] = state
    if state == "Used":
        body["status"] |= {"usedTime": rfc3339(NOON), "redemption": a_redemption()}
    if state == "Revoked":
        body["status"]["revokedThrough"] = 1
    body["spec"] |= {"revoked": facts["revoked"], "serial": 2 if facts["raised"] else 1}
    if facts["deleting"]:
        body["metadata"]["deletionTimestamp"] = rfc3339(NOON)


def _master(facts: Json) -> Json:
    master = facts["master"]
    return raw_master_token(
        deletionPolicy=facts["policy"],
        revoked=master == "revoked in spec",
        deleting=master == "deleting",
        status={"state": master} if master in ("Active", "Revoked", "Expired") else None,
    )


async def recorded(facts: Json) -> World:
    """Let the controller take all its steps, as the work queue does."""
    world = await a_world(facts)
    await world.reconcile_until_done()
    if world.masters():
        await world.reconcile_master()
    await world.reconcile_until_done()
    return world


def said(conditions: Any) -> tuple[bool, str, str]:
    """Whether Ready is True, and the reason and message of the condition that comes first."""
    ready = any(one.type == "Ready" and one.status == "True" for one in conditions)
    return ready, conditions[0].reason, conditions[0].message


@example(
    {
        **dict.fromkeys(("revoked", "raised", "deleting"), False),
        "policy": "Revoke",
        "state": "Used",
        "master": "Revoked",
        "seconds": 61,
    }
)
@example(
    {
        **dict.fromkeys(("revoked", "raised"), False),
        "deleting": True,
        "policy": "Retain",
        "state": "Active",
        "master": None,
        "seconds": 0,
    }
)
@example(
    {
        **dict.fromkeys(("revoked", "raised"), False),
        "deleting": True,
        "policy": "Revoke",
        "state": "Active",
        "master": None,
        "seconds": 0,
    }
)
@example(
    {
        **dict.fromkeys(("revoked", "raised", "deleting"), False),
        "policy": "Revoke",
        "state": "Used",
        "master": None,
        "seconds": 61,
    }
)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(worlds)
def test_q_a_status_says_exactly_what_the_exchange_answers(facts):
    world = asyncio.run(recorded(facts))

    token, now = world.token(), world.clock.now()
    serial = token.spec.serial
    expires = token.status.expiration_time or NOON + timedelta(seconds=300)
    presented = Presented(pairing_token_id(UID, serial), UID, serial, int(expires.timestamp()), None)
    redeemable = isinstance(decide(token, presented, now=now), Redeem)
    ready, reason, message = said(token.status.conditions)
    assert redeemable is (token.status.state == "Active")
    assert redeemable is (reason == "Issued")
    assert redeemable is ("can be redeemed" in message.replace("cannot", ""))
    assert redeemable is (world.secret() is not None), "a Secret holds no dead value"
    assert ready is (reason in ("Issued", "Paired"))
    assert any(text in message for text in WORKS) is ready
    if token.metadata.deletion_timestamp is not None:
        assert (ready, reason) == (False, "Deleted")
    _compare_master(world, paired=reason == "Paired")


def _compare_master(world: World, *, paired: bool) -> None:
    token, now, valid = world.token(), world.clock.now(), False
    for master in world.masters():
        problem = why_master_invalid(master, token, uid=master.metadata.uid, token_id=master.spec.token_id, now=now)
        valid = problem is None
        ready, reason, _ = said(master.status.conditions)
        assert valid is (master.status.state == "Active") is ready is (reason == "Active")
    if paired:
        first_minute = now - NOON <= timedelta(seconds=60)
        assert valid or (first_minute and not world.masters()), "no trust is reported that the exchange rejects"
    elif token.status.state == "Used" and token.metadata.deletion_timestamp is None:
        assert not valid
    assert all(master.spec.token_id == MASTER_TOKEN_ID for master in world.masters())
