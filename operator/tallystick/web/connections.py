"""One connection to the exchange: aiohttp's, with bounds on what a client may send, and our words for broken HTTP."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from http import HTTPStatus
from typing import Any, cast

import structlog
from aiohttp import HttpVersion10, HttpVersion11, hdrs, web

from tallystick.domain.presence import HEARTBEAT_SECONDS
from tallystick.web.answers import refusal_of, refuse

log = structlog.get_logger("tallystick.web")

MOST_CONNECTIONS = 512
# Many machines may share an address (NAT, a proxy that passes TLS through, a node that rewrites the source), and their
# requests are short. Eight sources together are needed to take all connections.
MOST_PER_SOURCE = 64
# A DPoP proof has at most 4 KiB, a ServiceAccount's token somewhat more than 1.
LONGEST_LINE = 8190
MOST_HEADERS = 64
MOST_HEAD_BYTES = 16 * 1024
# aiohttp cuts off whoever has not sent the headers of a request by then, the first one included. A heartbeat is sent
# before that: who sends one just as its connection is closed does not know whether it was heard.
IDLE_SECONDS = HEARTBEAT_SECONDS + 10.0
LINGER_SECONDS = 2.0
# Who asks and does not read the answers is cut off, too: so many bytes may wait for it, and so long.
MOST_UNREAD_BYTES = 64 * 1024
STALL_SECONDS = 10.0
BUSY_SECONDS = 1.0

BROKEN = {"error": "invalid_request", "error_description": "this is not a request that HTTP/1.1 allows"}
_BUSY = {"error": "temporarily_unavailable", "error_description": "too many connections; ask again"}
# RFC 9112 3.2, RFC 3986 3.2.2. It may be empty.
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]*)(:[0-9]*)?")

RequestHandler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Connections:
    """Makes the protocol of each new connection."""

    def __init__(
        self, server: web.Server, *, idle_seconds: float = IDLE_SECONDS, stall_seconds: float = STALL_SECONDS
    ) -> None:
        self._server = server
        self._idle_seconds = idle_seconds
        self._stall_seconds = stall_seconds
        # aiohttp's type speaks of the base class of a request alone; what comes here is a whole one.
        server.request_handler = well_formed_alone(server.request_handler)  # type: ignore[assignment]

    def __call__(self, places_are_scarce: Callable[[], bool] = lambda: False) -> "Connection":
        """Take the next connection.

        Args:
            places_are_scarce: asked at each answer, whether to end with it, so that others find a place.
        """
        return Connection(
            self._server,
            places_are_scarce=places_are_scarce,
            stall_seconds=self._stall_seconds,
            loop=asyncio.get_running_loop(),
            access_log=None,
            keepalive_timeout=self._idle_seconds,
            max_line_size=LONGEST_LINE,
            max_field_size=LONGEST_LINE,
            max_headers=MOST_HEADERS,
            lingering_time=LINGER_SECONDS,
            # A compressed body is refused; so it is not unpacked either.
            auto_decompress=False,
        )


class Busy(asyncio.Protocol):
    """Says 503 to whatever is asked, or to silence after a while, and hangs up.

    Who is told before asking might send its request into a closed connection, and lose the answer with it.

    Attributes:
        ended: Done when the connection is closed.
    """

    def __init__(self) -> None:
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        asyncio.get_running_loop().call_later(BUSY_SECONDS, self._say)

    def data_received(self, _: bytes) -> None:
        """Say it."""
        self._say()

    def connection_lost(self, _: Exception | None) -> None:
        """End."""
        self._transport = None
        if not self.ended.done():
            self.ended.set_result(None)

    def _say(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(_farewell(HTTPStatus.SERVICE_UNAVAILABLE, _BUSY, hdrs.RETRY_AFTER + ": 1"))
            self._transport.close()


class Connection(web.RequestHandler):
    """aiohttp's protocol, with bounds of its own; it does not quote what it could not parse.

    Attributes:
        ended: Done when the connection is closed and what was under way for its client has come to its end.
    """

    __slots__ = ("_head_bytes", "_stall", "_stall_seconds", "ended", "places_are_scarce")

    def __init__(
        self, server: web.Server, *, places_are_scarce: Callable[[], bool], stall_seconds: float, **bounds: Any
    ) -> None:
        super().__init__(server, **bounds)
        self.places_are_scarce = places_are_scarce
        self._head_bytes = 0
        self._stall: asyncio.TimerHandle | None = None
        self._stall_seconds = stall_seconds
        self.ended: asyncio.Future[None] = self._loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        cast("asyncio.Transport", transport).set_write_buffer_limits(high=MOST_UNREAD_BYTES)
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """End, once nothing is under way for this client any more."""
        task = self._task_handler
        super().connection_lost(exc)
        self._go_on()
        if task is None or task.done():
            self._end()
        else:
            task.add_done_callback(self._end)

    def data_received(self, data: bytes) -> None:
        """Parse; end the connection of who sends a head without an end."""
        # aiohttp bounds each line and their number; all together they would be half a megabyte for each connection.
        in_head = self._waiter is not None or self._request_count == 0
        super().data_received(data)
        self._head_bytes = self._head_bytes + len(data) if in_head and not self._messages else 0
        if self._head_bytes > MOST_HEAD_BYTES and self.transport is not None:
            self.transport.write(_farewell(HTTPStatus.BAD_REQUEST, BROKEN))
            self.force_close()

    def pause_writing(self) -> None:
        """Answers pile up: the client has some time to read them."""
        super().pause_writing()
        self._stall = self._loop.call_later(self._stall_seconds, self._give_up)

    def resume_writing(self) -> None:
        """The client reads."""
        self._go_on()
        super().resume_writing()

    def _go_on(self) -> None:
        if self._stall is not None:
            self._stall.cancel()

    def _give_up(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    def _end(self, _: object = None) -> None:
        if not self.ended.done():
            self.ended.set_result(None)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is no HTTP. No handler has seen it, so no middleware writes its headers."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer is under way already")
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            log.error("unexpected error", error=type(exc).__name__)
        return _broken(status)

    def log_exception(self, *_: Any, exc_info: BaseException | None = None, **__: Any) -> None:
        """Name the class alone: a traceback may quote what a client has sent."""
        log.error("connection ended by an error", error=type(exc_info).__name__)


def well_formed_alone(handler: RequestHandler) -> RequestHandler:
    """Refuse what aiohttp's parser lets through although HTTP/1.1 does not, and use our words before any middleware."""

    async def handle(request: web.Request) -> web.StreamResponse:
        if not _is_well_formed(request):
            return _broken(HTTPStatus.BAD_REQUEST)
        try:
            response = await handler(request)
        except web.HTTPExpectationFailed as error:  # aiohttp asks for it before any middleware, also where no route is
            response = refuse(refusal_of(error))
        if cast("Connection", request.protocol).places_are_scarce():
            # Thousands of instances send a heartbeat now and then; kept open, a few hundred would take all places.
            response.force_close()
        return response

    return handle


