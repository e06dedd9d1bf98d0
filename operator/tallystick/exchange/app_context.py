"""The values that the exchange's own handlers and middlewares need, in one value for each replica."""

from dataclasses import dataclass

from aiohttp import web

from tallystick.exchange.endpoint import Api
from tallystick.exchange.in_flight import InFlight
from tallystick.exchange.senders import Senders
from tallystick.objects.ports import Clock, Ids, Keys
from tallystick.runtime.metrics import Metrics
from tallystick.tokens.callers import Callers
from tallystick.tokens.introspection import Introspection
from tallystick.tokens.revocation import Revocation
from tallystick.tokens.token_type import TokenType


@dataclass(frozen=True, slots=True, kw_only=True)
class AppContext:
    """The parts of one exchange replica that shared handlers use. A feature's handlers hold their own use cases.

    Attributes:
        api: The HTTP API that the replica serves.
        issuer: The `iss` of all tokens. The exchange publishes its endpoints under this URL.
        token_types: The types of tokens whose hints a caller may send.
    """

    api: Api
    issuer: str
    token_types: tuple[TokenType, ...]
    introspection: Introspection
    revocation: Revocation
    callers: Callers
    keys: Keys
    metrics: Metrics
    senders: Senders
    clock: Clock
    ids: Ids


CONTEXT = web.AppKey("CONTEXT", AppContext)
IN_FLIGHT = web.AppKey("IN_FLIGHT", InFlight)
