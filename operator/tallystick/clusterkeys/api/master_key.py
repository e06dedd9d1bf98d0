"""MasterKey: the key that seals the join keys of a namespace (docs/rules.md#r62)."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from tallystick.clusterkeys.api.fields import Count, KeySize, KeySource, MasterKeyFingerprint, SecretRef
from tallystick.clusterkeys.api.master_key_rules import ROOT_RULES, SPEC_RULES
from tallystick.schema.fields import Serial
from tallystick.schema.meta import (
    AGE,
    GROUP,
    MESSAGE,
    PRINTABLE,
    REASON,
    VERSION,
    Column,
    Conditions,
    Model,
    ObjectMeta,
    ObjectStatus,
    Resource,
    Rule,
)

MASTER_KEYS = Resource(GROUP, VERSION, "masterkeys", "MasterKey")


class MasterKeyState(StrEnum):
    """The state of a master key."""

    PENDING = "Pending"
    ACTIVE = "Active"
    ROTATING = "Rotating"
    SEALED = "Sealed"


class MasterKeySpec(Model):
    """spec is the requested master key. The controller generates a key of 256 bits for an empty spec."""

    RULES: ClassVar[Sequence[Rule]] = SPEC_RULES

    secret_ref: SecretRef | None = Field(
        default=None,
        description="secretRef refers to a Secret with your own key: type `tallystick.dev/master-key`, data key "
        "`master-key`, 32 or 64 hexadecimal characters. Default: the controller generates a key, once.",
    )
    key_size: KeySize | None = Field(
        default=None,
        description="keySize is the size of the key in bits: 128 or 256. Default: 256 for a generated key, any of "
        "them for your own.",
    )
    external: bool = Field(
        default=False,
        description="external is true to keep the key only in the memory of the leading controller. The controller "
        "reads the Secret, and deletes it when every JoinKey of this master key is Ready. Create the Secret again "
        "before each restart. Default: false.",
    )
    serial: Serial = Field(
        default=1,
        description="serial is the number of the requested key. Raise it by 1 to rotate the key: to a new generated "
        "one, or to the one in the Secret. Default: 1.",
    )


class Holder(Model):
    """holder is the controller that has an external key in memory."""

    identity: Annotated[str, StringConstraints(max_length=320, pattern=PRINTABLE)] = Field(
        description="identity is the name of the controller."
    )
    loaded_time: datetime = Field(description="loadedTime is the time at which it read the key.")


class JoinKeyCounts(Model):
    """joinKeys is the number of join keys that name this master key."""

    total: Count = Field(default=0, description="total is the number of join keys that name this master key.")
    outdated: Count = Field(
        default=0, description="outdated is the number of join keys that are not sealed with the newest key yet."
    )


class MasterKeyStatus(ObjectStatus):
    """status is the most recently observed status. The controller sets it; it is read-only and contains no key."""

    state: MasterKeyState | None = Field(
        default=None,
        description="state is the state of the key: Pending, Active, Rotating or Sealed. While Rotating, join keys are "
        "sealed with the previous key. While Sealed, the controller lacks the recorded key.",
    )
    serial: Serial | None = Field(default=None, description="serial is the `spec.serial` of the newest key.")
    fingerprint: MasterKeyFingerprint | None = Field(
        default=None,
        description="fingerprint is the fingerprint of the newest key, which seals. It does not reveal the key.",
    )
    previous_fingerprint: MasterKeyFingerprint | None = Field(
        default=None,
        description="previousFingerprint is the fingerprint of the previous key. Absent if no join key is sealed "
        "with it.",
    )
    key_size: KeySize | None = Field(default=None, description="keySize is the size of the newest key in bits.")
    source: KeySource | None = Field(
        default=None, description="source is the origin of the newest key: Generated or Provided."
    )
    holder: Holder | None = Field(
        default=None, description="holder is the controller that has an external key in memory."
    )
    join_keys: JoinKeyCounts | None = Field(
        default=None, description="joinKeys is the number of join keys that name this master key."
    )
    conditions: Conditions = Field(
        default_factory=list,
        description="conditions contains Ready. It contains Reconciling or Stalled while they are True.",
    )


class MasterKey(Model):
    """A MasterKey is the AES key that seals the join keys of one product. Its name is the name of the product."""

    RESOURCE: ClassVar[Resource] = MASTER_KEYS
    SHORT_NAMES: ClassVar[Sequence[str]] = ("mkey",)
    SELECTABLE: ClassVar[Sequence[str]] = (".status.state", ".status.fingerprint")
    COLUMNS: ClassVar[Sequence[Column]] = (
        Column("State", ".status.state", "State of the key."),
        Column("Fingerprint", ".status.fingerprint", "Fingerprint of the newest key.", priority=1),
        Column("Bits", ".status.keySize", "Size of the newest key in bits.", type="integer"),
        Column("External", ".spec.external", "Whether only memory holds the key.", type="boolean"),
        Column("Join Keys", ".status.joinKeys.total", "Join keys that name this master key.", type="integer"),
        Column(
            "Outdated",
            ".status.joinKeys.outdated",
            "Join keys that are not sealed with the newest key.",
            type="integer",
        ),
        REASON,
        MESSAGE,
        AGE,
    )
    RULES: ClassVar[Sequence[Rule]] = ROOT_RULES

    metadata: ObjectMeta
    spec: MasterKeySpec
    status: MasterKeyStatus = Field(default_factory=MasterKeyStatus)
