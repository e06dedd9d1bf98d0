"""`tallystick keys`: look at the signing keys of an installation, and rotate them with overlap."""

import asyncio
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, cast, get_args

import typer
from rich.console import Console
from rich.table import Table

from tallystick.api.core import SECRETS
from tallystick.cli.settings import DEFAULT_NAMESPACE
from tallystick.crypto.keyring import Keyring, KeyringError
from tallystick.crypto.keys import Algorithm
from tallystick.domain.errors import TallystickError
from tallystick.domain.keys_in_use import KINDS_WITH_KEYS, keys_in_use
from tallystick.domain.names import CLI_MANAGER, KEYRING_SECRET
from tallystick.domain.times import rfc3339
from tallystick.kube.client import KubeCluster
from tallystick.kube.connection import Connection
from tallystick.runtime.clock import SystemClock
from tallystick.services.keyrings import Keyrings, stored_keyring
from tallystick.services.ports import ClusterError, NotFoundError

keys = typer.Typer(help="The signing keys of an installation.", no_args_is_help=True)

Namespace = Annotated[str, typer.Option(help="The operator's namespace.")]
Kubeconfig = Annotated[Path | None, typer.Option(help="A kubeconfig. Default: $KUBECONFIG.")]
Context = Annotated[str | None, typer.Option(help="A context of the kubeconfig.")]


class KeysError(TallystickError):
    """The keyring cannot be read or changed. The text says why."""


@keys.command("list")
def list_keys(namespace: Namespace = DEFAULT_NAMESPACE, kubeconfig: Kubeconfig = None, context: Context = None) -> None:
    """Show the keys, oldest first: which one signs, and how many live tokens name each."""
    # A key id is to be copied whole, also into a pipe, whose width rich takes for 80.
    Console(width=160).print(asyncio.run(_table(_connection(kubeconfig, context), namespace)))


@keys.command()
def rotate(
    namespace: Namespace = DEFAULT_NAMESPACE,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    algorithm: Annotated[str, typer.Option(help="ES256 or RS256.")] = "ES256",
) -> None:
    """Add a key. It is published at once and signs when every verifier has had the time to fetch it."""
    if algorithm not in get_args(Algorithm):
        raise KeysError(f"--algorithm {algorithm} is not known; choose one of {', '.join(get_args(Algorithm))}")
    connection = _connection(kubeconfig, context)
    keyring = asyncio.run(_rotate(connection, namespace, cast("Algorithm", algorithm)))
    newest = keyring.entries[-1]
    typer.echo(
        f"key {newest.key.key_id} is published and signs from {rfc3339(newest.signs_from_time)}; "
        "older keys stay published while a live token names them"
    )


def _connection(kubeconfig: Path | None, context: str | None) -> Connection:
    return Connection(kubeconfig=kubeconfig, context=context)


async def _rotate(connection: Connection, namespace: str, algorithm: Algorithm) -> Keyring:
    try:
        async with KubeCluster(connection, field_manager=CLI_MANAGER) as cluster:
            issuer = (await _read(cluster, namespace)).issuer
            return await Keyrings(cluster, SystemClock(), namespace=namespace, issuer=issuer).rotate(algorithm)
    except (ClusterError, KeyringError) as error:
        raise KeysError(f"the keyring was not rotated: {error}") from error


async def _read(cluster: KubeCluster, namespace: str) -> Keyring:
    try:
        return stored_keyring(await cluster.get(SECRETS, namespace, KEYRING_SECRET))
    except NotFoundError as error:
        raise KeysError(
            f"there is no Secret {namespace}/{KEYRING_SECRET}: the controller makes it when it starts to lead; "
            "is --namespace the operator's?"
        ) from error


async def _table(connection: Connection, namespace: str) -> Table:
    try:
        async with KubeCluster(connection, field_manager=CLI_MANAGER) as cluster:
            keyring, in_use = await _read(cluster, namespace), await _in_use(cluster)
    except (ClusterError, KeyringError) as error:
        raise KeysError(f"the keyring cannot be read: {error}") from error
    now = datetime.now(UTC)
    signing = keyring.signing_key(now).key_id
    table = Table("KEY ID", "ALGORITHM", "CREATED", "SIGNS FROM", "STATE", "LIVE TOKENS", box=None)
    for entry in keyring.entries:
        key = entry.key
        waits = entry.signs_from_time > now
        state = "published" if waits else "signing" if key.key_id == signing else "superseded"
        created, signs_from = rfc3339(entry.created_time), rfc3339(entry.signs_from_time)
        table.add_row(key.key_id, key.alg, created, signs_from, state, str(in_use[key.key_id]))
    return table


async def _in_use(cluster: KubeCluster) -> Counter[str]:
    now = datetime.now(UTC)
    found: Counter[str] = Counter()
    for resource in KINDS_WITH_KEYS:
        async for body in cluster.list(resource):
            found.update(keys_in_use(resource, body, now))
    return found
