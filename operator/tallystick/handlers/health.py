"""The controller's own small HTTP server: alive, ready, and its figures."""

from collections.abc import Callable

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest


async def serve_health(
    host: str, port: int, *, why_not_ready: Callable[[], str | None], registry: CollectorRegistry
) -> web.AppRunner:
    """Start to serve `/healthz`, `/readyz` and `/metrics`. The caller cleans the runner up.

    Args:
        host: the address to listen on.
        port: 0 takes a free one.
        why_not_ready: what is waited for, None when ready.
        registry: the metrics.
    """

    async def healthz(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def readyz(_: web.Request) -> web.Response:
        reason = why_not_ready()
        if reason is None:
            return web.json_response({"status": "ready"})
        return web.json_response({"status": "not ready", "reason": reason}, status=503)

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", metrics)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    return runner
