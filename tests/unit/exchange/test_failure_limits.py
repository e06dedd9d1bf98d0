"""The failure limiter: a source that fails is slowed down, alone, and not permanently."""

import pytest

from tallystick.exchange.limits import FailureLimiter, FailureLimits, source_of
from tallystick.exchange.senders import Senders
from tests.fakes import FakeClock
from tests.worlds.heartbeats import beat
from tests.worlds.replica import Replica, a_bearer, form

TOKEN = "/oauth2/token"


def a_limiter(clock=None, **limits) -> FailureLimiter:
    return FailureLimiter(clock or FakeClock(), FailureLimits(**{"burst": 3, "per_second": 0.5, **limits}))


def fail(limiter, address, times) -> None:
    for _ in range(times):
        limiter.count_failure(address)


def test_a_source_may_fail_as_often_as_its_burst():
    limiter = a_limiter()

    fail(limiter, "192.0.2.1", 2)
    before = limiter.wait_of("192.0.2.1")
    fail(limiter, "192.0.2.1", 1)

    assert (before, limiter.wait_of("192.0.2.1")) == (0, 2)


def test_the_wait_ends_when_it_said_it_would():
    clock = FakeClock()
    limiter = a_limiter(clock)
    fail(limiter, "192.0.2.1", 3)

    clock.advance(limiter.wait_of("192.0.2.1") - 0.1)
    just_before = limiter.wait_of("192.0.2.1")
    clock.advance(0.1)

    assert (just_before, limiter.wait_of("192.0.2.1")) == (1, 0)


def test_one_source_does_not_slow_another_down():
    limiter = a_limiter()

    fail(limiter, "192.0.2.1", 10)

    assert limiter.wait_of("192.0.2.2") == 0


def test_failures_that_were_let_in_together_are_paid_for_up_to_the_longest_wait():
    limiter = a_limiter(longest_wait=10)

    fail(limiter, "192.0.2.1", 500)

    assert limiter.wait_of("192.0.2.1") == 10


def test_setting_the_wall_clock_changes_nothing():
    clock = FakeClock()
    limiter = a_limiter(clock)
    fail(limiter, "192.0.2.1", 3)

    clock.jump(3600)

    assert limiter.wait_of("192.0.2.1") == 2


def test_memory_is_bounded_and_who_failed_longest_ago_is_forgotten():
    limiter = a_limiter(most_sources=2)

    for address in ("192.0.2.1", "192.0.2.2", "192.0.2.1", "192.0.2.3"):
        fail(limiter, address, 3)

    assert len(limiter) == 2
    assert (limiter.wait_of("192.0.2.2"), limiter.wait_of("192.0.2.1") > 0) == (0, True)


def test_asking_takes_no_memory():
    limiter = a_limiter()

    limiter.wait_of("192.0.2.1")

    assert len(limiter) == 0


@pytest.mark.parametrize(
    ("address", "source"),
    [
        pytest.param("192.0.2.1", "192.0.2.1", id="IPv4"),
        pytest.param("::ffff:192.0.2.1", "192.0.2.1", id="IPv4 in IPv6"),
        pytest.param("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64", id="IPv6"),
        pytest.param("fe80::1%eth0", "fe80::/64", id="IPv6 with a zone"),
        pytest.param("::1", "::/64", id="loopback"),
        pytest.param(None, "", id="none"),
        pytest.param("not an address", "", id="garbage"),
    ],
)
def test_a_source_is(address, source):
    assert source_of(address) == source


async def test_a_source_that_fails_too_often_gets_a_retry_after():
    replica = Replica(limits=FailureLimits(burst=3, per_second=0.5))
    signed = replica.pairing_token()

    async with replica.client() as client:
        failed = [(await client.post(TOKEN, data=form("a.b.c"))).status for _ in range(3)]
        # No header of the client's makes it another source.
        headers = {"X-Forwarded-For": "198.51.100.7", "Forwarded": "for=198.51.100.7", "X-Real-IP": "198.51.100.7"}
        limited = await client.post(TOKEN, data=form("d.e.f"), headers=headers)
        said = await limited.json()
        healthy = await client.get("/openapi.json")
        replica.clock.advance(2)
        later = await client.post(TOKEN, data=form(signed))

    assert failed == [400, 400, 400]
    assert (limited.status, limited.headers["Retry-After"], said["error"]) == (429, "2", "too_many_requests")
    assert (healthy.status, later.status) == (200, 200)
    assert replica.counted("token", "too_many_requests") == 1


