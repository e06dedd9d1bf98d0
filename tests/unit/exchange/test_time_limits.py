"""Each time limit of a connection ends it at its second, in virtual time."""

import asyncio
import socket
from datetime import UTC, datetime

import pytest
from aiohttp import web

from tallystick.exchange import listener as door
from tallystick.exchange.limits import ConnectionLimits
from tallystick.exchange.listener import HANDSHAKE_SECONDS, Listener
from tallystick.exchange.requests import BODY_SECONDS
from tallystick.exchange.server import ServeSettings
from tallystick.exchange.tls import ServerCertificate
from tallystick.exchange.transport import (
    BUSY_SECONDS,
    IDLE_SECONDS,
    LINGER_SECONDS,
    MOST_UNREAD_BYTES,
    STALL_SECONDS,
    Busy,
    Connections,
)
from tallystick.localplane.pki import prepare_serving
from tallystick.runtime.addresses import Address
from tests.virtual_time import in_virtual_time
from tests.worlds.replica import Replica
from tests.worlds.wire import GET_DOCUMENT, LOOPBACK

POST = b"POST /oauth2/token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"
# A client sends each further byte after this time.
DRIP_SECONDS = 0.5
LONGEST_SECONDS = 100.0
CHUNKED, LONG = b"Transfer-Encoding: chunked\r\n\r\n", b"Content-Length: 999\r\n\r\n"
# The server reads for a while what a client still sends, so that the client receives the response.
BODY_END = BODY_SECONDS + LINGER_SECONDS


class Peer(asyncio.Transport):
    """A client of one protocol. It records the response, when it came, and when the server closed the connection.

    Args:
        protocol: The server's side.
        reads: Whether it reads what the server writes.
    """

    def __init__(self, protocol: asyncio.Protocol, *, reads: bool = True) -> None:
        super().__init__()
        self.answer = b""
        self.answered_at: float | None = None
        self.closed_at: float | None = None
        self._protocol, self._reads, self._high = protocol, reads, MOST_UNREAD_BYTES
        self._full = False
        protocol.connection_made(self)

    def get_extra_info(self, name, default=None):
        return {"peername": (LOOPBACK, 1), "sockname": (LOOPBACK, 2)}.get(name, default)

    def set_write_buffer_limits(self, high=None, low=None):
        self._high = high

    def write(self, data):
        if not self.answer:
            self.answered_at = asyncio.get_running_loop().time()
        self.answer += bytes(data)
        if not self._reads and not self._full and len(self.answer) > self._high:
            self._full = True
            self._protocol.pause_writing()

    def writelines(self, parts):
        self.write(b"".join(parts))

    def is_closing(self):
        return self.closed_at is not None

    def close(self):
        if self.closed_at is None:
            self.closed_at = asyncio.get_running_loop().time()
            asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)

    abort = close

    def pause_reading(self):
        pass

    def resume_reading(self):
        pass

    @property
    def status(self) -> int:
        """The status of the answer; 0 if there is none."""
        return int(self.answer[9:12] or 0)

    async def send(self, begin: bytes, drip: bytes = b"") -> None:
        """Send the first bytes, and then the same ones again and again, until the server closes the connection."""
        if begin:
            self._protocol.data_received(begin)
        while self.closed_at is None:
            await asyncio.sleep(DRIP_SECONDS)
            assert asyncio.get_running_loop().time() < LONGEST_SECONDS, "the server has not closed the connection"
            if drip and self.closed_at is None:
                self._protocol.data_received(drip)


class OnePlace(ConnectionLimits):
    """The limits for one connection, and when it has ended."""

    def __init__(self) -> None:
        super().__init__(most=1, most_per_source=1)
        self.free = asyncio.Event()

    def give_back(self, source: str) -> None:
        super().give_back(source)
        self.free.set()


async def connections() -> Connections:
    """The protocols of a replica, with the limits that the settings have by default."""
    runner = web.AppRunner(Replica().app, access_log=None, handler_cancellation=False)
    await runner.setup()
    settings = ServeSettings(LOOPBACK, 0, plain_http=True)
    return Connections(runner.server, idle_seconds=settings.idle_seconds, stall_seconds=settings.stall_seconds)


