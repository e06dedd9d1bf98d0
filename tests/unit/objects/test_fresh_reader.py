"""Freshness by construction (decisions.md): what a reading may answer, and for how long."""

import asyncio
from datetime import timedelta

import pytest

from tallystick.errors import NotYetError
from tallystick.objects.fresh_reader import FreshReader
from tallystick.objects.ports import UnavailableError
from tallystick.objects.server_clock import ServerClock
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS
from tests.builders import OTHER_UID, UID, raw_pairing_token
from tests.fakes import FakeClock, FakeCluster

WHERE = (PAIRING_TOKENS, "edge", "press-1")


class SlowCluster(FakeCluster):
    """Answers each GET only when it is let."""

    def __init__(self):
        super().__init__()
        self.let = asyncio.Event()

    async def get(self, resource, namespace, name):
        body = await super().get(resource, namespace, name)  # what is there when the server gets the request
        await self.let.wait()
        return body


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def cluster():
    cluster = FakeCluster()
    cluster.put(PAIRING_TOKENS, raw_pairing_token())
    return cluster


@pytest.fixture
def slow():
    cluster = SlowCluster()
    cluster.put(PAIRING_TOKENS, raw_pairing_token())
    return cluster


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - a poll with a deadline: tasks are let run, no time passes
            await asyncio.sleep(0)


def gets(cluster):
    return len(cluster.calls)


async def test_requests_at_the_same_time_share_one_get(slow, clock):
    reader = FreshReader(slow, clock)
    waiting = [asyncio.create_task(reader.get(*WHERE)) for _ in range(50)]
    await until(lambda: gets(slow))

    slow.let.set()
    bodies = await asyncio.gather(*waiting)

    assert gets(slow) == 1
    assert {body["metadata"]["uid"] for body in bodies} == {UID}


@pytest.mark.parametrize(("seconds", "asked"), [(0.0, 1), (1.0, 1), (1.001, 2)])
async def test_a_reading_is_reused_for_a_second(cluster, clock, seconds, asked):
    reader = FreshReader(cluster, clock)
    await reader.get(*WHERE)

    clock.advance(seconds)
    await reader.get(*WHERE)

    assert gets(cluster) == asked


async def test_the_second_is_counted_from_when_the_get_was_sent(slow, clock):
    reader = FreshReader(slow, clock)
    early = asyncio.create_task(reader.get(*WHERE))
    await until(lambda: gets(slow) == 1)
    slow.edit(*WHERE, lambda body: body["spec"].update(revoked=True))

    clock.advance(1.5)
    late = asyncio.create_task(reader.get(*WHERE))
    await until(lambda: gets(slow) == 2)
    slow.let.set()

    assert "revoked" not in (await early)["spec"]
    assert (await late)["spec"]["revoked"] is True


async def test_a_slow_answer_is_not_fresh_because_it_has_just_arrived(slow, clock):
    reader = FreshReader(slow, clock)
    early = asyncio.create_task(reader.get(*WHERE))
    await until(lambda: gets(slow) == 1)
    clock.advance(1.5)
    slow.let.set()
    await early

    await reader.get(*WHERE)

    assert gets(slow) == 2


async def test_the_wall_clock_keeps_no_reading_fresh(cluster, clock):
    reader = FreshReader(cluster, clock)
    await reader.get(*WHERE)

    clock.advance(2)
    clock.jump(-3600)
    await reader.get(*WHERE)

    assert gets(cluster) == 2


async def test_an_object_that_is_not_there_is_none(cluster, clock):
    assert await FreshReader(cluster, clock).get(PAIRING_TOKENS, "edge", "nothing") is None


async def test_a_failure_is_reported_as_not_yet_and_answers_no_later_request(cluster, clock):
    reader = FreshReader(cluster, clock)
    cluster.fail_next("get", "pairingtokens", UnavailableError("down", retry_after=7))

    with pytest.raises(NotYetError) as later:
        await reader.get(*WHERE)

    assert (later.value.reason, later.value.retry_after) == ("temporarily_unavailable", 7)
    assert await reader.get(*WHERE) is not None


async def test_a_reading_after_a_failure_is_as_old_as_it_is(cluster, clock):
    reader = FreshReader(cluster, clock)
    cluster.fail_next("get", "pairingtokens", UnavailableError("down"))
    with pytest.raises(NotYetError):
        await reader.get(*WHERE)
    clock.advance(0.9)
    await reader.get(*WHERE)

    clock.advance(0.9)
    await reader.get(*WHERE)

    assert gets(cluster) == 2


async def test_a_reading_after_a_failure_keeps_no_older_one_alive(cluster, clock):
    cluster.put(PAIRING_TOKENS, raw_pairing_token(name="press-2", uid=OTHER_UID))
    reader = FreshReader(cluster, clock)
    cluster.fail_next("get", "pairingtokens", UnavailableError("down"))
    with pytest.raises(NotYetError):
        await reader.get(*WHERE)
    await reader.get(PAIRING_TOKENS, "edge", "press-2")
    clock.advance(0.9)
    await reader.get(*WHERE)

    clock.advance(0.9)
    await reader.get(PAIRING_TOKENS, "edge", "press-2")

    assert gets(cluster) == 4