async def test_of_more_failures_at_once_a_quarter_comes_back_each_second():
    clock = FakeClock()
    limiter = FailureLimiter(clock, FailureLimits.of_burst(100))
    for _ in range(100):
        assert limiter.wait_of("a proxy") == 0
        limiter.count_failure("a proxy")

    waits = limiter.wait_of("a proxy")
    clock.advance(2)
    for _ in range(50):
        assert limiter.wait_of("a proxy") == 0
        limiter.count_failure("a proxy")

    assert (waits, limiter.wait_of("a proxy")) == (1, 1)


def test_the_default_is_that_of_the_setting():
    assert FailureLimits.of_burst(20) == FailureLimits()


async def test_successes_cost_nothing():
    replica = Replica(limits=FailureLimits(burst=2, per_second=0.5))
    tokens = [replica.pairing_token(f"press-{n}") for n in range(6)]

    async with replica.client() as client:
        statuses = [(await client.post(TOKEN, data=form(token))).status for token in tokens]

    assert statuses == [200] * 6


async def test_an_outage_of_ours_is_not_charged_to_the_source():
    replica = Replica(limits=FailureLimits(burst=1, per_second=0.5), keys_known=False)

    async with replica.client() as client:
        statuses = [(await client.post(TOKEN, data=form("a.b.c"))).status for _ in range(4)]

    assert statuses == [503] * 4


REVOKE, INTROSPECT = "/oauth2/revoke", "/oauth2/introspect"
FEW = FailureLimits(burst=3, per_second=0.5)


async def starved(client) -> int:
    """Send garbage until the address has to wait."""
    for _ in range(6):
        answer = await client.post(INTROSPECT, data={"token": "a.b.c"}, headers={"Authorization": "Bearer g.a.r"})
    return answer.status


async def test_p_garbage_of_a_neighbor_does_not_starve_a_token_of_ours():
    replica = Replica(limits=FEW)
    signed, revocable = replica.pairing_token(), replica.pairing_token("press-2")
    connection = replica.connection().jwts["default"]

    async with replica.client() as client:
        limited = await starved(client)
        served = [
            (await beat(client, connection)).status,
            (await client.post(TOKEN, data=form(signed))).status,
            (await client.post(REVOKE, data={"token": revocable})).status,
        ]
        after = await starved(client)

    assert (limited, served, after) == (429, [204, 200, 200], 429)


async def test_p_a_caller_that_was_approved_in_the_last_seconds_is_served_and_others_cost_no_api_call():
    replica = Replica(limits=FEW)
    signed, good, new = replica.pairing_token(), a_bearer("watcher"), a_bearer("newcomer")

    async with replica.client() as client:

        async def introspect(bearer):
            headers = {"Authorization": f"Bearer {bearer}"}
            return (await client.post(INTROSPECT, data={"token": signed}, headers=headers)).status

        approved = await introspect(good)
        await starved(client)
        replica.cluster.calls.clear()
        answers = [await introspect(bearer) for bearer in (good, new, new)]
        reviews = [call for call in replica.cluster.calls if call[1] == "tokenreviews"]
        replica.clock.advance(10.1)
        await starved(client)
        late = await introspect(good)

    assert (approved, answers, reviews, late) == (200, [200, 429, 429], [], 429)


async def test_p_a_token_that_verifies_is_limited_by_its_own_failures():
    replica = Replica(limits=FEW)
    used, other = replica.pairing_token(), replica.pairing_token("press-2")

    async with replica.client() as client:
        first = (await client.post(TOKEN, data=form(used))).status
        again = [(await client.post(TOKEN, data=form(used))).status for _ in range(5)]
        neighbor = (await client.post(TOKEN, data=form(other))).status
        garbage = (await client.post(TOKEN, data=form("a.b.c"))).status

    assert (first, again, neighbor, garbage) == (200, [400, 400, 400, 429, 429], 200, 400)


async def test_an_endpoint_verifies_nothing_while_no_request_fails(monkeypatch):
    replica = Replica(limits=FEW)
    signed = replica.pairing_token()
    monkeypatch.setattr(Senders, "_credential_of", None)

    async with replica.client() as client:
        assert (await client.post(TOKEN, data=form(signed))).status == 200