def _is_well_formed(request: web.BaseRequest) -> bool:
    codings = [coding.lower() for coding in request.headers.getall(hdrs.TRANSFER_ENCODING, [])]
    return (
        # HTTP/0.9 has no status, and what calls itself HTTP/2.0 here is not it.
        request.version in (HttpVersion10, HttpVersion11)
        # RFC 9112 6.1: a coding that is not known hides what the body is; in HTTP/1.0 there is none.
        and (not codings or (codings == ["chunked"] and request.version == HttpVersion11))
        and _HOST.fullmatch(request.headers.get(hdrs.HOST, "")) is not None
        and sum(len(name) + len(value) for name, value in request.raw_headers) <= MOST_HEAD_BYTES
    )


def _broken(status: int) -> web.StreamResponse:
    response = _Anonymous(status=status, body=json.dumps(BROKEN).encode())
    response.force_close()
    return response


class _Anonymous(web.Response):
    """An answer that does not tell which server wrote it, in the version that we speak whatever the client's is."""

    def __init__(self, *, status: int, body: bytes) -> None:
        headers = {hdrs.CACHE_CONTROL: "no-store", "X-Content-Type-Options": "nosniff", hdrs.CONNECTION: "close"}
        super().__init__(status=status, body=body, headers=headers, content_type="application/json")

    async def _prepare_headers(self) -> None:
        await super()._prepare_headers()
        self.headers.popall(hdrs.SERVER, None)

    async def _write_headers(self) -> None:
        if self._payload_writer is not None:
            await self._payload_writer.write_headers(f"HTTP/1.1 {self.status} {self.reason}", self.headers)


def _farewell(status: HTTPStatus, body: dict[str, str], *headers: str) -> bytes:
    """Write the last answer of a connection, where aiohttp has no request to answer."""
    content = json.dumps(body).encode()
    lines = (
        f"HTTP/1.1 {status.value} {status.phrase}",
        "Content-Type: application/json",
        f"Content-Length: {len(content)}",
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
        f"Date: {formatdate(usegmt=True)}",
        "Connection: close",
        *headers,
    )
    return "\r\n".join((*lines, "", "")).encode() + content
