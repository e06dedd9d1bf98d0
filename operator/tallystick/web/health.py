"""For those who run the exchange: is it alive, can it serve, what has it done."""

from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from tallystick.web.answers import json_answer
from tallystick.web.parts import PARTS

HEALTHZ_PATH, READYZ_PATH, METRICS_PATH = "/healthz", "/readyz", "/metrics"


async def get_healthz(_: web.Request) -> web.Response:
    """The event loop turns: nothing more is asked, so that an outage of the API restarts nobody."""
    return json_answer({"status": "ok"})


async def get_readyz(request: web.Request) -> web.Response:
    """Say whether the replica can serve, and why not."""
    parts = request.app[PARTS]
    reason = parts.why_not_ready()
    if reason is None:
        return json_answer({"status": "ready", "useCases": parts.use_cases_digest})
    body = {"status": "not ready", "reason": reason, "useCases": parts.use_cases_digest}
    return json_answer(body, status=503, outcome="temporarily_unavailable")


async def get_metrics(request: web.Request) -> web.Response:
    """Render the registry for Prometheus."""
    body = generate_latest(request.app[PARTS].metrics.registry)
    return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})
