"""The help of each command and flag."""

from collections.abc import Iterator
from typing import Any

import typer

from tallystick.cli.main import app
from tests.unit.prose import Text


def texts_of_help() -> Iterator[Text]:
    """Yield the help of `tallystick`, of its commands, and of their flags."""
    yield from _helps(typer.main.get_command(app), "tallystick")


def _helps(command: Any, path: str) -> Iterator[Text]:
    yield Text(path, command.help or "")
    for flag in command.params:
        yield Text(f"{path} {flag.opts[-1]}", getattr(flag, "help", None) or "")
    for name, inner in sorted(getattr(command, "commands", {}).items()):
        yield from _helps(inner, f"{path} {name}")
