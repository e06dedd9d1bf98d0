"""Run the exchange: TLS with a certificate that is renewed in place, bounded connections, and an orderly end."""

import asyncio
import errno
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from tallystick.domain.errors import InvalidSettingError
from tallystick.web.connections import IDLE_SECONDS, MOST_CONNECTIONS, MOST_PER_SOURCE, STALL_SECONDS, Connections
from tallystick.web.door import Door
from tallystick.web.places import Places
from tallystick.web.tls import POLL_SECONDS, ServerCertificate

SHUTDOWN_SECONDS = 8.0


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """Where and how to listen.

    Attributes:
        host: An address of this machine; `` is all of them.
        port: 0 picks a free one.
        cert_file: The certificate with its chain, in PEM.
        key_file: Its key.
        plain_http: Listen without TLS. For a proxy on the same machine; it must be asked for.
        reload_seconds: How often the certificate's files are looked at.
        most_connections: How many there may be at once.
        most_per_source: How many of them one address (or IPv6 /64) may have; None: all, as behind a proxy everything
            comes from its address.
        idle_seconds: How long a connection may be without a request.
        stall_seconds: How long a client may leave its answers unread.
    """

    host: str
    port: int
    cert_file: Path | None = None
    key_file: Path | None = None
    plain_http: bool = False
    reload_seconds: float = POLL_SECONDS
    most_connections: int = MOST_CONNECTIONS
    most_per_source: int | None = MOST_PER_SOURCE
    idle_seconds: float = IDLE_SECONDS
    stall_seconds: float = STALL_SECONDS


async def serve(
    app: web.Application, settings: ServeSettings, say: Callable[[str], None], *, stop: asyncio.Event
) -> None:
    """Listen until `stop` is set, then finish what is under way.

    Raises:
        InvalidSettingError: the address or the certificate cannot be used.
    """
    async with listening(app, settings) as port:
        scheme = "http" if settings.plain_http else "https"
        say(f"exchange listens on {scheme}://{_bracketed(settings.host)}:{port}")
        await stop.wait()


@asynccontextmanager
async def listening(app: web.Application, settings: ServeSettings) -> AsyncIterator[int]:
    """Listen while the context is open, and give the port. The end waits for requests that are under way."""
    certificate = _certificate(settings)
    # A client that hangs up does not cancel its handler: a redemption in its middle goes on to its end.
    runner = web.AppRunner(app, access_log=None, handler_cancellation=False, shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    if runner.server is None:
        raise RuntimeError("the runner has not been set up")
    door = _door(runner.server, settings, certificate)
    try:
        port = await _open(door, settings)
        try:
            async with _watched(certificate, settings.reload_seconds):
                yield port
        finally:
            door.shut()
    finally:
        await runner.cleanup()
        await door.end()


def _certificate(settings: ServeSettings) -> ServerCertificate | None:
    if settings.plain_http:
        return None
    if settings.cert_file is None or settings.key_file is None:
        raise InvalidSettingError(
            "TLS needs a certificate and its key: give --tls-cert and --tls-key, or --plain-http behind a proxy"
        )
    return ServerCertificate(settings.cert_file, settings.key_file)


def _door(server: web.Server, settings: ServeSettings, certificate: ServerCertificate | None) -> Door:
    most = settings.most_connections
    per_source = settings.most_per_source
    return Door(
        Connections(server, idle_seconds=settings.idle_seconds, stall_seconds=settings.stall_seconds),
        Places(most=most, most_per_source=most if per_source is None else per_source),
        certificate.context if certificate is not None else None,
    )


async def _open(door: Door, settings: ServeSettings) -> int:
    try:
        return await door.open(settings.host or None, settings.port)
    except OSError as error:
        raise InvalidSettingError(_why_not_bound(error, settings)) from error


@asynccontextmanager
async def _watched(certificate: ServerCertificate | None, poll_seconds: float) -> AsyncIterator[None]:
    if certificate is None:
        yield
        return
    watch = asyncio.create_task(certificate.watch(poll_seconds))
    try:
        yield
    finally:
        watch.cancel()
        with suppress(asyncio.CancelledError):
            await watch


def _why_not_bound(error: OSError, settings: ServeSettings) -> str:
    address = f"{_bracketed(settings.host)}:{settings.port}"
    if error.errno == errno.EADDRINUSE:
        return f"{address} is in use by another process; stop that one, or choose another address with --listen"
    if error.errno == errno.EACCES:
        return f"this user may not listen on {address}; choose a port above 1023 with --listen"
    if error.errno == errno.EADDRNOTAVAIL or isinstance(error, socket.gaierror):
        return f"{settings.host} is not an address of this machine; choose one of its own with --listen"
    return f"cannot listen on {address} ({error.strerror}); choose another address with --listen"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host or "*"
