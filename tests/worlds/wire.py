"""A client of a listening exchange that can send anything."""

import asyncio
import itertools
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import cast

from tallystick.exchange.server import ServeSettings

LOOPBACK = "127.0.0.1"
PLAIN = ServeSettings(LOOPBACK, 0, plain_http=True)
GET_DOCUMENT = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"


class Wire:
    """One connection of a client that can send anything."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def exchange(self, raw: bytes) -> bytes:
        """Send bytes, and return the head of the answer; its body is read, too."""
        self.writer.write(raw)
        async with asyncio.timeout(HANGS_SECONDS):
            head = await self.reader.readuntil(b"\r\n\r\n")
            await self.reader.readexactly(int(head.lower().partition(b"content-length: ")[2].split()[0]))
        return head

    async def rest(self) -> bytes:
        """Return what the server still says before it hangs up."""
        async with asyncio.timeout(HANGS_SECONDS):
            return await self.reader.read()

    async def ask_without_end(self) -> None:
        """Ask and never read an answer; raises OSError when the server has hung up."""
        cast("asyncio.Transport", self.writer.transport).pause_reading()
        async with asyncio.timeout(HANGS_SECONDS):
            while True:
                self.writer.write(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 16)
                await self.writer.drain()


# A bound on what hangs, in real seconds. It says nothing about speed.
HANGS_SECONDS = 60.0


@asynccontextmanager
async def connected(port: int, *, tls: bool = False) -> AsyncIterator[Wire]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    reader, writer = await asyncio.open_connection(LOOPBACK, port, ssl=context if tls else None)
    try:
        yield Wire(reader, writer)
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def until(fact: Callable[[], Awaitable[object]]) -> None:
    """Ask until the answer is true; fail if it never is."""
    async with asyncio.timeout(HANGS_SECONDS):
        for _ in itertools.count():
            if await fact():
                return
            await asyncio.sleep(0.01)
