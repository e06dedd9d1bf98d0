"""The HTTP server of a process for its cluster: liveness, readiness and metrics, apart from what clients use."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from tallystick.errors import InvalidSettingError
from tallystick.runtime.addresses import Address, listen_on, why_not_bound
from tallystick.runtime.parts import Work

# A client that does not read its response delays the end of the process by this time at most.
FINISH_SECONDS = 1.0
BACKLOG = 16

log = structlog.get_logger("tallystick")


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """The facts that a process publishes for its cluster.

    Attributes:
        why_not_ready: Returns the reason why the process is not ready, or None.
        ready: Returns further members of the response of `/readyz`.
        registry: The metrics.
    """

    why_not_ready: Callable[[], str | None]
    ready: Callable[[], Mapping[str, str]]
    registry: CollectorRegistry


@asynccontextmanager
async def health_server(address: Address, health: Health) -> AsyncIterator[Work]:
    """Serve `/healthz`, `/readyz` and `/metrics` while the context is open. Yield the part that must not end.

    `/healthz` is 200 while the event loop runs: an outage of the API server restarts no process.

    Raises:
        InvalidSettingError: The address cannot be used.
    """
    async with AsyncExitStack() as stack:
        runner = web.AppRunner(_app(health), access_log=None, shutdown_timeout=FINISH_SECONDS)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        servers = await _listen(runner, address)
        for server in servers:
            stack.callback(server.close)

        log.info("health and metrics", url=f"http://{Address(address.host or '*', address.port)}")

        async def serve() -> None:
            await asyncio.gather(*(server.serve_forever() for server in servers))

        yield serve


def _app(health: Health) -> web.Application:
    async def healthz(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def readyz(_: web.Request) -> web.Response:
        reason = health.why_not_ready()
        if reason is None:
            return web.json_response({"status": "ready", **health.ready()})
        return web.json_response({"status": "not ready", "reason": reason, **health.ready()}, status=503)

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(health.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", metrics)])
    return app


async def _listen(runner: web.AppRunner, address: Address) -> list[asyncio.Server]:
    if runner.server is None:
        raise RuntimeError("the runner has not been set up")
    loop = asyncio.get_running_loop()
    try:
        sockets = await listen_on(address, backlog=BACKLOG)
    except OSError as error:
        raise InvalidSettingError(why_not_bound(error, address, "--health-listen")) from error
    return [await loop.create_server(runner.server, sock=opened, backlog=BACKLOG) for opened in sockets]
