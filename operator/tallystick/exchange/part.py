"""The part that a feature adds to an exchange replica, and the context that it is built from."""

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tallystick.exchange.endpoint import Route
from tallystick.objects.context import Context
from tallystick.objects.fresh_reader import FreshReader
from tallystick.objects.ports import Cluster, Ids
from tallystick.tokens.policy import IssuancePolicy
from tallystick.tokens.signer import Issuer
from tallystick.tokens.token_type import Hints, Judge

ReadHints = Callable[[Mapping[str, str]], Hints]
"""Returns those form fields beside a token that are hints. Raises ExchangeRefusedError for a value that is none."""

RefuseExchange = Callable[[str, Hints], Coroutine[Any, Any, None]]
"""Takes an unverified token that a client wants to exchange. Raises ExchangeRefusedError if its type is not exchanged,
NotYetError if its state cannot be read now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackgroundTask:
    """Work that an exchange replica does beside its requests.

    Attributes:
        run: Runs until it is cancelled. The process ends with status 1 if it raises or returns.
        finish: Runs once when the process stops, for 2 seconds at most.
    """

    run: Callable[[], Awaitable[None]]
    finish: Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeContext:
    """The parts of an exchange replica that a feature may use.

    Attributes:
        ctx: The ports that are the same for all use cases.
        cluster: The API server.
        reader: Reads objects that are at most `--max-staleness` old.
        signer: Verifies and signs tokens.
        policy: The settings of issuing.
        ids: Makes ids.
        namespace: The namespace of the operator.
        replica: The name of this replica. It is the same after a restart.
        read_hints: Reads the form fields beside a token; raises ExchangeRefusedError.
        refuse_exchange: Refuses a token whose type some feature does not exchange.
    """

    ctx: Context
    cluster: Cluster
    reader: FreshReader
    signer: Issuer
    policy: IssuancePolicy
    ids: Ids
    namespace: str
    replica: str
    read_hints: ReadHints
    refuse_exchange: RefuseExchange


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangePart:
    """The parts that a feature adds to an exchange replica.

    Attributes:
        routes: Its endpoints with their handlers.
        judges: Decides about its tokens, by `typ`.
        refuse_exchange: Refuses its tokens at the token endpoint. Default: no token is refused.
        background: Its work beside requests.
        ready: The members that it adds to the response of `/readyz`.
    """

    routes: Sequence[Route] = ()
    judges: Mapping[str, Judge] = field(default_factory=dict)
    refuse_exchange: RefuseExchange | None = None
    background: Sequence[BackgroundTask] = ()
    ready: Mapping[str, str] = field(default_factory=dict)


def exchange_parts(
    builders: Sequence[Callable[[ExchangeContext], ExchangePart]],
    context_with: Callable[[RefuseExchange], ExchangeContext],
) -> tuple[ExchangePart, ...]:
    """Build the parts of all features for one replica. Each feature may refuse a token that another one is to exchange.

    Args:
        builders: One for each feature, `Feature.exchange`.
        context_with: Returns the context of the builders with its `refuse_exchange`.
    """
    parts: list[ExchangePart] = []

    async def refuse_exchange(unverified_jwt: str, hints: Hints) -> None:
        for part in parts:
            if part.refuse_exchange is not None:
                await part.refuse_exchange(unverified_jwt, hints)

    context = context_with(refuse_exchange)
    parts.extend(build(context) for build in builders)
    return tuple(parts)
