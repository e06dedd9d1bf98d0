"""The door: a bound for all connections and one for each source, from the moment they are accepted."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime

from tallystick.exchange import listener as door
from tallystick.exchange.limits import ConnectionLimits
from tallystick.exchange.server import ServeSettings, listening
from tallystick.localplane.pki import prepare_serving
from tests.worlds.replica import Replica
from tests.worlds.wire import GET_DOCUMENT, LOOPBACK, connected, until

BUSY = b"HTTP/1.1 503 Service Unavailable\r\n"


def settings(**bounds: int) -> ServeSettings:
    return ServeSettings(LOOPBACK, 0, plain_http=True, **bounds)


@asynccontextmanager
async def held(port: int, count: int) -> AsyncIterator[None]:
    """Hold so many connections whose requests are not complete. Those who come later are accepted after them."""
    async with AsyncExitStack() as stack:
        for _ in range(count):
            wire = await stack.enter_async_context(connected(port))
            wire.writer.write(GET_DOCUMENT[:3])
        yield


async def asked(port: int, *, tls: bool = False) -> bytes:
    """Connect, ask, and return the beginning of the answer; b"" where there is none."""
    try:
        async with connected(port, tls=tls) as wire:
            return (await wire.exchange(GET_DOCUMENT)).partition(b"\n")[0] + b"\n"
    except (OSError, asyncio.IncompleteReadError):
        return b""


def test_places_are_bounded_for_all_and_for_each_source():
    places = ConnectionLimits(most=3, most_per_source=2)

    taken = [places.take(source) for source in ("a", "a", "a", "b", "c")]

    assert taken == [True, True, False, True, False]


def test_a_place_that_is_given_back_can_be_taken_and_leaves_no_trace():
    places = ConnectionLimits(most=1, most_per_source=1)

    for source in ("a", "b", "c"):
        assert places.take(source)
        places.give_back(source)

    assert len(places) == 0


def test_places_are_scarce_when_more_than_three_quarters_are_taken():
    places = ConnectionLimits(most=8, most_per_source=4)

    scarce = []
    for source in ("a", "a", "a", "a", "b", "b", "c"):
        places.take(source)
        scarce.append((places.are_scarce("a"), places.are_scarce("c")))

    assert scarce == [(False, False)] * 3 + [(True, False)] * 3 + [(True, True)]


async def test_where_places_are_scarce_an_answer_ends_its_connection_so_that_others_are_served():
    """Thousands of instances send a heartbeat now and then, and would keep their connections."""
    async with listening(Replica().app, settings(most_connections=4)) as port, held(port, 3):
        answers = [await asked(port) for _ in range(5)]
        async with connected(port) as wire:
            wire.writer.write(GET_DOCUMENT)
            last = await wire.rest()

    assert answers == [b"HTTP/1.1 200 OK\r\n"] * 5
    assert b"\r\nConnection: close\r\n" in last


async def test_one_connection_too_many_gets_a_503():
    async with listening(Replica().app, settings(most_connections=1)) as port, held(port, 1):
        answer = await asked(port)

    assert answer == BUSY


async def test_a_client_that_sends_nothing_gets_the_503_too():
    bounds = settings(most_connections=1)

    async with listening(Replica().app, bounds) as port, held(port, 1), connected(port) as wire:
        said = await wire.rest()

    assert said.startswith(BUSY)
    assert b"\r\nRetry-After: 1\r\n" in said


async def test_a_place_is_free_again_when_its_connection_has_ended():
    async def served() -> bool:
        return (await asked(port)).startswith(b"HTTP/1.1 200")

    async with listening(Replica().app, settings(most_connections=1)) as port:
        async with held(port, 1):
            pass
        await until(served)


async def test_one_source_that_takes_all_that_it_may_leaves_room_for_others(monkeypatch):
    sources = iter(("hog", "hog", "hog", "other"))
    monkeypatch.setattr(door, "source_of", lambda _: next(sources))

    async with listening(Replica().app, settings(most_connections=3, most_per_source=2)) as port, held(port, 2):
        answers = [await asked(port), await asked(port)]

    assert answers == [BUSY, b"HTTP/1.1 200 OK\r\n"]


async def test_behind_a_proxy_one_source_may_have_all():
    bounds = ServeSettings(LOOPBACK, 0, plain_http=True, most_connections=70, most_per_source=None)

    async with listening(Replica().app, bounds) as port, held(port, 69):
        assert await asked(port) == b"HTTP/1.1 200 OK\r\n"


async def test_beyond_those_that_get_an_answer_others_are_hung_up_on(monkeypatch):
    monkeypatch.setattr(door, "MOST_TURNED_AWAY", 1)

    async with (
        listening(Replica().app, settings(most_connections=1)) as port,
        held(port, 1),
        connected(port) as reported,
        connected(port) as hung_up_on,
    ):
        answers = await asyncio.gather(reported.rest(), hung_up_on.rest())

    assert [answer[: len(BUSY)] for answer in answers] == [BUSY, b""]


async def test_who_does_not_finish_the_handshake_holds_a_place_and_loses_it_in_time(monkeypatch, tmp_path):
    monkeypatch.setattr(door, "HANDSHAKE_SECONDS", 0.3)
    _, pair = prepare_serving(tmp_path, "exchange", now=datetime.now(UTC))
    bounds = ServeSettings(LOOPBACK, 0, pair.certificate, pair.key, most_connections=1)

    async def served() -> bool:
        return (await asked(port, tls=True)).startswith(b"HTTP/1.1 200")

    async with listening(Replica().app, bounds) as port:
        with socket.create_connection((LOOPBACK, port)):
            meanwhile = await asked(port, tls=True)
            await until(served)

    assert meanwhile == BUSY


async def test_over_tls_a_connection_holds_its_place_until_it_ends(tmp_path):
    _, pair = prepare_serving(tmp_path, "exchange", now=datetime.now(UTC))
    bounds = ServeSettings(LOOPBACK, 0, pair.certificate, pair.key, most_connections=2)

    async def served() -> bool:
        return (await asked(port, tls=True)).startswith(b"HTTP/1.1 200")

    async with listening(Replica().app, bounds) as port, held(port, 1):
        async with connected(port, tls=True) as kept:
            await kept.exchange(GET_DOCUMENT)
            meanwhile = await asked(port, tls=True)
        await until(served)

    assert meanwhile == BUSY


async def test_a_handshake_that_is_under_way_does_not_hold_up_the_end(tmp_path):
    _, pair = prepare_serving(tmp_path, "exchange", now=datetime.now(UTC))

    async with asyncio.timeout(3):
        async with listening(Replica().app, ServeSettings(LOOPBACK, 0, pair.certificate, pair.key)) as port:
            client = socket.create_connection((LOOPBACK, port))
            assert (await asked(port, tls=True)).startswith(b"HTTP/1.1 200")
        with client:
            client.settimeout(3)
            assert client.recv(1) == b""


async def test_without_a_descriptor_left_the_door_pauses_and_goes_on(monkeypatch):
    monkeypatch.setattr(door, "PAUSE_SECONDS", 0.05)
    accept, failures = socket.socket.accept, [OSError(24, "Too many open files")]

    def accept_later(self):
        if failures:
            raise failures.pop()
        return accept(self)

    monkeypatch.setattr(socket.socket, "accept", accept_later)
    async with listening(Replica().app, settings()) as port:
        answer = await asked(port)

    assert answer == b"HTTP/1.1 200 OK\r\n"
    assert failures == []
