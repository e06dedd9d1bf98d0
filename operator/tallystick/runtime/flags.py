"""The flags and commands that a feature adds to the command line.

This module imports no other one of the operator, so that `tallystick --help` does not import what the commands need.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Command = Literal["controller", "exchange", "up", "manifests"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """A command-line flag of one setting.

    Attributes:
        name: The name of the setting; the flag is the same with `--` and hyphens.
        option: The annotation that typer reads: a type, or `Annotated[type, typer.Option(help=...)]`.
        default: Its value if it is not given. None leaves the setting to its variable or its default.
    """

    name: str
    option: Any
    default: object = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandGroup:
    """A command of `tallystick` that has commands of its own.

    Attributes:
        name: The name of the group.
        help: The help of the group.
        commands: Its commands, by name.
    """

    name: str
    help: str
    commands: Mapping[str, Callable[..., None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandLine:
    """The part of a feature on the command line.

    Attributes:
        flags: The flags of its settings, by command.
        commands: Commands of its own for `tallystick`; the name of a function is the name of its command.
        groups: Groups of commands of its own.
    """

    flags: Mapping[Command, tuple[Flag, ...]] = field(default_factory=dict)
    commands: tuple[Callable[..., None], ...] = ()
    groups: tuple[CommandGroup, ...] = ()
