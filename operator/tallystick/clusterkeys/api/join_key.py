"""JoinKey: the key that the services of one cluster share (docs/rules.md#r42)."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from tallystick.clusterkeys.api.fields import (
    Count,
    JoinKeyFingerprint,
    KeySize,
    KeySource,
    Label,
    MasterKeyFingerprint,
    ObjectName,
    SecretName,
    SecretRef,
)
from tallystick.clusterkeys.api.join_key_rules import ROOT_RULES, SPEC_RULES
from tallystick.schema.fields import Duration, Identifier, Serial
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

JOIN_KEYS = Resource(GROUP, VERSION, "joinkeys", "JoinKey")

# Larger than the limit of 16, which is a CEL rule: if maxItems fails, the API server skips CEL and its message.
_MOST_LISTED = 64


class JoinKeyState(StrEnum):
    """The state of a join key."""

    PENDING = "Pending"
    ACTIVE = "Active"
    REPLACING = "Replacing"


class ReplacementPhase(StrEnum):
    """The part of a replacement: first the new key is accepted and the old one signs, then the reverse."""

    PUBLISHING = "Publishing"
    RETIRING = "Retiring"


class MasterKeyRef(Model):
    """masterKeyRef refers to the MasterKey that seals the stored copy, in the namespace of the JoinKey."""

    name: ObjectName = Field(default="default", description="name is the name of the MasterKey. Default: default.")


class Target(Model):
    """A target is a namespace that gets a copy of the key."""

    namespace: Label = Field(description="namespace is the name of the namespace.")
    secret_name: SecretName | None = Field(
        default=None,
        description="secretName is the name of the Secret. Default: the JoinKey's name followed by `-join-key`.",
    )


class JoinKeySpec(Model):
    """spec is the requested join key. The controller generates a key of 256 bits for an empty spec."""

    RULES: ClassVar[Sequence[Rule]] = SPEC_RULES

    secret_ref: SecretRef | None = Field(
        default=None,
        description="secretRef refers to a Secret with your own key: type `tallystick.dev/join-key`, data key "
        "`join-key`, 32 or 64 hexadecimal characters. If you put another key into it, the key is replaced. "
        "Default: the controller generates a key.",
    )
    key_size: KeySize | None = Field(
        default=None,
        description="keySize is the size of the key in bits: 128 or 256. Default: 256 for a generated key, any of "
        "them for your own.",
    )
    master_key_ref: MasterKeyRef = Field(
        default_factory=MasterKeyRef, description="masterKeyRef refers to the MasterKey that seals the stored copy."
    )
    targets: Annotated[list[Target], Field(max_length=_MOST_LISTED)] = Field(
        default_factory=list,
        description="targets is the list of further namespaces whose services share the key, at most 16. To add one, "
        "you need permission to get Secrets in this namespace and to create Secrets in that one. Default: none.",
    )
    services: Annotated[list[Label], Field(max_length=32)] = Field(
        default_factory=list,
        description="services is the list of services that may sign tokens, as they name themselves in claim `iss`. "
        "Default: any service.",
    )
    overlap: Duration = Field(
        default="10m",
        description="overlap is the length of each phase of a replacement, as a Go duration between 0s and 720h. "
        "Services accept the new key so long before it signs, and the old key so long after. Set 0s to replace a "
        "compromised key at once. Default: 10m.",
    )
    serial: Serial = Field(
        default=1,
        description="serial is the number of the requested generated key. Raise it by 1 to replace the key. "
        "Default: 1.",
    )


class SealedCopy(Model):
    """sealed describes the stored, encrypted copy of the key."""

    master_key: MasterKeyFingerprint = Field(
        description="masterKey is the fingerprint of the master key that opens the copy."
    )
    digest: Identifier = Field(
        description="digest is the SHA-256 digest of the content of the Secret. It shows whether another writer "
        "changed it."
    )


class Replacement(Model):
    """replacement describes the current replacement of the key."""

    phase: ReplacementPhase = Field(
        description="phase is Publishing or Retiring. While Publishing, the old key signs and the new one is accepted; "
        "while Retiring, the reverse."
    )
    fingerprint: JoinKeyFingerprint = Field(
        description="fingerprint is the fingerprint of the key that is accepted and does not sign."
    )
    until: datetime = Field(description="until is the time at which the next phase begins.")


class Copies(Model):
    """copies is the number of Secrets that hold the key."""

    total: Count = Field(default=0, description="total is the number of Secrets that must hold the key.")
    in_sync: Count = Field(default=0, description="inSync is the number of Secrets that hold the key.")


class TargetStatus(Model):
    """The status of one Secret that must hold the key."""

    namespace: Label = Field(description="namespace is the namespace of the Secret.")
    secret_name: SecretName = Field(description="secretName is the name of the Secret.")
    in_sync: bool = Field(description="inSync is whether the Secret holds what it must hold.")
    key_version: Serial | None = Field(
        default=None, description="keyVersion is the version of the key that signs by the content of the Secret."
    )
    reason: Annotated[str, StringConstraints(max_length=64, pattern=r"^[A-Za-z]+$")] | None = Field(
        default=None, description="reason is the reason why the Secret is not in sync, in CamelCase."
    )
    message: Annotated[str, StringConstraints(max_length=512, pattern=PRINTABLE)] | None = Field(
        default=None, description="message explains the reason and the next action."
    )


class JoinKeyStatus(ObjectStatus):
    """status is the most recently observed status. The controller sets it; it is read-only and contains no key."""

    state: JoinKeyState | None = Field(
        default=None, description="state is the state of the key: Pending, Active or Replacing."
    )
    serial: Serial | None = Field(
        default=None, description="serial is the `spec.serial` of the most recently recorded key."
    )
    fingerprint: JoinKeyFingerprint | None = Field(
        default=None,
        description="fingerprint is the fingerprint of the key that signs, and the `kid` of its tokens. It does not "
        "reveal the key.",
    )
    key_size: KeySize | None = Field(default=None, description="keySize is the size of the key that signs, in bits.")
    source: KeySource | None = Field(
        default=None, description="source is the origin of the key that signs: Generated or Provided."
    )
    key_version: Serial | None = Field(
        default=None, description="keyVersion is 1 for the first key that signs, and rises by 1 with each other key."
    )
    sealed: SealedCopy | None = Field(
        default=None, description="sealed describes the stored, encrypted copy of the key."
    )
    replacement: Replacement | None = Field(
        default=None,
        description="replacement describes the current replacement of the key. Absent if the key is not being "
        "replaced.",
    )
    copies: Copies | None = Field(default=None, description="copies is the number of Secrets that hold the key.")
    targets: Annotated[list[TargetStatus], Field(max_length=_MOST_LISTED)] = Field(
        default_factory=list,
        description="targets lists each Secret that must hold the key. The first one is in the namespace of the "
        "JoinKey.",
    )
    conditions: Conditions = Field(
        default_factory=list,
        description="conditions contains Ready. It contains Reconciling or Stalled while they are True.",
    )


class JoinKey(Model):
    """A JoinKey is the AES key that the services of one cluster share. Its name is the name of the cluster."""

    RESOURCE: ClassVar[Resource] = JOIN_KEYS
    SHORT_NAMES: ClassVar[Sequence[str]] = ("jkey",)
    SELECTABLE: ClassVar[Sequence[str]] = (".spec.masterKeyRef.name", ".status.state", ".status.fingerprint")
    COLUMNS: ClassVar[Sequence[Column]] = (
        Column("State", ".status.state", "State of the key."),
        Column("Fingerprint", ".status.fingerprint", "Fingerprint of the key that signs.", priority=1),
        Column("Version", ".status.keyVersion", "Version of the key that signs.", type="integer"),
        Column("Bits", ".status.keySize", "Size of the key in bits.", type="integer", priority=1),
        Column("In Sync", ".status.copies.inSync", "Secrets that hold the key.", type="integer"),
        Column("Copies", ".status.copies.total", "Secrets that must hold the key.", type="integer"),
        Column("Master Key", ".spec.masterKeyRef.name", "MasterKey that seals the stored copy.", priority=1),
        REASON,
        MESSAGE,
        AGE,
    )
    RULES: ClassVar[Sequence[Rule]] = ROOT_RULES

    metadata: ObjectMeta
    spec: JoinKeySpec
    status: JoinKeyStatus = Field(default_factory=JoinKeyStatus)