async def test_a_waiter_who_hangs_up_does_not_end_it_for_the_others(slow, clock):
    reader = FreshReader(slow, clock)
    first, second = (asyncio.create_task(reader.get(*WHERE)) for _ in range(2))
    await until(lambda: gets(slow) == 1)

    first.cancel()
    await until(first.done)
    slow.let.set()

    assert (await second)["metadata"]["uid"] == UID
    assert gets(slow) == 1


async def test_a_get_of_ones_own_is_never_shared(slow, clock):
    reader = FreshReader(slow, clock)
    tasks = [asyncio.create_task(reader.get_uncached(*WHERE)) for _ in range(3)]
    await until(lambda: gets(slow) == 3)

    slow.let.set()
    await asyncio.gather(*tasks)

    assert gets(slow) == 3


async def test_a_get_of_ones_own_reuses_nothing_and_makes_older_readings_forgotten(cluster, clock):
    reader = FreshReader(cluster, clock)
    await reader.get(*WHERE)

    await reader.get_uncached(*WHERE)
    await reader.get(*WHERE)

    assert gets(cluster) == 3


async def test_readings_of_different_objects_are_apart(cluster, clock):
    cluster.put(PAIRING_TOKENS, raw_pairing_token(name="press-2", uid=OTHER_UID))
    reader = FreshReader(cluster, clock)

    bodies = [await reader.get(PAIRING_TOKENS, "edge", name) for name in ("press-1", "press-2", "press-1")]

    assert [body["metadata"]["uid"] for body in bodies] == [UID, OTHER_UID, UID]
    assert gets(cluster) == 2


@pytest.mark.parametrize(
    "known",
    [
        pytest.param({"uid": OTHER_UID}, id="another object of that name"),
        pytest.param(
            {"uid": UID, "reached": lambda body: body["spec"].get("serial", 1) >= 2},
            id="a serial that it does not show",
        ),
    ],
)
async def test_a_shared_reading_that_is_behind_a_verified_token_is_read_again(cluster, clock, known):
    reader = FreshReader(cluster, clock)
    await reader.get(*WHERE)

    await reader.get(*WHERE, **known)

    assert gets(cluster) == 2


async def test_a_reading_has_the_time_of_its_own_get_and_a_shared_one_that_of_the_first(cluster, clock):
    reader = FreshReader(cluster, clock)
    sent = clock.monotonic()
    _, first = await reader.get_and_time(*WHERE)
    clock.advance(0.5)
    _, shared = await reader.get_and_time(*WHERE)
    _, behind = await reader.get_and_time(*WHERE, uid=OTHER_UID)

    assert (first, shared, behind) == (sent, sent, sent + 0.5)


async def test_what_a_write_has_returned_is_shared_for_a_second_after_the_write_was_sent(cluster, clock):
    reader, sent = FreshReader(cluster, clock), clock.monotonic()
    stored = raw_pairing_token()
    clock.advance(0.7)
    await reader.get(PAIRING_TOKENS, "edge", "another")  # it stays longer, and is older in memory
    reader.remember(*WHERE, stored, sent)
    cluster.calls.clear()

    clock.advance(0.3)
    shared = await reader.get(*WHERE)
    without_a_get = gets(cluster)
    clock.advance(0.1)
    await reader.get(*WHERE)

    assert (shared, without_a_get, gets(cluster)) == (stored, 0, 1)


async def test_a_reader_that_shares_nothing_shares_no_write(cluster, clock):
    reader = FreshReader(cluster, clock, max_staleness=0.0)
    reader.remember(*WHERE, raw_pairing_token(), clock.monotonic())
    clock.advance(0.001)

    await reader.get(*WHERE)

    assert gets(cluster) == 1


async def test_memory_holds_only_what_is_fresh(cluster, clock):
    reader = FreshReader(cluster, clock)
    for number in range(100):
        clock.advance(0.1)
        await reader.get(PAIRING_TOKENS, "edge", f"nothing-{number}")

    assert len(reader._readings) <= 12


@pytest.mark.parametrize(("offset", "safe"), [(0, True), (30, True), (-30, True), (31, False), (-31, False)])
def test_a_clock_is_safe_within_half_a_minute(clock, offset, safe):
    server_clock = ServerClock(clock)
    server_clock.observe(clock.now() - timedelta(seconds=offset))

    if safe:
        server_clock.check()
        return
    with pytest.raises(NotYetError) as unsafe:
        server_clock.check()
    assert (unsafe.value.reason, unsafe.value.message) == (
        "clock_unsafe",
        (
            "the clock of this replica differs from the clock of the API server by 31 s, and 30 s are allowed; "
            "synchronize the clocks"
        ),
    )


def test_a_clock_that_was_put_right_is_safe_again(clock):
    server_clock = ServerClock(clock)
    server_clock.observe(clock.now() - timedelta(hours=1))
    server_clock.observe(clock.now())

    server_clock.check()
