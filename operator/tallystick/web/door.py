"""Let connections in: each takes a place when it is accepted, before its TLS handshake, and keeps it until its end.

asyncio's own server would tell of a connection only after the handshake, so who opens connections and says nothing
would not be counted.
"""

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from typing import Any

import structlog

from tallystick.web.connections import Busy, Connection, Connections
from tallystick.web.limits import source_of
from tallystick.web.places import Places

log = structlog.get_logger("tallystick.web")

HANDSHAKE_SECONDS = 5.0
GOODBYE_SECONDS = 2.0
BACKLOG = 512
# To tell a client that there is no place takes a handshake, too. Beyond so many at once they are hung up on.
MOST_TURNED_AWAY = 64
# While the process has no descriptor left, accepting at once again would only burn the processor.
PAUSE_SECONDS = 1.0


class Door:
    """The listening sockets, and the tasks of the connections that came in through them."""

    def __init__(self, connections: Connections, places: Places, context: ssl.SSLContext | None) -> None:
        self._connections = connections
        self._places = places
        self._turned_away = 0
        self._tls: dict[str, Any] = {}
        if context is not None:
            self._tls = {
                "ssl": context,
                "ssl_handshake_timeout": HANDSHAKE_SECONDS,
                "ssl_shutdown_timeout": GOODBYE_SECONDS,
            }
        self._listeners: tuple[socket.socket, ...] = ()
        self._under_way: set[asyncio.Task[None]] = set()

    async def open(self, host: str | None, port: int) -> int:
        """Listen on all addresses of a host and return the port; raises OSError."""
        self._listeners = await _listeners(host, port)
        for listener in self._listeners:
            self._watch(listener)
        bound: int = self._listeners[0].getsockname()[1]
        return bound

    def shut(self) -> None:
        """Take nobody in any more. Who is inside stays."""
        for listener in self._listeners:
            asyncio.get_running_loop().remove_reader(listener)
            listener.close()
        self._listeners = ()

    async def end(self) -> None:
        """Break off the handshakes that are under way. To be called when the connections have been ended."""
        self.shut()
        await asyncio.sleep(0)  # a task that has not begun would not close its socket
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    def _watch(self, listener: socket.socket) -> None:
        if listener in self._listeners:
            asyncio.get_running_loop().add_reader(listener, self._accept, listener)

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(BACKLOG):
            try:
                client, address = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                log.error("no connection can be accepted", reason=error.strerror)  # noqa: TRY400 - nothing to trace
                loop = asyncio.get_running_loop()
                loop.remove_reader(listener)
                loop.call_later(PAUSE_SECONDS, self._watch, listener)
                return
            client.setblocking(False)
            self._let_in(client, source_of(address[0]))

    def _let_in(self, client: socket.socket, source: str) -> None:
        if self._places.take(source):
            make = partial(self._connections, partial(self._places.are_scarce, source))
            self._start(client, make, partial(self._places.give_back, source))
        elif self._turned_away < MOST_TURNED_AWAY:
            self._turned_away += 1
            self._start(client, Busy, self._count_turned_away)
        else:
            client.close()

    def _count_turned_away(self) -> None:
        self._turned_away -= 1

    def _start(self, client: socket.socket, make: Callable[[], Connection | Busy], at_end: Callable[[], None]) -> None:
        task = asyncio.get_running_loop().create_task(self._attend(client, make))
        self._under_way.add(task)

        def ended(task: asyncio.Task[None]) -> None:
            self._under_way.discard(task)
            at_end()
            if not task.cancelled() and (error := task.exception()):
                log.error("connection not served", error=type(error).__name__)

        task.add_done_callback(ended)

    async def _attend(self, client: socket.socket, make: Callable[[], Connection | Busy]) -> None:
        with suppress(OSError):  # a handshake that failed or took too long, or a client that is gone
            _, connection = await asyncio.get_running_loop().connect_accepted_socket(make, client, **self._tls)
            await connection.ended


async def _listeners(host: str | None, port: int) -> tuple[socket.socket, ...]:
    """Bind and listen, without dual-stack sockets: an IPv4 client has an IPv4 address in the logs, too."""
    flags = socket.AI_PASSIVE
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    with ExitStack() as stack:
        opened: list[socket.socket] = []
        for family, *_, address in dict.fromkeys(found):
            try:
                listener = socket.create_server(address, family=family, backlog=BACKLOG)
            except OSError as error:
                if error.errno == errno.EAFNOSUPPORT and len(found) > 1:
                    continue  # the kernel does not know IPv6
                raise
            opened.append(stack.enter_context(listener))
            listener.setblocking(False)
        stack.pop_all()
    return tuple(opened)
