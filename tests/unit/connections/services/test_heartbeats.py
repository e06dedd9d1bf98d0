"""Heartbeats: which token is good where, how a refusal is reported, and how little is written (R14, R23, R39, S15)."""

from datetime import timedelta

import pytest

from tallystick.connections.api.connection_configuration import CONNECTION_CONFIGURATIONS, DeploymentType
from tallystick.connections.domain.heartbeat_records import LastSeen
from tallystick.connections.domain.instance_maps import stored_records
from tallystick.connections.services.heartbeats import (
    NOT_A_CONNECTION_TOKEN,
    NOT_HERE,
    Heartbeat,
    HeartbeatRefusedError,
    Heartbeats,
)
from tallystick.connections.services.instance_log import InstanceLog
from tallystick.connections.services.issuing import ConnectionIssuer
from tallystick.connections.services.token_use import ConnectionAuthorizer
from tallystick.errors import NotYetError
from tallystick.objects.context import Context
from tallystick.objects.fresh_reader import FreshReader
from tallystick.objects.ports import UnavailableError
from tallystick.objects.server_clock import ServerClock
from tallystick.schema.builtin import CONFIG_MAPS
from tallystick.schema.times import rfc3339
from tallystick.tokens.signer import Signer
from tests.builders import ISSUER, HeldKeys
from tests.fakes import NOON, FakeClock, FakeCluster, MemoryAudit, MemoryEvents
from tests.worlds import connected as connections
from tests.worlds.connected import connected
from tests.worlds.world import World

KUBERNETES, REVERSE_PROXY = DeploymentType.KUBERNETES, DeploymentType.REVERSE_PROXY
OWN = "tallystick-system"


class Place:
    """One replica that takes heartbeats."""

    def __init__(self):
        self.clock, self.audit, self.events, self.keys = FakeClock(), MemoryAudit(), MemoryEvents(), HeldKeys()
        self.cluster = FakeCluster(clock=self.clock)
        signer = Signer(self.keys, ISSUER)
        self.issuer = ConnectionIssuer(signer, ISSUER)
        self.server_clock = ServerClock(self.clock)
        ctx = Context(self.clock, self.server_clock, self.audit, self.events)
        authorizer = ConnectionAuthorizer(FreshReader(self.cluster, self.clock, max_staleness=1.0), ctx)
        self.instances = InstanceLog(self.cluster, self.clock, MemoryEvents(), namespace=OWN, replica="one")
        self.heartbeats = Heartbeats(signer, authorizer, self.instances, ctx)

    def connected(self, **changes):
        return connected(self.cluster, self.issuer, self.clock.now(), **changes)

    async def beat(self, jwt, instance="press-1", *, at=("edge", "dc-west"), used_in=KUBERNETES):
        await self.heartbeats.take(Heartbeat(jwt, *at, instance, used_in, "192.0.2.7"))

    async def refusal(self, jwt, **changes):
        with pytest.raises(HeartbeatRefusedError) as refused:
            await self.beat(jwt, **changes)
        return refused.value

    async def seen(self):
        """What is stored of the instances, by the uid of their configuration."""
        await self.instances.store()
        body = self.cluster.peek(CONFIG_MAPS, OWN, "tallystick-instances-one")
        return {uid: dict(record.heartbeats.last_seen) for uid, record in stored_records(body or {}).items()}


@pytest.fixture
def place():
    return Place()


async def test_a_heartbeat_says_which_instance_uses_which_token(place):
    made = place.connected(slots=("old", "new"))

    await place.beat(made.jwts["old"], "press-1")
    await place.beat(made.jwts["new"], "press-2")

    seen = int(NOON.timestamp())
    assert await place.seen() == {made.uid: {"press-1": LastSeen(1, seen), "press-2": LastSeen(2, seen)}}


async def test_only_what_is_new_is_written_into_the_audit_log(place):
    made = place.connected(slots=("old", "new"))

    for slot in ("old", "old", "old", "new", "new"):
        await place.beat(made.jwts[slot])
        place.clock.advance(15)

    assert place.audit.decisions() == [("heartbeat", "ok")] * 2
    assert [line.facts["serial"] for line in place.audit.lines] == [1, 2]
    assert place.audit.lines[0].facts == {
        "kind": "ConnectionConfiguration",
        "namespace": "edge",
        "name": "dc-west",
        "uid": made.uid,
        "serial": 1,
        "token_id": made.token_ids["old"],
        "instance": "press-1",
        "source": "192.0.2.7",
    }


