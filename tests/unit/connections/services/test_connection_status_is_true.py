"""The status says that a connection token works if and only if the exchange accepts it, in all states."""

import asyncio
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tallystick.connections.domain.validity import why_connection_invalid
from tallystick.schema.times import rfc3339
from tests.builders import UID
from tests.fakes import NOON
from tests.worlds.connection_world import ConnectionWorld

Json = dict[str, Any]

HOUR = timedelta(hours=1)

changes = st.fixed_dictionaries(
    {
        "slots": st.sampled_from((("a",), ("a", "b"), ("b",), ("b", "c"))),
        "license": st.sampled_from((None, timedelta(0), HOUR, 3 * HOUR)),
        "later": st.sampled_from((timedelta(0), HOUR, 2 * HOUR, timedelta(days=400))),
        "extended": st.booleans(),
        "deleting": st.booleans(),
    }
)


async def changed(facts: Json) -> ConnectionWorld:
    """Issue two tokens; then edit the slots and the license, let time pass, and delete the object."""
    world = ConnectionWorld()
    await world.issue("a", "b")
    end = rfc3339(NOON + facts["license"]) if facts["license"] is not None else None
    world.edit(tokens=[{"name": name} for name in facts["slots"]], licenseExpiresAt=end)
    await world.reconcile_until_done()
    world.clock.advance(facts["later"].total_seconds())
    if facts["extended"] and end is not None:
        await world.reconcile_until_done()
        world.edit(licenseExpiresAt=rfc3339(NOON + timedelta(days=800)))
    if facts["deleting"]:
        world.start_deleting()
    await world.reconcile_until_done()
    return world


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(changes)
def test_q_a_status_says_exactly_what_the_exchange_answers(facts):
    world = asyncio.run(changed(facts))

    found, now = world.connection(), world.clock.now()
    valid = {
        token.token_id
        for token in found.status.tokens
        if why_connection_invalid(found, uid=UID, serial=token.serial, token_id=token.token_id, now=now) is None
    }
    held = world.values()
    assert {token.token_id for token in found.status.tokens if token.state == "Active"} == valid
    assert found.status.active_tokens == len(valid)
    assert (found.status.current_token_id in valid) is bool(valid)
    assert world.said()["Ready"] == (str(bool(valid)), world.said()["Ready"][1])
    assert (world.said()["Ready"][1] == "Issued") is bool(valid)
    assert len([key for key in held if key.startswith("token.")]) == len(valid), "a Secret holds no dead value"
    if facts["deleting"]:
        assert (world.said()["Ready"], world.secret()) == (("False", "ConfigurationDeleted"), None)
