"""The commands of fleets. It imports the work of a command only when that runs."""

from pathlib import Path
from typing import Annotated

import typer

from tallystick.runtime.flags import CommandLine


def agent(
    url: Annotated[str, typer.Option(help="Public URL of the exchange. Tokens are sent only to it.")],
    enrolment_token: Annotated[
        Path,
        typer.Option(help="File with key `token` of the Secret of the PairingToken. It is read at each enrollment."),
    ],
    state_dir: Annotated[
        Path, typer.Option(help="Folder for the key and the copies of the device; created if it does not exist.")
    ],
    ca_file: Annotated[
        Path | None, typer.Option(help="CA of the exchange (PEM). Default: the CAs of the system.")
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(help="Name of the device for people: 1 to 63 printable characters. Default: none."),
    ] = None,
    once: Annotated[
        bool,
        typer.Option("--once", help="Exit when the device would wait: with status 0 if its copy is accepted."),
    ] = False,
) -> None:
    """Run a device: enroll it, and check in until its Device is deleted; then exit with status 3."""
    from tallystick.fleet.client.agent import run_agent

    run_agent(url=url, enrollment_token=enrolment_token, state_dir=state_dir, ca_file=ca_file, name=name, once=once)


COMMAND_LINE = CommandLine(commands=(agent,))
