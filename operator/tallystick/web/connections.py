"""One connection to the exchange: aiohttp's, with bounds on what a client may send, and our words for broken HTTP."""

import asyncio
import json
from http import HTTPStatus
from typing import Any

import structlog
from aiohttp import hdrs, web

log = structlog.get_logger("tallystick.web")

MOST_CONNECTIONS = 512
# A DPoP proof has at most 4 KiB, a ServiceAccount's token somewhat more than 1.
LONGEST_LINE = 8190
MOST_HEADERS = 64
# aiohttp cuts off whoever has not sent the headers of a request by then, the first one included.
IDLE_SECONDS = 15.0
LINGER_SECONDS = 2.0

_BROKEN = {"error": "invalid_request", "error_description": "this is not a request that HTTP/1.1 allows"}
_BUSY_BODY = json.dumps(
    {"error": "temporarily_unavailable", "error_description": "too many connections; ask again"}
).encode()
_BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\n"
    b"Content-Type: application/json\r\n"
    b"Content-Length: %d\r\n"
    b"Cache-Control: no-store\r\n"
    b"X-Content-Type-Options: nosniff\r\n"
    b"Retry-After: 1\r\n"
    b"Connection: close\r\n\r\n%b"
) % (len(_BUSY_BODY), _BUSY_BODY)


class Connections:
    """Makes the protocol of each new connection; more than so many at once are turned away."""

    def __init__(self, server: web.Server, *, most: int = MOST_CONNECTIONS, idle_seconds: float = IDLE_SECONDS) -> None:
        self._server = server
        self._most = most
        self._idle_seconds = idle_seconds

    def __call__(self) -> asyncio.Protocol:
        """Take the next connection."""
        if len(self._server.connections) >= self._most:
            return _Busy()
        return _Connection(
            self._server,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]  # None is what aiohttp documents for "none"
            keepalive_timeout=self._idle_seconds,
            max_line_size=LONGEST_LINE,
            max_field_size=LONGEST_LINE,
            max_headers=MOST_HEADERS,
            lingering_time=LINGER_SECONDS,
            # A compressed body is refused; so it is not unpacked either.
            auto_decompress=False,
        )


class _Busy(asyncio.Protocol):
    """Says 503 and hangs up."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.WriteTransport):
            transport.write(_BUSY)
        transport.close()


class _Connection(web.RequestHandler):
    """aiohttp's protocol, except that it does not quote what it could not parse."""

    __slots__ = ()

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
        response = _Anonymous(status=status, body=json.dumps(_BROKEN).encode())
        response.force_close()
        return response

    def log_exception(self, *_: Any, exc_info: BaseException | None = None, **__: Any) -> None:
        """Name the class alone: a traceback may quote what a client has sent."""
        log.error("connection ended by an error", error=type(exc_info).__name__)


class _Anonymous(web.Response):
    """An answer that does not tell which server wrote it."""

    def __init__(self, *, status: int, body: bytes) -> None:
        headers = {hdrs.CACHE_CONTROL: "no-store", "X-Content-Type-Options": "nosniff"}
        super().__init__(status=status, body=body, headers=headers, content_type="application/json")

    async def _prepare_headers(self) -> None:
        await super()._prepare_headers()
        self.headers.popall(hdrs.SERVER, None)
