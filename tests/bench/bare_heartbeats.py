"""The bare programs of wH: the instances that send heartbeats, and the least that could answer them.

The least is a process of its own, which verifies the token as the exchange does, and answers:

    python -m tests.bench.bare_heartbeats '{"port": ..., "issuer": ..., ...}'
"""

import asyncio
import json
import ssl
import statistics
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import aiohttp
from aiohttp import web

from tallystick.connections.domain.tokens import CONNECTION
from tallystick.crypto.keys import verifying_keys
from tallystick.crypto.tokens import verify
from tests.bench.bare_client import SOURCES, Json, from_sources

# Of each source; the exchange lets 64 in.
CONNECTIONS = 32
PATH = "/v1/connections/{namespace}/{name}/heartbeat"
PATIENCE = aiohttp.ClientTimeout(total=30.0)


async def beat(
    url: str,
    ca_file: str,
    namespace: str,
    tokens: dict[str, str],
    instances: int,
    periods: int,
    seconds: float,
    *,
    keep_alive: bool = True,
) -> Json:
    """The load of wH: instances of several configurations, each with one heartbeat a period, spread evenly over it.

    Nobody waits for the one before: what is late has its lateness in its latency, which counts from when it was due.
    Without `keep_alive` each heartbeat comes over a connection of its own.

    Args:
        url: who is told.
        ca_file: the CA of its certificate.
        namespace: where the configurations are.
        tokens: the token of each configuration, by its name.
        instances: how many there are of all configurations together.
        periods: how many heartbeats each sends.
        seconds: how long a period is.
        keep_alive: whether a connection serves more than one heartbeat.
    """
    names, latencies = sorted(tokens), []
    errors: Counter[str] = Counter()
    async with from_sources(ca_file, limit=CONNECTIONS, keep_alive=keep_alive) as sessions:

        async def one(instance: int, due: float) -> None:
            configuration = instance % len(names)
            name = names[configuration]
            try:
                async with sessions[configuration % SOURCES].post(
                    url + PATH.format(namespace=namespace, name=name),
                    json={"instance_id": f"instance-{instance}", "deployment_type": "Kubernetes"},
                    headers={"Authorization": f"Bearer {tokens[name]}"},
                    timeout=PATIENCE,
                ) as response:
                    if response.status != 204:
                        errors[str(response.status)] += 1
            except (aiohttp.ClientError, TimeoutError) as error:
                errors[type(error).__name__] += 1
            latencies.append(time.monotonic() - due)

        begun, apart = time.monotonic(), seconds / instances
        async with asyncio.TaskGroup() as group:
            for number in range(instances * periods):
                due = begun + number * apart
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                group.create_task(one(number % instances, due))
        lasted = time.monotonic() - begun
    return {
        "seconds": lasted,
        "count": len(latencies),
        "errors": errors.total(),
        "said": dict(errors),
        "median_ms": statistics.median(latencies) * 1000,
        "p99_ms": statistics.quantiles(latencies, n=100)[-1] * 1000,
    }


def serve(port: int, certificate: str, key: str, issuer: str, jwks: Json) -> None:
    """wH's limit: verify the same token by the same means, and answer."""
    keys = verifying_keys(jwks)

    async def heartbeat(request: web.Request) -> web.Response:
        json.loads(await request.read())
        shown = request.headers["Authorization"].removeprefix("Bearer ")
        verify(shown, keys, profile=CONNECTION, issuer=issuer, now=datetime.now(UTC))
        return web.Response(status=204)

    app = web.Application()
    app.router.add_post(PATH, heartbeat)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    web.run_app(app, host="127.0.0.1", port=port, ssl_context=context, access_log=None, print=None)


def main(arguments: str) -> None:
    reported: dict[str, Any] = json.loads(arguments)
    serve(**reported)


if __name__ == "__main__":
    main(sys.argv[1])
