"""Back up the keyring to a file, restore it from one, and start over without a backup."""

import sys
from collections import Counter
from collections.abc import Set
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from tallystick.crypto.keyring import Keyring, KeyringError
from tallystick.errors import TallystickError
from tallystick.kube.client import KubeCluster
from tallystick.objects.labels import BOOTSTRAP_ANNOTATION, KEYRING_SECRET, MISSING_KEYS_ANNOTATION
from tallystick.objects.ports import Json, NotFoundError
from tallystick.pairing.domain.admin_token import mark
from tallystick.registry import KINDS
from tallystick.runtime.clock import SystemClock
from tallystick.runtime.files import write_new_file
from tallystick.schema.builtin import SECRETS
from tallystick.tokens.keyrings import keyring_data, keyring_secret, stored_keyring
from tallystick.tokens.keys_in_use import UncountedError, keys_in_use

STANDARD = Path("-")
MOST_BYTES = 2 * 1024 * 1024  # a Secret holds at most 1 MiB
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


class KeysError(TallystickError):
    """The keyring cannot be read or changed. The text has the reason."""


@dataclass(frozen=True, slots=True)
class Stored:
    """The Secret of the keyring as it is.

    Attributes:
        body: The Secret; None if it does not exist.
        keyring: Its keyring; None if it is missing or damaged.
        problem: Why there is no keyring; '' if there is one.
    """

    body: Json | None
    keyring: Keyring | None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class InUse:
    """The keys that valid tokens name.

    Attributes:
        counts: The number of objects by key.
        unknown: Why the objects cannot be counted; '' if they can. Then every key counts as in use.
    """

    counts: Counter[str]
    unknown: str = ""

    def among(self, key_ids: Set[str]) -> Set[str]:
        """Return which of these keys are in use."""
        return key_ids if self.unknown else key_ids & self.counts.keys()


async def stored(cluster: KubeCluster, namespace: str) -> Stored:
    """Read the Secret of the keyring, whatever state it is in."""
    try:
        body = await cluster.get(SECRETS, namespace, KEYRING_SECRET)
    except NotFoundError:
        return Stored(None, None, "it does not exist")
    try:
        return Stored(body, stored_keyring(body))
    except KeyringError as problem:
        return Stored(body, None, f"it is damaged: {problem}")


async def in_use(cluster: KubeCluster) -> InUse:
    """Count the objects of all namespaces by the keys that their valid tokens name."""
    try:
        return InUse(await keys_in_use(cluster, KINDS, SystemClock().now()))
    except UncountedError as problem:
        return InUse(Counter(), problem.message)


def write_backup(secret: Json, out: Path) -> None:
    """Write the Secret as YAML into a new file of mode 0600, or to standard output if that is no terminal."""
    text = yaml.safe_dump(_manifest(secret), sort_keys=False)
    if out == STANDARD:
        if sys.stdout.isatty():
            raise KeysError("--out - would print private keys to the terminal; give a file, or pipe the output")
        sys.stdout.write(text)
        sys.stdout.flush()
        return
    write_new_file("--out", out, text, error=KeysError)


def read_backup(file: Path) -> Json:
    """Read a Secret that `write_backup` or `kubectl get secret -o yaml` has written; raises KeysError."""
    try:
        if file == STANDARD:
            raw = sys.stdin.buffer.read(MOST_BYTES + 1)
        else:
            with file.open("rb") as opened:
                raw = opened.read(MOST_BYTES + 1)
    except OSError as error:
        raise KeysError(f"{file} cannot be read: {error.strerror}") from error
    if len(raw) > MOST_BYTES:
        raise KeysError(f"{file} is too large for a Secret; give the file that the backup wrote")
    try:
        secret = yaml.safe_load(raw)
    except (yaml.YAMLError, ValueError) as error:
        # The text of the error may quote a key.
        raise KeysError(f"{file} is not YAML; give the file that the backup wrote") from error
    if not isinstance(secret, dict) or secret.get("kind") != "Secret" or not isinstance(secret.get("data"), dict):
        raise KeysError(f"{file} is not a Secret with data; give the file that the backup wrote")
    try:
        stored_keyring(secret)
    except KeyringError as problem:
        raise KeysError(f"{file} holds no usable keyring: {problem}; give another backup") from problem
    return secret


def merged(backup: Keyring, present: Keyring) -> Keyring:
    """Return a keyring with the keys of both, oldest first; raises KeysError."""
    if backup.issuer != present.issuer:
        raise KeysError(
            f"the keyring has issuer {present.issuer}, and the backup has issuer {backup.issuer}; "
            "keys of two issuers cannot be merged"
        )
    entries = {entry.key.key_id: entry for entry in (*backup.entries, *present.entries)}
    ordered = sorted(entries.values(), key=lambda entry: (entry.signs_from_time, entry.created_time))
    return replace(present, entries=tuple(ordered))


async def store(cluster: KubeCluster, namespace: str, held: Json | None, keyring: Keyring, backup: Json) -> None:
    """Write the keyring: a new Secret as in the backup, or into the Secret exactly as it was read.

    All else that the Secret holds stays: labels, annotations and data of others. A backup may be older than the last
    admin token, so a new Secret is marked in place of its record: no second token is made (docs/rules.md#s27).
    """
    marked = {BOOTSTRAP_ANNOTATION: mark(SystemClock().now()).to_text()}
    if held is not None:
        annotations = marked | (held["metadata"].get("annotations") or {})
        data = {**(held.get("data") or {}), **keyring_data(keyring)}
        metadata = {**held["metadata"], "annotations": annotations}
        await cluster.replace(SECRETS, {**held, "metadata": metadata, "data": data})
        return
    fresh = keyring_secret(keyring, namespace)
    meta, kept = fresh["metadata"], _manifest(backup)["metadata"]
    labels = {**kept["labels"], **meta["labels"]}
    data = {**(backup.get("data") or {}), **fresh["data"]}
    body = {**fresh, "metadata": {**meta, "labels": labels, "annotations": kept["annotations"] | marked}, "data": data}
    await cluster.create(SECRETS, body)


def ids(keyring: Keyring | None) -> Set[str]:
    """Return the IDs of the keys; none without a keyring."""
    return frozenset(entry.key.key_id for entry in keyring.entries) if keyring is not None else frozenset()


def _manifest(secret: Json) -> Json:
    """Return a Secret without the fields that the API server sets."""
    meta = secret.get("metadata") or {}
    annotations = meta.get("annotations") or {}
    ours = {_LAST_APPLIED, MISSING_KEYS_ANNOTATION}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": KEYRING_SECRET,
            **({"namespace": meta["namespace"]} if "namespace" in meta else {}),
            "labels": dict(meta.get("labels") or {}),
            "annotations": {name: text for name, text in annotations.items() if name not in ours},
        },
        "type": secret.get("type", ""),
        "data": dict(secret.get("data") or {}),
    }
