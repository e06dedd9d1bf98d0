"""The Secret of a MasterKey: its name, its form, and the keys in it.

A generated key has the same layout as a provided one. Its Secret has no owner, so that it survives its MasterKey.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tallystick.clusterkeys.api.master_key import MASTER_KEYS, MasterKey
from tallystick.clusterkeys.domain.keys import ClusterKey, KeyProblem, Purpose, parse_key
from tallystick.clusterkeys.domain.provided import read_provided
from tallystick.objects.held_secrets import OUR_LABELS, labeled_secret_body
from tallystick.objects.labels import UID_LABEL
from tallystick.objects.merging import merged_metadata
from tallystick.objects.ownership import SecretForm

Json = dict[str, Any]

NEWEST, PREVIOUS = Purpose.MASTER.value, "master-key-previous"
MASTER_KEY_SECRET = SecretForm(
    suffix="-master-key",
    type=Purpose.MASTER.secret_type,
    keys=frozenset({NEWEST, PREVIOUS}),
    by_label=True,
)


@dataclass(frozen=True, slots=True)
class SecretVersion:
    """One version of a Secret."""

    uid: str
    resource_version: str


@dataclass(frozen=True, slots=True)
class Absent:
    """The Secret does not exist."""


@dataclass(frozen=True, slots=True)
class Foreign:
    """The name of the generated Secret is taken by a Secret that this MasterKey has not made."""


@dataclass(frozen=True, slots=True)
class Unusable:
    """The Secret holds no usable key.

    Attributes:
        problem: The reason.
        version: The version of the Secret, if this MasterKey has made it; None for the Secret of a user.
    """

    problem: KeyProblem
    version: SecretVersion | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """The Secret holds a key.

    Attributes:
        version: The version of the Secret that was read.
        newest: The key in data key `master-key`.
        previous: The key in data key `master-key-previous`; None if it is absent or unusable.
        is_terminating: Whether it is deleted as soon as its finalizers are removed.
    """

    version: SecretVersion
    newest: ClusterKey
    previous: ClusterKey | None = None
    is_terminating: bool = False


Found = Absent | Foreign | Unusable | Held


def secret_name(key: MasterKey) -> str:
    """Return the name of the Secret that holds the key, in the namespace of the MasterKey."""
    reference = key.spec.secret_ref
    return reference.name if reference is not None else key.metadata.name + MASTER_KEY_SECRET.suffix


def secret_place(key: MasterKey) -> str:
    """Return the namespace and name of the Secret, as messages name it."""
    return f"{key.metadata.namespace}/{secret_name(key)}"


def version_of(body: Mapping[str, Any]) -> SecretVersion:
    """Return the version of a Secret."""
    return SecretVersion(body["metadata"]["uid"], body["metadata"]["resourceVersion"])


def read_secret(key: MasterKey, body: Json | None) -> Found:
    """Return what the Secret of a MasterKey holds; `body` is None if it does not exist."""
    if body is None:
        return Absent()
    generated = key.spec.secret_ref is None
    is_labeled = (body["metadata"].get("labels") or {}).get(UID_LABEL) == key.metadata.uid
    # The size of a generated key follows from the serial.
    bits = None if generated else key.spec.key_size
    newest = read_provided(Purpose.MASTER, body, where=secret_place(key), bits=bits)
    if isinstance(newest, KeyProblem):
        is_ours = is_labeled and newest.reason != "WrongSecretType"
        if generated and not is_ours:
            return Foreign()
        return Unusable(newest, version_of(body) if generated else None)
    # A key that is on record identifies the Secret, too: a user who restores it by hand sets no label.
    if generated and not is_labeled and key.status.fingerprint is None:
        return Foreign()
    return Held(version_of(body), newest, _key(body, PREVIOUS), bool(body["metadata"].get("deletionTimestamp")))


def generated_secret(key: MasterKey, newest: ClusterKey, previous: ClusterKey | None) -> Json:
    """Return the Secret of a generated key as the controller creates it."""
    values = {NEWEST: newest.to_hex()} | ({PREVIOUS: previous.to_hex()} if previous is not None else {})
    return labeled_secret_body(
        secret_name(key),
        MASTER_KEY_SECRET,
        values,
        owner=(MASTER_KEYS, key.metadata),
        key_id=newest.fingerprint,
        owned=False,
    )


def with_keys_of(wanted: Json, held: Json) -> Json:
    """Return a stored Secret with the keys of another one. The metadata and data of other writers stay."""
    others = {name: value for name, value in (held.get("data") or {}).items() if name not in MASTER_KEY_SECRET.keys}
    metadata = merged_metadata(wanted["metadata"], held["metadata"], our_labels=OUR_LABELS)
    return {**held, "metadata": metadata, "data": {**others, **wanted["data"]}}


def key_in(body: Json | None, fingerprint: str | None) -> ClusterKey | None:
    """Return the newest key of a Secret if it has this fingerprint; otherwise None."""
    key = _key(body, NEWEST) if body is not None and body.get("type") == MASTER_KEY_SECRET.type else None
    return key if key is not None and key.fingerprint == fingerprint else None


def _key(body: Mapping[str, Any], data_key: str) -> ClusterKey | None:
    try:
        text = base64.b64decode((body.get("data") or {})[data_key], validate=True)
    except (KeyError, TypeError, binascii.Error):
        return None
    key = parse_key(Purpose.MASTER, text)
    return key if isinstance(key, ClusterKey) else None
