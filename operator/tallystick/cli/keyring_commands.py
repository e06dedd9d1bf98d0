"""The work of `tallystick signing-keys`: each function does it in a cluster, and returns the text to print."""

import asyncio
import re
from collections import Counter
from collections.abc import Set
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, cast, get_args

from rich.console import Console
from rich.table import Table

from tallystick.cli.keyring_backup import (
    InUse,
    KeysError,
    ids,
    in_use,
    merged,
    read_backup,
    store,
    stored,
    write_backup,
)
from tallystick.crypto.keyring import Keyring, KeyringError
from tallystick.crypto.keys import Algorithm, SigningKey
from tallystick.kube.client import KubeCluster
from tallystick.kube.connection import Connection
from tallystick.objects.labels import CLI_MANAGER, KEYRING_SECRET
from tallystick.objects.ports import ClusterError, Json, NotFoundError
from tallystick.registry import KINDS
from tallystick.runtime.clock import SystemClock
from tallystick.schema.builtin import SECRETS
from tallystick.schema.meta import HTTPS_URL
from tallystick.schema.times import rfc3339
from tallystick.tokens.keyrings import Keyrings, stored_keyring
from tallystick.tokens.keys_in_use import keys_in_use


class Place(NamedTuple):
    """Where a keyring is.

    Attributes:
        namespace: The namespace of the operator.
        kubeconfig: The kubeconfig file; None for the usual one.
        context: Its context; None for the current one.
    """

    namespace: str
    kubeconfig: Path | None
    context: str | None

    def cluster(self) -> KubeCluster:
        """Return a client of the cluster, to be entered."""
        return KubeCluster(Connection(kubeconfig=self.kubeconfig, context=self.context), field_manager=CLI_MANAGER)


def print_table(place: Place) -> None:
    """Print the signing keys, oldest first, each with its state and the number of tokens that use it."""
    # rich assumes a width of 80 for a pipe, which would truncate the key ID.
    Console(width=160).print(asyncio.run(_table(place)))


def rotated(place: Place, algorithm: str) -> str:
    """Add a signing key; raises KeysError."""
    newest = asyncio.run(_rotate(place, _algorithm(algorithm))).entries[-1]
    return (
        f"key {newest.key.key_id} is published and signs from {rfc3339(newest.signs_from_time)}; "
        "older keys stay published while tokens use them"
    )


def backed_up(place: Place, out: Path) -> str:
    """Write the signing keys to a file; raises KeysError."""
    keyring = asyncio.run(_backup(place, out))
    return f"{out} holds {_keys(ids(keyring))} of issuer {keyring.issuer}; store it encrypted"


def restored(place: Place, file: Path, *, merge: bool, drop: bool) -> str:
    """Write the signing keys of a backup into the cluster; raises KeysError.

    Args:
        place: The keyring.
        file: The backup.
        merge: Keep the present keys, too.
        drop: Drop present keys even if valid tokens name them.
    """
    return asyncio.run(_restore(place, read_backup(file), merge=merge, drop=drop))


def started_over(place: Place, issuer: str, algorithm: str, *, abandon: bool) -> str:
    """Make a new keyring in place of a lost one; raises KeysError.

    Args:
        place: The keyring.
        issuer: The issuer of all tokens.
        algorithm: The algorithm of the new key.
        abandon: Do so even if valid tokens need the lost keys.
    """
    if not re.fullmatch(HTTPS_URL, issuer):
        raise KeysError(f"--issuer {issuer} is not valid; it must be an https URL without user, query or fragment")
    return asyncio.run(_start_over(place, issuer, _algorithm(algorithm), abandon=abandon))


def _algorithm(name: str) -> Algorithm:
    if name not in get_args(Algorithm):
        raise KeysError(f"--algorithm {name} is not supported; use one of {', '.join(get_args(Algorithm))}")
    return cast("Algorithm", name)


async def _rotate(place: Place, algorithm: Algorithm) -> Keyring:
    try:
        async with place.cluster() as cluster:
            issuer = (await _read(cluster, place.namespace)).issuer
            return await Keyrings(cluster, SystemClock(), namespace=place.namespace, issuer=issuer).rotate(algorithm)
    except (ClusterError, KeyringError) as error:
        raise KeysError(f"the keyring was not rotated: {error}") from error


async def _read(cluster: KubeCluster, namespace: str) -> Keyring:
    try:
        return stored_keyring(await cluster.get(SECRETS, namespace, KEYRING_SECRET))
    except NotFoundError as error:
        raise KeysError(
            f"Secret {namespace}/{KEYRING_SECRET} does not exist; check that --namespace is the namespace of the "
            "operator. The controller of a new installation creates the Secret. If it is lost, see docs/backup.md"
        ) from error