# Of each client: its first bytes, those that it repeats, the status, the time of the response and that of the end.
SLOW = [
    pytest.param(b"", b"", 0, None, IDLE_SECONDS, id="no byte"),
    pytest.param(POST, b"", 0, None, IDLE_SECONDS, id="half a head"),
    pytest.param(POST + b"X: ", b"a", 0, None, IDLE_SECONDS, id="a head byte by byte"),
    pytest.param(GET_DOCUMENT, b"", 200, 0, IDLE_SECONDS, id="one request and no other"),
    pytest.param(GET_DOCUMENT, b"\r\n", 200, 0, IDLE_SECONDS, id="one request and half another"),
    pytest.param(POST + b"Content-Length: 9\r\n\r\nx=", b"", 408, BODY_SECONDS, BODY_END, id="half a body"),
    pytest.param(POST + b"Content-Length: 999\r\n\r\n", b"a", 408, BODY_SECONDS, BODY_END, id="a body byte by byte"),
    pytest.param(POST + CHUNKED, b"1\r\na\r\n", 408, BODY_SECONDS, BODY_END, id="chunks without an end"),
    pytest.param(GET_DOCUMENT[:-2] + LONG, b"a", 200, 0, LINGER_SECONDS, id="a body that is not read"),
]


@pytest.mark.parametrize(("begin", "drip", "status", "answered_at", "closed_at"), SLOW)
@in_virtual_time
async def test_a_slow_client_is_disconnected_at_the_second_of_its_limit(begin, drip, status, answered_at, closed_at):
    peer = Peer((await connections())())

    await peer.send(begin, drip)

    assert (peer.status, peer.answered_at, peer.closed_at) == (status, answered_at, closed_at)


@in_virtual_time
async def test_a_client_that_reads_no_response_is_disconnected_at_the_stall_limit():
    peer = Peer((await connections())(), reads=False)

    await peer.send(GET_DOCUMENT * 64)

    assert peer.closed_at == STALL_SECONDS


@in_virtual_time
async def test_a_client_that_is_one_too_many_and_sends_no_request_is_answered_and_disconnected():
    peer = Peer(Busy())

    await peer.send(b"")

    assert (peer.status, peer.answered_at, peer.closed_at) == (503, BUSY_SECONDS, BUSY_SECONDS)


@pytest.mark.parametrize(
    ("begin", "hangs_up", "seconds"),
    [
        pytest.param(b"", False, HANDSHAKE_SECONDS, id="no byte"),
        pytest.param(b"\x16\x03\x01\x02\x00", False, HANDSHAKE_SECONDS, id="the begin of a hello"),
        pytest.param(b"", True, 0, id="no byte and the end"),
        pytest.param(b"\x16\x03\x01\x02\x00", True, 0, id="the begin of a hello and the end"),
        pytest.param(GET_DOCUMENT, False, 0, id="no TLS"),
    ],
)
def test_a_client_without_a_handshake_is_disconnected_in_time(begin, hangs_up, seconds, monkeypatch, tmp_path):
    """The handshake is of asyncio, so the sockets are real. Their bytes are in the kernel before the loop begins."""
    _, pair = prepare_serving(tmp_path, "exchange", now=datetime.now(UTC))
    certificate, ends = ServerCertificate(pair.certificate, pair.key), list[float]()

    @in_virtual_time
    async def run() -> None:
        place = OnePlace()
        listener = Listener(await connections(), place, certificate.context)
        await listener.open(Address(LOOPBACK, 0))
        async with asyncio.timeout(LONGEST_SECONDS):
            await place.free.wait()
        ends.append(asyncio.get_running_loop().time())
        await listener.end()

    with socket.create_server((LOOPBACK, 0)) as opened, socket.create_connection(opened.getsockname()) as client:
        opened.setblocking(False)

        async def listen_on(*_: object, **__: object) -> tuple[socket.socket, ...]:
            return (opened,)

        monkeypatch.setattr(door, "listen_on", listen_on)  # a name is resolved by a thread, for which no time passes
        client.sendall(begin)
        if hangs_up:
            client.shutdown(socket.SHUT_WR)
        run()

    assert ends == [seconds]
