"""The part that a feature adds to an exchange replica, and the context that it is built from."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from tallystick.exchange.endpoint import Route
from tallystick.objects.context import Context
from tallystick.objects.fresh_reader import FreshReader
from tallystick.objects.ports import Cluster, Ids
from tallystick.runtime.renewed_files import RenewedFiles
from tallystick.tokens.callers import Callers
from tallystick.tokens.signer import Signer
from tallystick.tokens.token_type import Judge, TokenType
from tallystick.tokens.wrong_types import WrongTypes

S = TypeVar("S", bound=BaseModel)


@dataclass(frozen=True, slots=True, kw_only=True)
class BackgroundTask:
    """Work that an exchange replica does beside its requests.

    Attributes:
        run: Runs until it is canceled. The process ends with status 1 if it raises or returns.
        finish: Runs once when the process stops, for 2 seconds at most.
    """

    run: Callable[[], Awaitable[None]]
    finish: Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeContext(Generic[S]):
    """The parts of an exchange replica that a feature may use.

    Attributes:
        ctx: The ports that are the same for all use cases.
        cluster: The API server.
        reader: Reads objects that are at most `--max-staleness` old.
        signer: Verifies and signs tokens.
        ids: Makes ids.
        namespace: The namespace of the operator.
        replica: The name of this replica. It is the same after a restart.
        external_urls: The URLs of the exchange: at least one, of which the first is the default.
        token_types: The types of tokens of all features.
        wrong_types: Rejects tokens of other types where one type is exchanged.
        settings: The settings of the feature.
        callers: Authenticates and authorizes Kubernetes identities.
        files: Reads files again that another program renews.
    """

    ctx: Context
    cluster: Cluster
    reader: FreshReader
    signer: Signer
    ids: Ids
    namespace: str
    replica: str
    external_urls: tuple[str, ...]
    token_types: tuple[TokenType, ...]
    wrong_types: WrongTypes
    settings: S
    callers: Callers
    files: RenewedFiles = field(default_factory=RenewedFiles)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangePart:
    """The parts that a feature adds to an exchange replica.

    Attributes:
        routes: Its endpoints with their handlers.
        judges: Decides about its tokens, by `typ`.
        background: Its work beside requests.
        ready: The members that it adds to the response of `/readyz`.
    """

    routes: Sequence[Route] = ()
    judges: Mapping[str, Judge] = field(default_factory=dict)
    background: Sequence[BackgroundTask] = ()
    ready: Mapping[str, str] = field(default_factory=dict)


def exchange_parts(
    builders: Sequence[Callable[[ExchangeContext[Any]], ExchangePart]],
    context: ExchangeContext[Any],
    judges: dict[str, Judge],
) -> tuple[ExchangePart, ...]:
    """Build the parts of all features for one replica, and add their judges to those that the context refers to."""
    parts = tuple(build(context) for build in builders)
    for part in parts:
        judges.update(part.judges)
    return parts
