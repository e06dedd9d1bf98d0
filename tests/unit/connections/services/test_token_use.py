"""What a connection token is now and where it may be used: one judgement for every endpoint (R38-R41, S7, S24)."""

from datetime import timedelta

import pytest

from tallystick.connections.api.connection_configuration import DeploymentType
from tallystick.connections.domain.tokens import CONNECTION
from tallystick.connections.services.issuing import ConnectionIssuer
from tallystick.connections.services.token_use import NOT_EXCHANGED, ConnectionAuthorizer, judges, rejection_text
from tallystick.errors import ExchangeRefusedError, NotYetError
from tallystick.objects.context import Context
from tallystick.objects.fresh_reader import FreshReader
from tallystick.objects.ports import UnavailableError
from tallystick.objects.server_clock import ServerClock
from tallystick.pairing.domain.tokens import PAIRING
from tallystick.registry import TOKEN_TYPES
from tallystick.schema.builtin import SECRETS
from tallystick.schema.times import rfc3339
from tallystick.tokens.signer import Signer, Verifier
from tallystick.tokens.validity import Invalid
from tallystick.tokens.wrong_types import WrongTypes
from tests.builders import ISSUER, HeldKeys
from tests.fakes import NOON, FakeClock, FakeCluster, MemoryAudit, MemoryEvents
from tests.worlds import connected as connections
from tests.worlds.connected import connected

KUBERNETES, REVERSE_PROXY = DeploymentType.KUBERNETES, DeploymentType.REVERSE_PROXY
MISMATCH = "token {} was issued for deployment type {} and cannot be used in {}"


class Place:
    """One replica's judgement, and what is around it."""

    def __init__(self):
        self.clock, self.audit, self.events, self.keys = FakeClock(), MemoryAudit(), MemoryEvents(), HeldKeys()
        self.cluster = FakeCluster(clock=self.clock)
        self.signer = Signer(self.keys, ISSUER)
        self.issuer = ConnectionIssuer(self.signer, ISSUER)
        self.server_clock = ServerClock(self.clock)
        ctx = Context(self.clock, self.server_clock, self.audit, self.events)
        self.authorizer = ConnectionAuthorizer(FreshReader(self.cluster, self.clock, max_staleness=0.0), ctx)
        self.wrong_types = WrongTypes(Verifier(self.signer, TOKEN_TYPES), judges(self.authorizer), ctx)

    def connected(self, **changes):
        return connected(self.cluster, self.issuer, self.clock.now(), **changes)

    def verified(self, jwt):
        found = self.signer.verified(jwt, CONNECTION, self.clock.now())
        assert found is not None
        return found

    async def state(self, jwt):
        return await self.authorizer.token_state(self.verified(jwt))

    async def exchange(self, jwt, used_in):
        """Present a token where pairing tokens are exchanged."""
        hints = {"deployment_type": used_in} if used_in is not None else {}
        await self.wrong_types.reject(jwt, hints, exchanged=PAIRING)


@pytest.fixture
def place():
    return Place()


# What it is now.


async def test_a_token_on_record_is_good_and_its_object_comes_with_it(place):
    made = place.connected()

    state = await place.state(made.jwts["default"])

    assert state.problem is None
    assert state.configuration.metadata.uid == state.raw["metadata"]["uid"] == made.uid


async def test_both_tokens_are_good_while_both_slots_are_there(place):
    made = place.connected(slots=("old", "new"))

    assert [(await place.state(made.jwts[slot])).problem for slot in ("old", "new")] == [None, None]


LATER, PAST = rfc3339(NOON + timedelta(hours=1)), rfc3339(NOON)
ENDS = {
    "the object is gone": (connections.gone, Invalid.UNKNOWN),
    "the object was made anew": (connections.made_again, Invalid.UNKNOWN),
    "the object is going": (connections.going, Invalid.REVOKED),
    "its record says Revoked": (lambda c: connections.record(c, "old", state="Revoked"), Invalid.REVOKED),
    "its slot was removed": (lambda c: connections.order(c, tokens=[{"name": "new"}]), Invalid.REVOKED),
    "the licence is over": (lambda c: connections.order(c, licenseExpiresAt=PAST), Invalid.EXPIRED),
    "the licence was over, and was renewed since": (
        lambda c: (connections.record(c, "old", notAfter=PAST), connections.order(c, licenseExpiresAt=LATER)),
        Invalid.EXPIRED,
    ),
    "it left the record": (lambda c: connections.record(c, "old", serial=9), Invalid.UNKNOWN),
    "its number is another slot's": (lambda c: connections.record(c, "old", slot="other"), Invalid.UNKNOWN),
}


@pytest.mark.parametrize("end", ENDS)
async def test_s7_with_the_controller_stopped_a_token_is_not_good_when(place, end):
    made = place.connected(slots=("old", "new"))
    change, problem = ENDS[end]

    change(place.cluster)

    assert (await place.state(made.jwts["old"])).problem is problem


async def test_a_token_is_good_as_soon_as_it_is_in_the_secret(place):
    """Whoever is to say that it is Active may have died; who has it from the Secret must not wait for the next one."""
    made = place.connected(pending=("default",))

    assert (await place.state(made.jwts["default"])).problem is None


async def test_s7_a_token_whose_slot_is_gone_while_no_other_has_a_token_keeps_its_instances_connected(place):
    made = place.connected()

    connections.order(place.cluster, tokens=[{"name": "other"}])

    assert (await place.state(made.jwts["default"])).problem is None


@pytest.mark.parametrize(("before", "problem"), [(1, None), (0, Invalid.EXPIRED)], ids=["a second before", "then"])
async def test_a_license_ends_at_that_very_second(place, before, problem):
    made = place.connected(licenseExpiresAt=LATER)

    place.clock.advance(3600 - before)

    assert (await place.state(made.jwts["default"])).problem is problem