async def test_heartbeats_write_nothing_and_share_a_reading(place):
    made = place.connected()
    place.cluster.calls.clear()

    for number in range(1000):
        await place.beat(made.jwts["default"], f"press-{number}")

    assert [(call.verb, call.plural) for call in place.cluster.calls] == [("get", "connectionconfigurations")]


# What is no connection token.


@pytest.mark.parametrize("unverified", ["", "garbage", "a.b.c", "x" * 9000], ids=["none", "a word", "dots", "long"])
async def test_garbage_is_refused_and_costs_no_api_call(place, unverified):
    refused = await place.refusal(unverified)

    assert (refused.code, refused.description, refused.verified) == ("invalid_token", NOT_A_CONNECTION_TOKEN, False)
    assert place.cluster.calls == []
    assert place.audit.lines == []


async def test_a_forged_token_gets_the_answer_of_garbage(place):
    header, payload, _ = place.connected().jwts["default"].split(".")
    place.cluster.calls.clear()

    refused = await place.refusal(f"{header}.{payload}.{'A' * 86}")

    assert (refused.code, refused.description, refused.verified) == ("invalid_token", NOT_A_CONNECTION_TOKEN, False)
    assert place.cluster.calls == []


@pytest.mark.parametrize("kind", ["pairing", "master"])
async def test_a_good_token_of_another_kind_is_no_connection_token(place, kind):
    world = World(keys=place.keys)
    jwt = await world.issue()
    if kind == "master":
        jwt = (await world.replica().redeem(jwt)).signed_jwt

    refused = await place.refusal(jwt, at=("edge", "press-1"))

    assert (refused.code, refused.description, refused.verified) == ("invalid_token", NOT_A_CONNECTION_TOKEN, False)


# Where it is good.


@pytest.mark.parametrize("at", [("edge", "dc-east"), ("core", "dc-west"), ("dc-west", "edge"), ("", "")], ids="/".join)
async def test_s15_at_the_path_of_another_configuration_it_is_not_found(place, at):
    made = place.connected()
    place.connected(name="dc-east")
    place.connected(namespace="core")
    place.cluster.calls.clear()

    refused = await place.refusal(made.jwts["default"], at=at)

    assert (refused.code, refused.description, refused.verified) == ("not_found", NOT_HERE, True)
    assert place.cluster.calls == []
    assert await place.seen() == {}
    assert place.audit.lines[-1].facts["reason"] == "not_found"


@pytest.mark.parametrize(("issued_for", "used_in"), [(KUBERNETES, REVERSE_PROXY), (REVERSE_PROXY, KUBERNETES)])
async def test_r39_r41_in_another_deployment_type_it_is_refused_with_the_reason(place, issued_for, used_in):
    made = place.connected(deploymentType=issued_for.value)

    refused = await place.refusal(made.jwts["default"], used_in=used_in)

    text = (
        f"token {made.token_ids['default']} was issued for deployment type {issued_for.value} "
        f"and cannot be used in {used_in.value}"
    )
    assert (refused.code, refused.description, refused.verified) == ("deployment_type_mismatch", text, True)
    assert [(event.reason, event.name, event.message) for event in place.events.warnings] == [
        ("DeploymentTypeMismatch", "dc-west", text)
    ]
    assert await place.seen() == {}
    assert place.audit.decisions() == [("heartbeat", "refused")]


# When it is good no more.


REVOKED = "token {} has been revoked"
PAST = rfc3339(NOON)


