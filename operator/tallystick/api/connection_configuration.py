"""ConnectionConfiguration: the tokens by which the instances of one deployment prove who they are (R14-R41)."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from tallystick.api.connection_configuration_rules import ROOT_RULES, ROTATION_POLICY_RULES, SPEC_RULES
from tallystick.api.meta import (
    DNS_SUBDOMAIN,
    GROUP,
    PRINTABLE,
    VERSION,
    Column,
    Condition,
    Model,
    ObjectMeta,
    Resource,
    Rule,
)
from tallystick.api.pairing_token import Duration, Identifier, Serial

CONNECTION_CONFIGURATIONS = Resource(GROUP, VERSION, "connectionconfigurations", "ConnectionConfiguration")

MOST_LIVE = 2  # R24
MOST_REVOKED_SHOWN = 3  # R33
# Looser than the limit of two, which is CEL's: a broken maxItems is answered in the server's words and silences CEL.
_MOST_LISTED = 8

SlotName = Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
Host = Annotated[
    str, StringConstraints(min_length=1, max_length=253, pattern=r"^[A-Za-z0-9]([-A-Za-z0-9.:]*[A-Za-z0-9])?$")
]
# An offset of a day or more is a date-time to Go, and to nobody else.
LicenseEnd = Annotated[
    datetime, Field(json_schema_extra={"pattern": r"^[^+]*([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$"})
]
Port = Annotated[int, Field(ge=1, le=65535)]
Count = Annotated[int, Field(ge=0, le=2**31 - 1)]


class DeploymentType(StrEnum):
    """What kind of deployment the instances are part of. Spelled exactly; a token of one is good for no other."""

    KUBERNETES = "Kubernetes"
    REVERSE_PROXY = "ReverseProxy"


class Protocol(StrEnum):
    """How a reverse proxy reaches its target."""

    HTTPS = "HTTPS"
    HTTP = "HTTP"


class ConnectionTokenState(StrEnum):
    """Where a connection token is in its life. Revoked is for ever."""

    PENDING = "Pending"
    ACTIVE = "Active"
    REVOKED = "Revoked"


class RevocationReason(StrEnum):
    """The only three reasons for which a connection token ends (R37)."""

    MANUAL = "Manual"
    LICENSE_EXPIRED = "LicenseExpired"
    CONFIGURATION_DELETED = "ConfigurationDeleted"


class Slot(Model):
    """A place for one token. To add one generates its token; to remove one revokes it."""

    name: SlotName = Field(description="What the token is called, here and in the Secret (`token.<name>`).")


class ReverseProxy(Model):
    """What the reverse proxy protects."""

    target_host: Host = Field(description="The host name or address behind the proxy.")
    target_ports: Annotated[list[Port], Field(min_length=1, max_length=16)] = Field(
        default_factory=lambda: [443], description="The ports of the target."
    )
    protocol: Protocol = Field(default=Protocol.HTTPS, description="How the target is reached.")


class RotationPolicy(Model):
    """When to remind of a rotation. Age never revokes anything (R37)."""

    RULES: ClassVar[Sequence[Rule]] = ROTATION_POLICY_RULES

    recommend_after: Duration = Field(
        default="4380h", description="The age of the newest token at which a rotation is recommended (R20)."
    )
    require_after: Duration = Field(
        default="8760h", description="The age of the newest token at which a rotation is overdue (R19)."
    )


def _default_slots() -> list[Slot]:
    return [Slot(name="default")]


class ConnectionConfigurationSpec(Model):
    """What the user asks for."""

    RULES: ClassVar[Sequence[Rule]] = SPEC_RULES

    display_name: Annotated[str, StringConstraints(max_length=256, pattern=PRINTABLE)] | None = Field(
        default=None, description="A name for people."
    )
    description: Annotated[str, StringConstraints(max_length=1024, pattern=PRINTABLE)] | None = Field(
        default=None, description="A note for people."
    )
    deployment_type: DeploymentType = Field(
        description="What the tokens are good for: Kubernetes or ReverseProxy. Immutable, and part of each token."
    )
    reverse_proxy: ReverseProxy | None = Field(
        default=None, description="What the reverse proxy protects; only with deploymentType ReverseProxy."
    )
    tokens: Annotated[list[Slot], Field(min_length=1, max_length=_MOST_LISTED)] = Field(
        default_factory=_default_slots,
        description="One or two slots. To add one generates its token, to remove one revokes it; one survives an edit.",
    )
    license_expires_at: LicenseEnd | None = Field(
        default=None, description="When all tokens die; a whole second. A later date issues one new token."
    )
    rotation_policy: RotationPolicy = Field(default_factory=RotationPolicy, description="When to remind of a rotation.")
    secret_name: Annotated[str, StringConstraints(max_length=253, pattern=DNS_SUBDOMAIN)] | None = Field(
        default=None, description="The Secret that holds the tokens. Absent: the object's name and `-connection-token`."
    )


class ConnectionToken(Model):
    """One token: ids and times, never its value."""

    slot: SlotName = Field(description="The slot that it was made for.")
    token_id: Identifier = Field(description="The token's `jti`.")
    serial: Serial = Field(description="The running number of the token among all of this object; its claim `serial`.")
    key_id: Identifier = Field(alias="kid", description="The key that signs the token.")
    state: ConnectionTokenState = Field(description="Pending until the Secret holds it, Active, or Revoked for ever.")
    claims_digest: Identifier = Field(
        description="SHA-256 of the claims that were issued; a Secret is healed only with the same ones."
    )
    issued_time: datetime = Field(description="The token's `iat`.")
    not_after: datetime | None = Field(
        default=None, description="The end of the licence as it was last seen unexpired: the token never outlives it."
    )
    revoked_time: datetime | None = Field(default=None, description="When the token was revoked.")
    reason: RevocationReason | None = Field(default=None, description="Why the token was revoked.")
    instances: Count = Field(default=0, description="How many instances have used this token last.")


class Instances(Model):
    """The instances that have sent heartbeats within a day, by the age of the last one."""

    good: Count = Field(default=0, description="Heard of within 2 minutes.")
    warning: Count = Field(default=0, description="Heard of within 10 minutes.")
    problem: Count = Field(default=0, description="Silent for longer.")
    outdated: Count = Field(
        default=0, description="Those that have last used another token than the newest active one."
    )
    unlisted: Count = Field(
        default=0, description="About how many more there are, beyond the 1,000 whose ids are kept (S19)."
    )


class ConnectionConfigurationStatus(Model):
    """What is. Written by the controller alone."""

    observed_generation: Annotated[int, Field(ge=-1)] = Field(
        default=-1, description="The `metadata.generation` that the controller has acted on."
    )
    last_serial: Serial | None = Field(
        default=None, description="The `serial` of the last token, raised before the token is made."
    )
    tokens: Annotated[list[ConnectionToken], Field(max_length=MOST_LIVE + MOST_REVOKED_SHOWN)] = Field(
        default_factory=list,
        description="At most two that are Pending or Active, and the last three that were revoked.",
    )
    vacant_slots: Annotated[list[SlotName], Field(max_length=_MOST_LISTED)] = Field(
        default_factory=list,
        description="Slots without a token: theirs ended with a licence, and its renewal issues a single one.",
    )
    active_tokens: Count | None = Field(default=None, description="How many tokens are Active.")
    current_token_id: Identifier | None = Field(
        default=None, description="The newest Active token: the one to copy, `token` in the Secret (R28)."
    )
    instances: Instances | None = Field(default=None, description="Who is connected. Hearsay (S19).")
    conditions: Annotated[list[Condition], Field(max_length=16)] = Field(
        default_factory=list,
        description="Ready; LicenseValid where there is a licence; and RotationRecommended, RotationOverdue, "
        "InstancesCutOff, Reconciling or Stalled while they are true.",
    )


class ConnectionConfiguration(Model):
    """Tokens for the instances of one deployment: two at most, one at least, good for one deployment type."""

    RESOURCE: ClassVar[Resource] = CONNECTION_CONFIGURATIONS
    SHORT_NAMES: ClassVar[Sequence[str]] = ("cconf",)
    SELECTABLE: ClassVar[Sequence[str]] = (".spec.deploymentType", ".status.currentTokenID")
    COLUMNS: ClassVar[Sequence[Column]] = (
        Column("Type", ".spec.deploymentType", "What the tokens are good for."),
        Column("Active", ".status.activeTokens", "How many tokens are active.", type="integer"),
        Column("Token ID", ".status.currentTokenID", "The newest active token: the one to copy."),
        Column("Good", ".status.instances.good", "Instances that were heard of within 2 minutes.", type="integer"),
        Column("Warning", ".status.instances.warning", "Instances heard of within 10 minutes.", type="integer"),
        Column("Problem", ".status.instances.problem", "Instances that are silent for longer.", type="integer"),
        Column("Outdated", ".status.instances.outdated", "Instances that still use an older token.", type="integer"),
        # Not of type date: kubectl would show a time that is still to come as <invalid>.
        Column("License", ".spec.licenseExpiresAt", "When all tokens die.", priority=1),
        Column("Reason", '.status.conditions[?(@.type=="Ready")].reason', "Why it is or is not Ready."),
        Column("Message", '.status.conditions[?(@.type=="Ready")].message', "What to do next.", priority=1),
        Column("Age", ".metadata.creationTimestamp", "When the object was made.", type="date"),
    )
    RULES: ClassVar[Sequence[Rule]] = ROOT_RULES

    metadata: ObjectMeta
    spec: ConnectionConfigurationSpec
    status: ConnectionConfigurationStatus = Field(default_factory=ConnectionConfigurationStatus)
