"""The type Feature: the parts that a feature adds to controller, exchange, installation and command line.

Plain values: the composition roots pass them on. No module registers itself by being imported.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from tallystick.controller.part import ControllerContext, ControllerPart
from tallystick.exchange.endpoint import ApiPart
from tallystick.exchange.part import ExchangeContext, ExchangePart
from tallystick.install.installation import Installation
from tallystick.install.part import InstallPart
from tallystick.objects.kind import Kind
from tallystick.runtime.flags import Command, CommandGroup, Flag
from tallystick.runtime.gauges import Gauge
from tallystick.tokens.token_type import TokenType

S = TypeVar("S", bound=BaseModel)


class NoSettings(BaseModel):
    """The settings of a feature that has none."""

    model_config = ConfigDict(frozen=True)


def _nothing_served(_: ExchangeContext[Any]) -> ExchangePart:
    return ExchangePart()


def _nothing_installed(_: Installation, __: BaseModel) -> InstallPart:
    return InstallPart()


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature(Generic[S]):
    """One feature.

    Attributes:
        kinds: Its custom resources. CRDs, RBAC, watches, cache, keys in use and metrics follow from them.
        token_types: The types of the tokens that it signs.
        settings: The model of its settings, of which every field has a default. A field is also a variable
            `TALLYSTICK_<NAME>` of controller and exchange.
        flags: The flags of its settings, by command.
        gauges: The figures that it publishes; its part of the controller reads them.
        controller: Builds its part of a controller process.
        api: Its part of the HTTP API. Default: no endpoint.
        exchange: Builds its part of an exchange replica. Default: it serves nothing.
        installation: Builds its part of an installation: admission policies, RBAC and probes. Default: none.
        commands: Commands of its own for `tallystick`; the name of a function is the name of its command.
        command_groups: Groups of commands of its own.
    """

    kinds: tuple[Kind, ...]
    token_types: tuple[TokenType, ...] = ()
    settings: type[S]
    flags: Mapping[Command, tuple[Flag, ...]] = field(default_factory=dict)
    gauges: tuple[Gauge, ...] = ()
    controller: Callable[[ControllerContext[S]], ControllerPart]
    api: ApiPart = field(default_factory=ApiPart)
    exchange: Callable[[ExchangeContext[S]], ExchangePart] = _nothing_served
    installation: Callable[[Installation, S], InstallPart] = _nothing_installed
    commands: tuple[Callable[..., None], ...] = ()
    command_groups: tuple[CommandGroup, ...] = ()


def kinds_of(features: Sequence[Feature[Any]]) -> tuple[Kind, ...]:
    """Return the kinds of these features, in their order."""
    return tuple(kind for feature in features for kind in feature.kinds)


def gauges_of(features: Sequence[Feature[Any]]) -> tuple[Gauge, ...]:
    """Return the gauges of these features."""
    return tuple(gauge for feature in features for gauge in feature.gauges)


def token_types_of(features: Sequence[Feature[Any]]) -> tuple[TokenType, ...]:
    """Return the types of the tokens that these features sign."""
    return tuple(token_type for feature in features for token_type in feature.token_types)
