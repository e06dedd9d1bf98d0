"""One endpoint of the exchange: route, handler, metric label and OpenAPI operation in one value."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One endpoint.

    Attributes:
        method: `GET` also serves HEAD (RFC 9110, section 9.1).
        path: Its path below the issuer, as aiohttp and OpenAPI write it.
        handler: Reads the request, calls one use case and writes its response.
        metric: The value of the metric label `endpoint`.
        outcomes: The values of the metric label `outcome` that are its own, beside those of all endpoints.
        operation: Its OpenAPI operation object.
        schemas: The OpenAPI schemas that only its operation refers to.
    """

    method: Literal["GET", "POST"]
    path: str
    handler: Handler
    metric: str
    outcomes: frozenset[str] = frozenset()
    operation: Mapping[str, Any] = field(default_factory=dict, repr=False)
    schemas: Mapping[str, Any] = field(default_factory=dict, repr=False)