@pytest.mark.parametrize(
    ("end", "text"),
    [
        pytest.param(connections.going, REVOKED, id="the object is going"),
        pytest.param(lambda c: connections.record(c, "old", state="Revoked"), REVOKED, id="revoked in status"),
        pytest.param(lambda c: connections.order(c, tokens=[{"name": "new"}]), REVOKED, id="its slot was removed"),
        pytest.param(connections.gone, "the token is not valid", id="the object is gone"),
        pytest.param(connections.made_again, "the token is not valid", id="the object was made anew"),
        pytest.param(
            lambda c: connections.order(c, licenseExpiresAt=PAST),
            "the license of edge/dc-west expired at 2030-01-01T12:00:00Z",
            id="the licence is over",
        ),
    ],
)
async def test_s7_with_the_controller_stopped_a_token_is_refused_when(place, end, text):
    made = place.connected(slots=("old", "new"))
    await place.beat(made.jwts["new"])
    place.clock.advance(1.001)

    end(place.cluster)
    refused = await place.refusal(made.jwts["old"], instance="press-2")

    assert (refused.code, refused.verified) == ("invalid_token", True)
    assert refused.description == text.format(made.token_ids["old"])
    assert [list(seen) for seen in (await place.seen()).values()] == [["press-1"]]


async def test_what_is_over_in_another_deployment_type_raises_no_event(place):
    """Else whoever keeps a revoked token could write events about its object for ever."""
    made = place.connected()
    connections.going(place.cluster)

    refused = await place.refusal(made.jwts["default"], used_in=REVERSE_PROXY)

    assert refused.code == "invalid_token"
    assert place.events.warnings == []


async def test_a_revocation_is_obeyed_within_a_second(place):
    made = place.connected(slots=("old", "new"))
    await place.beat(made.jwts["old"])
    connections.order(place.cluster, tokens=[{"name": "new"}])

    place.clock.advance(1.0)
    await place.beat(made.jwts["old"])
    place.clock.advance(0.001)

    assert (await place.refusal(made.jwts["old"])).code == "invalid_token"


async def test_a_license_ends_at_that_very_second_whatever_was_read_before(place):
    made = place.connected(licenseExpiresAt=rfc3339(NOON + timedelta(seconds=10)))
    place.clock.advance(9.5)
    await place.beat(made.jwts["default"])

    place.clock.advance(0.5)

    assert (await place.refusal(made.jwts["default"])).code == "invalid_token"


async def test_a_token_that_is_newer_than_what_was_read_is_read_again_and_taken(place):
    """It was minted since: the reading that is shared does not know it yet."""
    made = place.connected(slots=("old", "new"))
    issued = place.cluster.peek(CONNECTION_CONFIGURATIONS, "edge", "dc-west")["status"]
    before = {**issued, "lastSerial": 1, "tokens": [one for one in issued["tokens"] if one["slot"] == "old"]}
    place.cluster.edit(CONNECTION_CONFIGURATIONS, "edge", "dc-west", lambda body: body.update(status=before))
    await place.beat(made.jwts["old"])
    place.cluster.edit(CONNECTION_CONFIGURATIONS, "edge", "dc-west", lambda body: body.update(status=issued))

    await place.beat(made.jwts["new"])

    assert place.audit.decisions() == [("heartbeat", "ok")] * 2


async def test_what_cannot_be_known_is_not_guessed(place):
    made = place.connected()
    place.cluster.fail_next("get", "connectionconfigurations", UnavailableError("down", retry_after=3.0))

    with pytest.raises(NotYetError) as refusal:
        await place.beat(made.jwts["default"])

    assert refusal.value.retry_after == 3
    assert place.audit.lines == []


async def test_a_replica_whose_clock_is_off_does_not_judge(place):
    made = place.connected()
    place.server_clock.observe(NOON.replace(year=2029))

    with pytest.raises(NotYetError) as refusal:
        await place.beat(made.jwts["default"])
    assert refusal.value.reason == "clock_unsafe"


async def test_while_the_keys_are_not_known_nothing_is_said_of_any_token(place):
    made = place.connected()
    place.keys.held = None

    with pytest.raises(NotYetError):
        await place.beat(made.jwts["default"])


async def test_s19_an_instance_beyond_the_bound_is_served_and_not_written_down(place):
    made = place.connected()

    for number in range(1001):
        await place.beat(made.jwts["default"], f"press-{number}")

    assert len((await place.seen())[made.uid]) == 1000
    assert len(place.audit.lines) == 1000
