"""Flags that several commands share, and flags that come from the features.

A command declares its own flags as parameters. It reads the ones that `with_flags` adds from its typer context.
"""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Protocol, get_type_hints

import typer
from typer.core import TyperGroup

from tallystick.runtime.flags import Command, Flag

OPERATOR_NAMESPACE = "tallystick-system"


class Group(TyperGroup):
    """A group of commands whose help imports only typer."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the flags before the command. Typer would import pydantic to read one without a value."""
        flags: list[Any] = super().get_params(ctx)
        for flag in flags:
            flag.default = flag.default or False
        return flags


class HasFlags(Protocol):
    """A feature, or its part of the command line."""

    @property
    def flags(self) -> Mapping[Command, tuple[Flag, ...]]:
        """The flags of its settings, by command."""
        ...


_ANY_COMMAND = (
    Flag(
        name="public_urls",
        option=Annotated[
            str,
            typer.Option(
                help="Comma-separated https URLs of the exchange for clients. The first is the default. Required."
            ),
        ],
        default="",
    ),
    Flag(
        name="issuer",
        option=Annotated[
            str,
            typer.Option(
                help="Issuer (`iss` claim) of all tokens. Cannot be changed after the first start. "
                "Default: the first value of --public-urls."
            ),
        ],
        default="",
    ),
    Flag(
        name="namespace",
        option=Annotated[
            str,
            typer.Option(
                help="Namespace of the operator. Default: that of the pod, or tallystick-system outside a cluster."
            ),
        ],
        default="",
    ),
    Flag(
        name="kubeconfig",
        option=Annotated[
            Path | None,
            typer.Option(
                help="Kubeconfig file. Default: $KUBECONFIG, or ~/.kube/config, or else the ServiceAccount of the pod."
            ),
        ],
    ),
    Flag(
        name="context",
        option=Annotated[str | None, typer.Option(help="Context of the kubeconfig. Default: its current context.")],
    ),
)
_LOGS = (
    Flag(
        name="audit_log",
        option=Annotated[str, typer.Option(help="File for audit lines; `-` is standard output. Default: -.")],
        default="",
    ),
    Flag(
        name="log_level",
        option=Annotated[
            str, typer.Option(help="Lowest level that is logged: DEBUG, INFO, WARNING or ERROR. Default: INFO.")
        ],
        default="",
    ),
)


def flags_of(features: Iterable[HasFlags], command: Command) -> tuple[Flag, ...]:
    """Return the flags that features add to a command."""
    return tuple(flag for feature in features for flag in feature.flags.get(command, ()))


def process_flags(features: Iterable[HasFlags], command: Command) -> tuple[Flag, ...]:
    """Return the flags that both processes have, and those of the features."""
    return (*_ANY_COMMAND, *flags_of(features, command), *_LOGS)


def with_flags(flags: Sequence[Flag], *, after: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add flags to a command.

    Args:
        flags: The flags. The command finds their values in the `params` of its typer context.
        after: The parameter of the command after which the help lists them.
    """
    added = [
        inspect.Parameter(flag.name, inspect.Parameter.KEYWORD_ONLY, default=flag.default, annotation=flag.option)
        for flag in flags
    ]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        hints = get_type_hints(command, include_extras=True)
        own = [
            parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[parameter.name])
            for parameter in inspect.signature(command).parameters.values()
        ]
        place = 1 + [parameter.name for parameter in own].index(after)
        names = {flag.name for flag in flags}

        def run(**given: Any) -> None:
            command(**{name: value for name, value in given.items() if name not in names})

        run.__name__, run.__doc__ = command.__name__, command.__doc__
        parameters = [*own[:place], *added, *own[place:]]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return run

    return decorate
