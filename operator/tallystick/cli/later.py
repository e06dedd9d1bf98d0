"""The groups of commands of `tallystick`. Their parts are imported only when they are needed."""

from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

SIGNING_KEYS_HELP = "List, rotate, back up and restore the signing keys."


class SigningKeys(TyperGroup):
    """`tallystick signing-keys`. Its commands are imported when they run or when their help is printed."""

    @property
    def commands(self) -> dict[str, Any]:
        """The commands, by name."""
        from tallystick.cli.signing_keys import signing_keys

        parent = typer.Typer(rich_markup_mode=None)
        parent.add_typer(signing_keys, name="signing-keys")
        group: Any = typer.main.get_group(parent).commands["signing-keys"]
        found: dict[str, Any] = group.commands
        return found

    @commands.setter
    def commands(self, _: object) -> None:
        """The base class has no commands to set."""


class CommandsOfGroup(TyperGroup):
    """A group of commands."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the flags before the command. Typer would import pydantic to read one without a value."""
        flags: list[Any] = super().get_params(ctx)
        for flag in flags:
            flag.default = flag.default or False
        return flags


class Commands(CommandsOfGroup):
    """All commands, in the order of the help."""

    def __init__(self, *, commands: dict[str, TyperCommand | TyperGroup] | None = None, **settings: Any) -> None:
        later = SigningKeys(name="signing-keys", help=SIGNING_KEYS_HELP, no_args_is_help=True, rich_markup_mode=None)
        super().__init__(commands={**(commands or {}), "signing-keys": later}, **settings)
