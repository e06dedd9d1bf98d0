"""The flags and commands of cluster keys. It imports the work of a command only when that runs."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tallystick.runtime.flags import CommandGroup, CommandLine, Flag

_ONCE = "at the first start, in the namespace of the operator"
_FLAGS = (
    Flag(
        name="bootstrap_keys",
        option=Annotated[
            bool | None,
            typer.Option(
                "--bootstrap-keys/--no-bootstrap-keys",
                help=f"Create MasterKey and JoinKey `default` {_ONCE}. Default: --bootstrap-keys.",
            ),
        ],
    ),
    Flag(
        name="bootstrap_master_key_secret",
        option=Annotated[
            str | None,
            typer.Option(
                help="Secret there with your own key for MasterKey `default`. Default: none; it is generated."
            ),
        ],
    ),
    Flag(
        name="bootstrap_join_key_secret",
        option=Annotated[
            str | None,
            typer.Option(help="Secret there with your own key for JoinKey `default`. Default: none; it is generated."),
        ],
    ),
)


class KeyKind(StrEnum):
    """The two kinds of keys, as a user writes them."""

    JOIN = "join"
    MASTER = "master"


def fingerprint(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="File with the key: 32 or 64 hexadecimal characters. `-`: standard input."),
    ],
    kind: Annotated[KeyKind, typer.Option(help="Kind of the key; each has its own fingerprints.")],
) -> None:
    """Print the fingerprint of a key, as the status of its object shows it."""
    from tallystick.clusterkeys.client.key_commands import print_fingerprint

    print_fingerprint(file, kind.value)


def open_(
    sealed: Annotated[
        Path,
        typer.Argument(metavar="SEALED", help="File with a value of data key `join-key.jwe`. `-`: standard input."),
    ],
    master_key: Annotated[
        Path,
        typer.Option(help="File with the master key: 32 or 64 hexadecimal characters. `-` is standard input."),
    ],
    out: Annotated[Path, typer.Option(help="New file for the join key, of mode 0600.")],
) -> None:
    """Open a sealed join key with its master key, and store the join key in a file."""
    from tallystick.clusterkeys.client.key_commands import open_into

    open_into(sealed, master_key=master_key, out=out)


COMMAND_LINE = CommandLine(
    flags={"controller": _FLAGS, "up": _FLAGS},
    groups=(
        CommandGroup(
            name="keys",
            help="Print the fingerprint of a join key or master key, and open sealed join keys.",
            commands={"fingerprint": fingerprint, "open": open_},
        ),
    ),
)
