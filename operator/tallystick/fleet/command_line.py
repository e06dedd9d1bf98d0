"""The commands of fleets. It imports the work of a command only when that runs."""

from pathlib import Path
from typing import Annotated

import typer

from tallystick.runtime.flags import CommandGroup, CommandLine

Namespace = Annotated[
    str | None, typer.Option(help="Namespace of the rotation. Default: that of the context, or `default`.")
]
Kubeconfig = Annotated[Path | None, typer.Option(help="Kubeconfig file. Default: $KUBECONFIG, or ~/.kube/config.")]
Context = Annotated[str | None, typer.Option(help="Context of the kubeconfig. Default: its current context.")]


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


def plan(
    rotation: Annotated[
        str,
        typer.Argument(
            metavar="FILE|NAME",
            help="File with a TokenRotation (.yaml, .yml, .json, or a path with a slash), or the name of a stored one. "
            "`-`: standard input.",
        ),
    ],
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    unseen_days: Annotated[
        int,
        typer.Option(min=1, max=3650, help="Days after which a device that was not seen is not expected."),
    ] = 7,
    enrolled_since: Annotated[
        str | None,
        typer.Option(
            help="List the Devices that enrolled since then with the value that the rotation ends: a time such as "
            "2026-11-30T08:00:00Z, or a duration such as 48h. Default: no list."
        ),
    ] = None,
) -> None:
    """Print the batches, times and warnings of a rotation. It changes nothing."""
    from tallystick.fleet.client.rotation_access import Access
    from tallystick.fleet.client.rotation_plan import print_plan

    print_plan(rotation, Access(namespace, kubeconfig, context), unseen_days=unseen_days, enrolled_since=enrolled_since)


def watch(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the TokenRotation. It can be created later.")],
    namespace: Namespace = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Show a rotation until its end. Exit status 1: not succeeded."""
    from tallystick.fleet.client.rotation_access import Access
    from tallystick.fleet.client.rotation_watch import watch_rotation

    watch_rotation(name, Access(namespace, kubeconfig, context))


COMMAND_LINE = CommandLine(
    commands=(agent,),
    groups=(
        CommandGroup(
            name="rotation",
            help="Plan a rotation before it runs, and watch it while it runs.",
            commands={"plan": plan, "watch": watch},
        ),
    ),
)
