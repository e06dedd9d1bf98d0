"""The type Feature: the parts that a feature adds to controller, exchange, installation and command line.

Plain values: the composition roots pass them on. No module registers itself by being imported.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import BaseModel

from tallystick.exchange.endpoint import Endpoint
from tallystick.install.installation import Installation
from tallystick.objects.context import Context
from tallystick.objects.kind import Kind
from tallystick.objects.ports import Cache, Cluster, Ids, Keys
from tallystick.objects.result import Result
from tallystick.schema.meta import Resource
from tallystick.tokens.token_type import Judge, TokenType

Json = dict[str, Any]


class ObjectReconciler(Protocol):
    """Reconciles the objects of one kind, one at a time."""

    async def reconcile(self, namespace: str, name: str) -> Result:
        """Do the work that is due now, and return when to look again. May raise ClusterError or NotYetError."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Chore:
    """Work that the process repeats.

    Attributes:
        every: Seconds between two runs.
        run: One run. It may raise ClusterError or NotYetError, which are logged; the next run tries again.
        what: Names the work in the log, as a verb phrase.
        before_leading: Whether a new leader runs it once before it reconciles anything.
    """

    every: float
    run: Callable[[], Awaitable[object]]
    what: str
    before_leading: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauge:
    """A metric that is read when the metrics are scraped; `read` returns a value for each value of its label."""

    name: str
    help: str
    label: str = ""
    read: Callable[[], Mapping[str, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerContext:
    """The parts of a controller process that a feature may use."""

    ctx: Context
    cluster: Cluster
    cache: Cache
    keys: Keys
    namespace: str
    issuer: str
    external_urls: tuple[str, ...]
    ca_pem: str | None
    settings: BaseModel
    look_again: Callable[[Resource, str, str], None]
    look_at_all_again: Callable[[], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerPart:
    """The parts that a feature adds to the controller."""

    reconcilers: Mapping[Resource, ObjectReconciler]
    chores: Sequence[Chore] = ()
    gauges: Sequence[Gauge] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeContext:
    """The parts of an exchange replica that a feature may use."""

    ctx: Context
    cluster: Cluster
    keys: Keys
    ids: Ids
    namespace: str
    replica: str
    issuer: str
    external_urls: tuple[str, ...]
    settings: BaseModel


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangePart:
    """The parts that a feature adds to the exchange; `judges` is by `typ`."""

    endpoints: Sequence[Endpoint] = ()
    judges: Mapping[str, Judge]
    chores: Sequence[Chore] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """One feature.

    Attributes:
        kinds: Its custom resources.
        token_types: The types of the tokens that it signs.
        controller: Builds its part of a controller process.
        exchange: Builds its part of an exchange replica.
        admission: Builds its admission policies.
    """

    kinds: tuple[Kind, ...]
    token_types: tuple[TokenType, ...] = ()
    controller: Callable[[ControllerContext], ControllerPart]
    exchange: Callable[[ExchangeContext], ExchangePart]
    admission: Callable[[Installation], list[Json]]
