"""The values by which a feature describes its part of the exchange's HTTP API.

Routes, metric labels, the OpenAPI document and the discovery document come from these values. The exchange imports no
feature.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp import web

from tallystick.exchange.responses import OUTCOMES

Json = dict[str, Any]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Describe = Callable[["Api"], Json]
"""Returns the OpenAPI operation object of an endpoint; it may include the parameters of other features."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One endpoint.

    Attributes:
        method: `GET` also serves HEAD (RFC 9110, section 9.1).
        path: Its path, as aiohttp and OpenAPI write it.
        describe: Returns its OpenAPI operation object.
        issuer_path: The place of the path of an issuer that has one. `before`: the exchange also serves the endpoint
            below it, because a proxy may remove it or not. `after`: the exchange also serves the endpoint with it at
            the end (RFC 8414, section 3.1). `absent`: it has no such place.
        metric: The value of the metric label `endpoint`. Default: responses are not counted.
        outcomes: The values of the metric label `outcome` beside those of all endpoints.
        may_repeat: The parameters that a request may have more than once.
        credential: The place of the credential by which failures of senders are limited: `bearer` for a token of ours
            in the header (scheme Bearer or DPoP), `caller` for a ServiceAccount token there or one of ours, or the name
            of the form field that holds a token of ours. Default: failures are limited by address.
        discovery_url: The member of the discovery document that holds its URL (RFC 8414, section 2). Default: none.
        discovery: Further members of the discovery document.
    """

    method: Literal["GET", "POST"]
    path: str
    describe: Describe = field(repr=False)
    issuer_path: Literal["before", "after", "absent"] = "before"
    metric: str = ""
    outcomes: frozenset[str] = frozenset()
    may_repeat: tuple[str, ...] = ()
    credential: str | None = None
    discovery_url: str = ""
    discovery: Mapping[str, object] = field(default_factory=dict)

    @property
    def is_oauth(self) -> bool:
        """Whether it is one of the endpoints of OAuth."""
        return self.path.startswith("/oauth2/")


@dataclass(frozen=True, slots=True)
class Route:
    """An endpoint, and the handler that serves it in one replica."""

    endpoint: Endpoint
    handler: Handler


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiPart:
    """The HTTP API of one feature, without a handler: it is the same for all replicas. Schemas are JSON Schema.

    Attributes:
        abilities: A verb phrase for each group of endpoints, such as "redeem a pairing token".
        tokens: The names of its types of tokens, as in "pairing token".
        endpoints: Its endpoints.
        exchange_hints: The parameters that it reads beside a token at the token endpoint, each with its schema.
        introspection_hints: The same at the introspection endpoint.
        introspected: The members that introspection adds, or describes in more detail, for its tokens.
        security_schemes: The OpenAPI security schemes of its endpoints.
    """

    abilities: tuple[str, ...] = ()
    tokens: tuple[str, ...] = ()
    endpoints: tuple[Endpoint, ...] = ()
    exchange_hints: Mapping[str, Json] = field(default_factory=dict, repr=False)
    introspection_hints: Mapping[str, Json] = field(default_factory=dict, repr=False)
    introspected: Mapping[str, Json] = field(default_factory=dict, repr=False)
    security_schemes: Mapping[str, Json] = field(default_factory=dict, repr=False)


class Api:
    """The whole HTTP API: the part of the exchange itself, and those of the features in their order.

    It has the attributes of a part, each joined over all parts.
    """

    def __init__(self, own: ApiPart, features: tuple[ApiPart, ...]) -> None:
        parts = (own, *features)
        self.abilities = tuple(ability for part in parts for ability in part.abilities)
        self.tokens = tuple(name for part in parts for name in part.tokens)
        self.endpoints = _in_order([*(one for part in features for one in part.endpoints), *own.endpoints])
        self.exchange_hints = _joined([part.exchange_hints for part in parts])
        self.introspection_hints = _joined([part.introspection_hints for part in parts])
        self.introspected = _joined([part.introspected for part in parts])
        self.security_schemes = _joined([part.security_schemes for part in parts])

    @property
    def metrics(self) -> frozenset[str]:
        """The values of the metric label `endpoint`."""
        return frozenset(endpoint.metric for endpoint in self.endpoints if endpoint.metric)

    @property
    def outcomes(self) -> frozenset[str]:
        """The values of the metric label `outcome`."""
        return OUTCOMES.union(*(endpoint.outcomes for endpoint in self.endpoints))


def _in_order(endpoints: list[Endpoint]) -> tuple[Endpoint, ...]:
    """Put the endpoints of OAuth first, and those that only read last."""
    return tuple(sorted(endpoints, key=lambda one: (not one.is_oauth, one.method == "GET")))


def _joined(schemas: list[Mapping[str, Json]]) -> Json:
    return {name: schema for part in schemas for name, schema in part.items()}
