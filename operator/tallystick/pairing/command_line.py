"""The flags and commands of the feature pairing. It imports the command only when that runs."""

from pathlib import Path
from typing import Annotated

import typer

from tallystick.pairing.domain.requester_mode import RequesterMode
from tallystick.runtime.flags import CommandLine, Flag

_SUBJECT = "Subject of pairing tokens: the user who requests them (Policy), or a ServiceAccount of their namespace."
_USE_CASES_FILE = Flag(
    name="use_cases_file",
    option=Annotated[
        Path | None, typer.Option(help="Use-case table (YAML), reloaded when it changes. Default: the built-in table.")
    ],
)
_REQUESTER = Flag(
    name="requester",
    option=Annotated[
        RequesterMode | None,
        typer.Option(help=f"{_SUBJECT} Default: Policy."),
    ],
)
_INSTALLED_REQUESTER = Flag(
    name="requester",
    option=Annotated[RequesterMode, typer.Option(help=_SUBJECT)],
    default=RequesterMode.POLICY,
)
_BOOTSTRAP = (
    Flag(
        name="bootstrap_generation",
        option=Annotated[
            int | None,
            typer.Option(
                help="Number of the first admin token. Raise it by 1 to permit another one; 0 permits none. Default: 1."
            ),
        ],
    ),
    Flag(
        name="bootstrap_token_delete_in_minutes",
        option=Annotated[
            int | None,
            typer.Option(
                help="Minutes after which the Secret `token.json` with the admin token is deleted (1-15). Default: 1."
            ),
        ],
    ),
)


def pair(
    token_file: Annotated[str, typer.Option(help="File with the pairing token; `-` is standard input.")],
    issuer: Annotated[str, typer.Option(help="https URL of the issuer that you trust. The token is sent only to it.")],
    out: Annotated[str, typer.Option(help="File for the master token (mode 0600); `-` is standard output.")] = "-",
    ca_file: Annotated[
        Path | None, typer.Option(help="CA of the issuer (PEM). Default: the CAs of the system.")
    ] = None,
    client_id: Annotated[
        str | None, typer.Option(help="Base URL of your service, which the issuer records. Default: none.")
    ] = None,
    scope: Annotated[
        str | None, typer.Option(help="Scopes to request, separated by spaces. Default: all of the use case.")
    ] = None,
    key_file: Annotated[
        Path | None,
        typer.Option(
            help="File with your P-256 key (PEM); created if it does not exist. Default: OUT.key or TOKEN_FILE.key."
        ),
    ] = None,
    no_dpop: Annotated[
        bool, typer.Option("--no-dpop", help="Request a bearer token, which is not bound to a key.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file of --out.")] = False,
) -> None:
    """Redeem a pairing token: send it to its issuer and store the master token."""
    from tallystick.pairing.client.pair import redeem_into

    redeem_into(
        token_file=token_file,
        issuer=issuer,
        out=out,
        ca_file=ca_file,
        client_id=client_id,
        scope=scope,
        key_file=key_file,
        no_dpop=no_dpop,
        force=force,
    )


COMMAND_LINE = CommandLine(
    flags={
        "controller": (_USE_CASES_FILE, _REQUESTER, *_BOOTSTRAP),
        "exchange": (_USE_CASES_FILE, _REQUESTER),
        "up": (_INSTALLED_REQUESTER, _USE_CASES_FILE, *_BOOTSTRAP),
        "manifests": (_INSTALLED_REQUESTER,),
    },
    commands=(pair,),
)