async def _table(place: Place) -> Table:
    try:
        async with place.cluster() as cluster:
            keyring, counts = await _read(cluster, place.namespace), await _in_use(cluster)
    except (ClusterError, KeyringError) as error:
        raise KeysError(f"the keyring cannot be read: {error}") from error
    now = datetime.now(UTC)
    signing = keyring.signing_key(now).key_id
    table = Table("KEY ID", "ALGORITHM", "CREATED", "SIGNS FROM", "STATE", "TOKENS", box=None)
    for entry in keyring.entries:
        key = entry.key
        waits = entry.signs_from_time > now
        state = "published" if waits else "signing" if key.key_id == signing else "superseded"
        created, signs_from = rfc3339(entry.created_time), rfc3339(entry.signs_from_time)
        table.add_row(key.key_id, key.alg, created, signs_from, state, str(counts[key.key_id]))
    for key_id in sorted(counts.keys() - ids(keyring)):
        table.add_row(key_id, "", "", "", "missing", str(counts[key_id]))
    return table


async def _backup(place: Place, out: Path) -> Keyring:
    try:
        async with place.cluster() as cluster:
            found = await stored(cluster, place.namespace)
    except ClusterError as error:
        raise KeysError(f"the keyring cannot be read: {error}") from error
    if found.body is None or found.keyring is None:
        raise KeysError(
            f"Secret {place.namespace}/{KEYRING_SECRET} was not backed up: {found.problem}; "
            "check that --namespace is the namespace of the operator"
        )
    write_backup(found.body, out)
    return found.keyring


async def _restore(place: Place, secret: Json, *, merge: bool, drop: bool) -> str:
    try:
        async with place.cluster() as cluster:
            present, used = await stored(cluster, place.namespace), await in_use(cluster)
            keyring = stored_keyring(secret)
            if merge and present.keyring is not None:
                keyring = merged(keyring, present.keyring)
            dropped = ids(present.keyring) - ids(keyring)
            if used.among(dropped) and not drop:
                raise KeysError(_would_drop(used, dropped))
            if keyring == present.keyring:
                return f"nothing to restore: the keyring already has {_keys(ids(keyring))}"
            await store(cluster, place.namespace, present.body, keyring, secret)
    except (ClusterError, KeyringError) as error:
        raise KeysError(f"the keyring was not restored: {error}") from error
    return "; ".join(
        [
            f"Secret {place.namespace}/{KEYRING_SECRET} now has {_keys(ids(keyring))} of issuer {keyring.issuer}",
            *([f"{_keys(dropped)} dropped"] if dropped else []),
            *_still_missing(used, keyring),
        ]
    )


async def _start_over(place: Place, issuer: str, algorithm: Algorithm, *, abandon: bool) -> str:
    secret = f"Secret {place.namespace}/{KEYRING_SECRET}"
    try:
        async with place.cluster() as cluster:
            present, used = await stored(cluster, place.namespace), await in_use(cluster)
            if present.keyring is not None:
                raise KeysError(
                    f"{secret} is usable, with {_keys(ids(present.keyring))} of issuer {present.keyring.issuer}; "
                    "to add a key, run tallystick signing-keys rotate"
                )
            if (used.counts or used.unknown) and not abandon:
                raise KeysError(_would_abandon(used))
            keyring = Keyring.first(issuer, SigningKey.generate(algorithm), datetime.now(UTC))
            await store(cluster, place.namespace, present.body, keyring, {})
    except ClusterError as error:
        raise KeysError(f"no keyring was made: {error}") from error
    return "; ".join([f"{secret} has the new {_keys(ids(keyring))} of issuer {issuer}", *_still_missing(used, keyring)])


def _would_drop(used: InUse, dropped: Set[str]) -> str:
    unknown = f" ({used.unknown})" if used.unknown else ""
    return (
        f"nothing was restored: valid tokens need {_keys(used.among(dropped))}, which the backup lacks{unknown}. "
        "To keep the present keys too, add --merge. To make these tokens invalid, add --drop-keys-in-use"
    )


def _would_abandon(used: InUse) -> str:
    why = used.unknown or f"{sum(used.counts.values())} objects have valid tokens of {_keys(used.counts.keys())}"
    return (
        f"no keyring was made: {why}. Restore a backup: tallystick signing-keys restore. Without a backup, add "
        "--abandon-tokens: these tokens stay invalid, and each object says how to issue a new one"
    )


def _still_missing(used: InUse, keyring: Keyring) -> list[str]:
    missing = used.counts.keys() - ids(keyring)
    if not missing:
        return []
    count = sum(used.counts[key_id] for key_id in missing)
    return [f"{_keys(missing)} of {count} objects is missing, and the condition Ready of each says what to do"]


def _keys(key_ids: Set[str]) -> str:
    return f"key{'' if len(key_ids) == 1 else 's'} {', '.join(sorted(key_ids))}"


async def _in_use(cluster: KubeCluster) -> Counter[str]:
    return await keys_in_use(cluster, KINDS, datetime.now(UTC))
