"""The `tallystick` command: what its flags are, and which part each command runs."""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated

import typer
import yaml
from rich.console import Console

from tallystick import __version__
from tallystick.cli.demo import run_demo
from tallystick.cli.keys import keys
from tallystick.cli.pair import pair
from tallystick.cli.run_controller import run_controller
from tallystick.cli.run_exchange import run_exchange
from tallystick.cli.settings import DEFAULT_NAMESPACE, Settings, load_settings
from tallystick.cli.up import UpOptions, stay_up
from tallystick.cli.up import up as start_all
from tallystick.crypto.keyring import KeyringError
from tallystick.domain.errors import TallystickError
from tallystick.domain.requester import RequesterMode
from tallystick.install.crds import crds, write_crds
from tallystick.install.installation import Installation
from tallystick.install.policies import policies
from tallystick.install.rbac import rbac
from tallystick.localplane.build import find_binaries
from tallystick.runtime.logs import configure_logging
from tallystick.services.ports import ClusterError
from tallystick.web.openapi import openapi_text

app = typer.Typer(
    name="tallystick",
    help="Machine trust as Kubernetes custom resources: a rotation that cannot lock you out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
PublicURLs = Annotated[
    str, typer.Option(help="URLs under which the exchange is reached, by commas; the first is the default.")
]
Issuer = Annotated[str, typer.Option(help="The `iss` of all tokens, for ever. Default: the first public URL.")]
Namespace = Annotated[str, typer.Option(help="The operator's own namespace. Default: the pod's, or tallystick-system.")]
Kubeconfig = Annotated[Path | None, typer.Option(help="A kubeconfig. Default: the pod's account, or $KUBECONFIG.")]
Context = Annotated[str | None, typer.Option(help="A context of the kubeconfig.")]
UseCasesFile = Annotated[Path | None, typer.Option(help="YAML: the table of use cases. Default: the built-in one.")]
Requester = Annotated[
    RequesterMode | None,
    typer.Option(help="Whose name a token carries: the requester's (Policy) or a ServiceAccount's."),
]
AuditLog = Annotated[str, typer.Option(help="Where audit lines go; `-` is standard output.")]
LogLevel = Annotated[str, typer.Option(help="DEBUG, INFO, WARNING or ERROR.")]


app.add_typer(keys, name="keys")
app.command()(pair)


@app.callback(invoke_without_command=True)
def version_flag(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Answer `--version`."""
    if version:
        print(f"tallystick {__version__}")
        raise typer.Exit


@app.command()
def up(
    data_dir: Annotated[Path | None, typer.Option(help="Keep all state here; without it, nothing survives.")] = None,
    context: Annotated[str | None, typer.Option(help="Use this cluster instead of starting a control plane.")] = None,
    listen: Annotated[str, typer.Option(help="Where the exchange listens.")] = "127.0.0.1:8443",
    requester: RequesterMode = RequesterMode.POLICY,
    use_cases_file: UseCasesFile = None,
) -> None:
    """Run everything on this machine: control plane, CRDs, policies, controller and exchange."""
    options = UpOptions(
        data_dir=data_dir, context=context, listen=listen, requester=requester, use_cases_file=use_cases_file
    )
    with start_all(options, _say) as running:
        if running.kubeconfig is not None:
            _say(f"\nexport KUBECONFIG={running.kubeconfig}\n")
        _say(
            f"The exchange's CA is {running.ca_file}. Next, in another shell:\n"
            "  kubectl apply -f examples/01-pairing/pairing-token.yaml\n"
            "  kubectl get pairingtokens --watch\n"
            "Ctrl-C ends it."
        )
        stay_up(running, _say)


@app.command()
def demo() -> None:
    """Play the main job on a control plane of its own: apply, redeem, introspect, revoke."""
    run_demo()


@app.command()
def manifests(
    namespace: Annotated[str, typer.Option(help="The operator's namespace.")] = DEFAULT_NAMESPACE,
    requester: RequesterMode = RequesterMode.POLICY,
    crds_to: Annotated[Path | None, typer.Option(help="Write the CRDs alone, as files, into this folder.")] = None,
) -> None:
    """Print what a cluster needs before the operator runs: CRDs, admission policies, RBAC."""
    if crds_to is not None:
        write_crds(crds_to)
        return
    installation = Installation(namespace=namespace, requester=requester)
    everything = [*crds(), *rbac(installation), *policies(installation)]
    typer.echo(yaml.safe_dump_all(everything, sort_keys=False), nl=False)


@app.command()
def openapi() -> None:
    """Print the exchange's HTTP API as an OpenAPI document."""
    typer.echo(openapi_text(), nl=False)


@app.command()
def build_plane() -> None:
    """Build the control plane that `up`, `demo` and the tests run, into the user's cache."""
    binaries = find_binaries(_say)
    _say(f"{binaries.kube_apiserver.parent}")


@app.command()
def controller(
    command: typer.Context,
    public_urls: PublicURLs = "",
    issuer: Issuer = "",
    namespace: Namespace = "",
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    use_cases_file: UseCasesFile = None,
    requester: Requester = None,
    audit_log: AuditLog = "",
    log_level: LogLevel = "",
    watch_namespaces: Annotated[str, typer.Option(help="Serve these alone, by commas. Default: all.")] = "",
    signing_algorithm: Annotated[str, typer.Option(help="ES256 or RS256, for new keys.")] = "",
    key_max_age: Annotated[str, typer.Option(help="Rotate the signing key at this age. Default: 2160h.")] = "",
    ca_file: Annotated[Path | None, typer.Option(help="The CA of the exchange's certificate, for the Secrets.")] = None,
    health_listen: Annotated[str, typer.Option(help="Where /healthz, /readyz and /metrics are.")] = "",
) -> None:
    """Run the controller: watch, issue, heal, expire, revoke."""
    settings = load_settings(**command.params)
    _run(settings, run_controller)


@app.command()
def exchange(
    command: typer.Context,
    public_urls: PublicURLs = "",
    issuer: Issuer = "",
    namespace: Namespace = "",
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    use_cases_file: UseCasesFile = None,
    requester: Requester = None,
    audit_log: AuditLog = "",
    log_level: LogLevel = "",
    listen: Annotated[str, typer.Option(help="Where the API is served. Default: 127.0.0.1:8443.")] = "",
    tls_cert: Annotated[Path | None, typer.Option(help="The certificate (PEM); read again when it changes.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its private key (PEM).")] = None,
    plain_http: Annotated[bool | None, typer.Option(help="Serve without TLS, behind a proxy that has it.")] = None,
    connections_per_source: Annotated[
        int | None, typer.Option(help="How many connections one address may have. Default: 64; with --plain-http, all.")
    ] = None,
    max_staleness: Annotated[float | None, typer.Option(help="Seconds that a reading may be shared; 0 to 1.")] = None,
    replica_name: Annotated[str, typer.Option(help="A name that this replica keeps. Default: the host's.")] = "",
) -> None:
    """Run the exchange: redeem, introspect, revoke, heartbeats, JWKS."""
    settings = load_settings(**command.params)
    _run(settings, run_exchange)


def _run(settings: Settings, process: Callable[[Settings], Coroutine[None, None, int]]) -> None:
    configure_logging(level=settings.log_level)
    status = asyncio.run(process(settings))
    raise typer.Exit(status)


def _say(line: str) -> None:
    Console(highlight=False, soft_wrap=True).print(line, markup=False)


def main() -> None:
    """Run the command line. What the user can mend is told in one line; anything else is a bug and shows itself."""
    try:
        app()
    except (TallystickError, ClusterError, KeyringError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None
