"""A wire to the API server that can fall silent: it passes bytes, TLS from end to end, until a test stops it.

with wire_to(plane) as wire, running(plane, folder, between=wire) as system:
    wire.swallow()   # nothing gets through and nothing is closed, as when a host or a route is lost
    wire.flow()      # new connections work again; what has lost bytes never will
"""

import asyncio
import ssl
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml
from aiohttp import web

from tallystick.localplane.folders import write_private
from tallystick.localplane.plane import ControlPlane

HOST = "127.0.0.1"
CHUNK = 65_536


@contextmanager
def serving(context: AbstractAsyncContextManager[None]) -> Iterator[None]:
    """Enter a context on an event loop in a thread of its own; at the end leave it, and end whatever it has begun."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="faults", daemon=True)
    thread.start()

    def run(work: Coroutine[Any, Any, Any]) -> None:
        asyncio.run_coroutine_threadsafe(work, loop).result(timeout=30.0)

    try:
        run(context.__aenter__())
        try:
            yield
        finally:
            run(context.__aexit__(None, None, None))
    finally:
        run(_end_all())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _end_all() -> None:
    while tasks := asyncio.all_tasks() - {asyncio.current_task()}:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for _ in range(3):  # what they have closed is gone in the loop's next turns
            await asyncio.sleep(0)


@asynccontextmanager
async def http_server(server: web.Server, context: ssl.SSLContext) -> AsyncIterator[int]:
    """Listen at a free port, which is told, until the end of the block; then no client is waited for."""
    runner = web.ServerRunner(server, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, 0, ssl_context=context).start()
        yield runner.addresses[0][1]
    finally:
        for connection in server.connections:
            if connection.transport is not None:
                connection.transport.abort()  # to close it in good order takes the other side (RFC 8446 6.1)
        await runner.cleanup()


def kubeconfig_at(port: int, user: Path, file: Path) -> Path:
    """Write the kubeconfig of a user anew, for another port of loopback, and return where."""
    document = yaml.safe_load(user.read_text())
    document["clusters"][0]["cluster"]["server"] = f"https://{HOST}:{port}"
    write_private(file, yaml.safe_dump(document).encode())
    return file


@dataclass(eq=False, slots=True)
class _Line:
    """One connection. A direction that has lost a byte is lost: TLS lets no later one count (RFC 8446 5.2)."""

    up: bool
    down: bool


class Wire:
    """Passes bytes to a port of loopback. Methods may be called from any thread."""

    def __init__(self, target: int) -> None:
        self.port = 0
        self._target = target
        self._lines: set[_Line] = set()
        self._new = (True, True)

    @property
    def open(self) -> int:
        """How many connections there are."""
        return len(self._lines)

    def kubeconfig(self, user: Path, file: Path) -> Path:
        """Write the kubeconfig of a user anew, to go through the wire, and return where."""
        return kubeconfig_at(self.port, user, file)

    def swallow(self, *, answers_only: bool = False, new_ones: bool = True) -> None:
        """Let nothing more through on the connections that exist, and close none.

        Args:
            answers_only: requests still arrive, and are carried out.
            new_ones: connections that are opened from now on are silent, too.
        """
        if new_ones:
            self._new = (answers_only, False)
        for line in list(self._lines):
            line.up, line.down = line.up and answers_only, False

    def flow(self) -> None:
        """Let new connections through. The silent ones stay silent, until who has opened them gives them up."""
        self._new = (True, True)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Listen at a free port."""
        server = await asyncio.start_server(self._serve, HOST, 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = _Line(*self._new)
        self._lines.add(line)
        try:
            with suppress(OSError):
                await self._pass(line, reader, writer)
        finally:
            self._lines.discard(line)
            _close(writer)

    async def _pass(self, line: _Line, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not line.up:
            await _swallow(reader)
            return
        target_reader, target_writer = await asyncio.open_connection(HOST, self._target)
        try:
            async with asyncio.TaskGroup() as group:
                answers = group.create_task(_down(line, target_reader, writer))
                await _up(line, reader, target_writer)
                answers.cancel()
        finally:
            _close(target_writer)


def _close(writer: asyncio.StreamWriter) -> None:
    """Close a connection; at the end of everything without what is left to send, for nobody reads it any more."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        writer.transport.abort()
    else:
        writer.close()


async def _up(line: _Line, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(CHUNK):
        if line.up:
            with suppress(OSError):
                writer.write(data)
                await writer.drain()


async def _down(line: _Line, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on what comes back; that the other side has hung up is told unless the line is silent."""
    with suppress(OSError):
        while data := await reader.read(CHUNK):
            if line.down:
                writer.write(data)
                await writer.drain()
    if line.down:
        writer.close()


async def _swallow(reader: asyncio.StreamReader) -> None:
    while await reader.read(CHUNK):
        pass


@contextmanager
def wire_to(plane: ControlPlane) -> Iterator[Wire]:
    """Lay a wire to the API server of a plane."""
    wire = Wire(urlsplit(plane.server).port or 0)
    with serving(wire.listening()):
        yield wire
