"""The exchange's routes. Each handler reads the request, calls one use case and writes its answer."""

from aiohttp import web

from tallystick.domain.connection_secrets import HEARTBEAT_PATH
from tallystick.domain.grants import TOKEN_PATH
from tallystick.web.exchange import post_token
from tallystick.web.finishing import Finishing
from tallystick.web.forms import MOST_BYTES
from tallystick.web.health import HEALTHZ_PATH, METRICS_PATH, READYZ_PATH, get_healthz, get_metrics, get_readyz
from tallystick.web.heartbeats import post_heartbeat
from tallystick.web.introspection import post_introspect
from tallystick.web.metadata import (
    DISCOVERY_PATH,
    INTROSPECT_PATH,
    JWKS_PATH,
    REVOKE_PATH,
    get_discovery,
    get_jwks,
    issuer_path,
)
from tallystick.web.middlewares import ENDPOINTS, counted, expected, failures_noted, limited, set_headers, translated
from tallystick.web.openapi import OPENAPI_PATH, get_openapi
from tallystick.web.parts import FINISHING, PARTS, ExchangeParts
from tallystick.web.revocation import post_revoke

__all__ = ["ExchangeParts", "make_app"]

DRAIN_SECONDS = 8.0

_OPERATIONS = (
    (HEALTHZ_PATH, get_healthz),
    (READYZ_PATH, get_readyz),
    (METRICS_PATH, get_metrics),
    (OPENAPI_PATH, get_openapi),
)
# Method, path, handler, and the metrics' word for it.
_ENDPOINTS = (
    ("GET", JWKS_PATH, get_jwks, "jwks"),
    ("POST", TOKEN_PATH, post_token, "token"),
    ("POST", INTROSPECT_PATH, post_introspect, "introspect"),
    ("POST", REVOKE_PATH, post_revoke, "revoke"),
    ("POST", HEARTBEAT_PATH, post_heartbeat, "heartbeat"),
)


def make_app(parts: ExchangeParts) -> web.Application:
    """Wire the routes of one replica."""
    app = web.Application(
        middlewares=[counted, failures_noted, translated, limited],
        client_max_size=MOST_BYTES,
    )
    app[PARTS] = parts
    app[FINISHING] = Finishing()
    app[ENDPOINTS] = _add_routes(app, parts.issuer)
    app.on_response_prepare.append(set_headers)
    app.on_cleanup.append(_drain)
    return app


def _add_routes(app: web.Application, issuer: str) -> dict[str, str]:
    """Add all routes, and return the metrics' word for each path that is counted."""
    path = issuer_path(issuer)
    for place, get in _OPERATIONS:
        app.router.add_get(place, get, expect_handler=expected)
    endpoints: dict[str, str] = {}
    # A proxy in front may strip the issuer's path or not; both are served.
    for prefix in dict.fromkeys(("", path)):
        for method, place, handler, endpoint in _ENDPOINTS:
            for spoken in ("GET", "HEAD") if method == "GET" else (method,):  # RFC 9110 9.1: who serves GET serves HEAD
                app.router.add_route(spoken, prefix + place, handler, expect_handler=expected)
            endpoints[prefix + place] = endpoint
    # RFC 8414 3.1: the well-known part goes before the issuer's path.
    for place in dict.fromkeys((DISCOVERY_PATH, DISCOVERY_PATH + path)):
        app.router.add_get(place, get_discovery, expect_handler=expected)
        endpoints[place] = "discovery"
    return endpoints


async def _drain(app: web.Application) -> None:
    await app[FINISHING].drain(DRAIN_SECONDS)
