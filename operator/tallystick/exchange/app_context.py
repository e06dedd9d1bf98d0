"""The values that the exchange's own handlers and middlewares need, in one value for each replica."""

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from tallystick.exchange.endpoint import Api
from tallystick.exchange.failure_limits import FailureLimiter
from tallystick.exchange.in_flight import InFlight
from tallystick.exchange.part import ReadHints
from tallystick.objects.ports import Ids, Keys
from tallystick.runtime.metrics import Metrics
from tallystick.tokens.callers import Caller, Callers
from tallystick.tokens.revocation import Revocation
from tallystick.tokens.token_type import Hints

Introspect = Callable[[str, Caller, Hints], Coroutine[Any, Any, Mapping[str, object]]]
"""Returns the response of RFC 7662 for an unverified token, by the caller's rights and hints."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AppContext:
    """The parts of one exchange replica that shared handlers use. A feature's handlers hold their own use cases.

    Attributes:
        api: The HTTP API that the replica serves.
        issuer: The `iss` of all tokens. The exchange publishes its endpoints under this URL.
        read_hints: Reads the form fields beside a token.
        why_not_ready: Returns the reason why the replica cannot serve, or None if it can.
        ready: Members that features add to the response of `/readyz`.
    """

    api: Api
    issuer: str
    read_hints: ReadHints
    introspect: Introspect
    revocation: Revocation
    callers: Callers
    keys: Keys
    why_not_ready: Callable[[], str | None]
    ready: Mapping[str, str]
    metrics: Metrics
    limiter: FailureLimiter
    ids: Ids


CONTEXT = web.AppKey("CONTEXT", AppContext)
IN_FLIGHT = web.AppKey("IN_FLIGHT", InFlight)