async def test_r22_a_token_is_good_after_years(place):
    made = place.connected()

    place.clock.advance(20 * 365 * 86_400)

    assert (await place.state(made.jwts["default"])).problem is None


async def test_what_cannot_be_read_is_not_guessed(place):
    made = place.connected()
    place.cluster.fail_next("get", "connectionconfigurations", UnavailableError("down"))

    with pytest.raises(NotYetError):
        await place.state(made.jwts["default"])


async def test_a_replica_whose_clock_is_off_does_not_judge(place):
    made = place.connected()
    place.server_clock.observe(NOON.replace(year=2029))

    with pytest.raises(NotYetError) as refusal:
        await place.state(made.jwts["default"])
    assert refusal.value.reason == "clock_unsafe"


# Where it may be used.


@pytest.mark.parametrize("used_in", [KUBERNETES, REVERSE_PROXY])
@pytest.mark.parametrize("issued_for", [KUBERNETES, REVERSE_PROXY])
async def test_r39_r41_a_token_is_good_in_its_own_deployment_type_alone(place, issued_for, used_in):
    made = place.connected(deploymentType=issued_for.value)
    jwt = made.jwts["default"]

    text = place.authorizer.denial_reason(place.verified(jwt), await place.state(jwt), used_in)

    if issued_for is used_in:
        assert (text, place.events.warnings) == (None, [])
        return
    assert text == MISMATCH.format(made.token_ids["default"], issued_for.value, used_in.value)
    (event,) = place.events.warnings
    assert event == ("ConnectionConfiguration", "edge", "dc-west", "DeploymentTypeMismatch", text)


# What the instance is told.


@pytest.mark.parametrize(
    ("change", "text"),
    [
        pytest.param(connections.going, "token {} has been revoked", id="revoked"),
        pytest.param(
            lambda c: connections.order(c, licenseExpiresAt=PAST),
            "the license of edge/dc-west expired at 2030-01-01T12:00:00Z",
            id="the licence is over",
        ),
        pytest.param(
            lambda c: connections.record(c, notAfter=PAST),
            "the license of edge/dc-west expired at 2030-01-01T12:00:00Z",
            id="the licence was over, and was taken out",
        ),
        pytest.param(
            lambda c: connections.record(c, state="Revoked", reason="LicenseExpired", notAfter=PAST),
            "the license of edge/dc-west expired at 2030-01-01T12:00:00Z",
            id="the end of the license is on record",
        ),
        pytest.param(connections.gone, "the token is not valid", id="gone"),
        pytest.param(connections.made_again, "the token is not valid", id="made anew"),
    ],
)
async def test_the_holder_of_a_token_gets_the_reason_why_it_is_not_valid(place, change, text):
    made = place.connected()
    jwt = made.jwts["default"]

    change(place.cluster)

    assert rejection_text(place.verified(jwt), await place.state(jwt)) == text.format(made.token_ids["default"])


# Where pairing tokens are exchanged.


@pytest.mark.parametrize(
    ("used_in", "code", "text"),
    [
        pytest.param(None, "invalid_request", NOT_EXCHANGED, id="said of no type"),
        pytest.param(KUBERNETES, "invalid_request", NOT_EXCHANGED, id="in its own type"),
        pytest.param(REVERSE_PROXY, "invalid_target", MISMATCH, id="in the other type"),
    ],
)
async def test_a_connection_token_is_not_exchanged(place, used_in, code, text):
    made = place.connected()

    with pytest.raises(ExchangeRefusedError) as refusal:
        await place.exchange(made.jwts["default"], used_in)

    expected = text.format(made.token_ids["default"], "Kubernetes", "ReverseProxy")
    assert (refusal.value.code, refusal.value.description) == (code, expected)
    (line,) = place.audit.lines
    assert (line.action, line.outcome, line.facts["reason"]) == ("redeem", "refused", "ConnectionToken")
    assert line.facts["token_id"] == made.token_ids["default"]
    assert place.cluster.writes() == []


@pytest.mark.parametrize("change", [connections.gone, connections.going, connections.made_again])
async def test_misuse_of_a_token_that_is_over_is_not_reported(place, change):
    """Else whoever keeps a revoked token could write events about its object for ever."""
    made = place.connected()
    change(place.cluster)

    with pytest.raises(ExchangeRefusedError) as refusal:
        await place.exchange(made.jwts["default"], REVERSE_PROXY)

    assert refusal.value.description == NOT_EXCHANGED
    assert place.events.warnings == []


@pytest.mark.parametrize("unverified", ["", "garbage", "a.b.c", "x" * 9000], ids=["none", "a word", "dots", "long"])
async def test_what_is_no_connection_token_passes_and_costs_nothing(place, unverified):
    await place.exchange(unverified, REVERSE_PROXY)

    assert place.cluster.calls == []
    assert place.audit.lines == []


async def test_a_forged_connection_token_passes_to_be_refused_as_whatever_did_not_verify(place):
    header, payload, _ = place.connected().jwts["default"].split(".")
    place.cluster.calls.clear()

    await place.exchange(f"{header}.{payload}.{'A' * 86}", REVERSE_PROXY)

    assert place.cluster.calls == []
    assert place.audit.lines == []


async def test_while_its_object_cannot_be_read_a_connection_token_is_refused_by_asking_again(place):
    made = place.connected()
    place.cluster.fail_next("get", "connectionconfigurations", UnavailableError("down"))

    with pytest.raises(NotYetError):
        await place.exchange(made.jwts["default"], REVERSE_PROXY)
    assert place.cluster.all(SECRETS) == []
