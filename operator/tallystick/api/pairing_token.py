"""PairingToken: a right to pair, as a signed JWT in a Secret (R78-R90)."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from tallystick.api.meta import (
    DNS_SUBDOMAIN,
    GO_DURATION,
    GROUP,
    HTTPS_URL,
    PRINTABLE,
    VERSION,
    Column,
    Condition,
    Model,
    ObjectMeta,
    Resource,
    Rule,
)
from tallystick.api.pairing_token_rules import MASTER_TOKEN_RULES, ROOT_RULES, SPEC_RULES

PAIRING_TOKENS = Resource(GROUP, VERSION, "pairingtokens", "PairingToken")

HttpsURL = Annotated[str, StringConstraints(max_length=2048, pattern=HTTPS_URL)]
Duration = Annotated[str, StringConstraints(min_length=2, max_length=16, pattern=GO_DURATION)]
UseCaseName = Annotated[str, StringConstraints(max_length=63, pattern=r"^[a-z][a-z0-9-]{0,62}$")]
Serial = Annotated[int, Field(ge=1, le=1_000_000_000)]
Identifier = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")]
Principal = Annotated[str, StringConstraints(max_length=1024, pattern=PRINTABLE)]
Scope = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[!#-\[\]-~]+$")]
Scopes = Annotated[list[Scope], Field(max_length=16)]


class Purpose(StrEnum):
    """What a pairing token is for."""

    SERVICE = "Service"
    DEVICE_PROJECT = "DeviceProject"


class DeletionPolicy(StrEnum):
    """What deleting the PairingToken does to the trust that it made."""

    REVOKE = "Revoke"
    RETAIN = "Retain"


class PairingTokenState(StrEnum):
    """Where a pairing token is in its life. Used, Expired and Revoked never become Active again."""

    PENDING = "Pending"
    ACTIVE = "Active"
    USED = "Used"
    EXPIRED = "Expired"
    REVOKED = "Revoked"


class MasterTokenSettings(Model):
    """What the master token of this pairing will be like."""

    RULES: ClassVar[Sequence[Rule]] = MASTER_TOKEN_RULES

    ttl: Duration | None = Field(
        default=None,
        description="How long the master token lives, as a Go duration such as 8760h. Absent: as the use case says.",
    )
    deletion_policy: DeletionPolicy = Field(
        default=DeletionPolicy.REVOKE,
        description="What deleting this PairingToken does to its master token: Revoke ends it, Retain keeps it.",
    )


class PairingTokenSpec(Model):
    """What the user asks for. Every field that is part of the signed token changes only together with `serial` (S3)."""

    RULES: ClassVar[Sequence[Rule]] = SPEC_RULES

    purpose: Purpose = Field(
        description="Service: single use, exchanged for a master token. DeviceProject: many devices enrol with it."
    )
    use_case: UseCaseName | None = Field(
        default=None, description="The use case that the trust is for; one of the operator's table."
    )
    base_url: HttpsURL | None = Field(
        default=None,
        alias="baseURL",
        description="The base URL of the issuing service, put into the token. Absent: the operator's external URL.",
    )
    exchange_url: HttpsURL | None = Field(
        default=None,
        alias="exchangeURL",
        description="Where the token is exchanged, put into the token. Absent: /oauth2/token under the base URL.",
    )
    pairing_url: HttpsURL | None = Field(
        default=None,
        alias="pairingURL",
        description="Where the other side may pair back; only a claim in the token.",
    )
    peer_url: HttpsURL | None = Field(
        default=None,
        alias="peerURL",
        description="The base URL of the one service that may redeem the token. Absent: any service that holds it.",
    )
    ttl: Duration | None = Field(
        default=None,
        description="How long the token can be redeemed, as a Go duration. Absent: 5m for purpose Service.",
    )
    master_token: MasterTokenSettings = Field(
        default_factory=MasterTokenSettings, description="What the master token of this pairing will be like."
    )
    project_key: Annotated[str, StringConstraints(max_length=32, pattern=r"^[a-z][a-z0-9]{1,31}$")] | None = Field(
        default=None, description="The project that devices join; only with purpose DeviceProject."
    )
    description: Annotated[str, StringConstraints(max_length=1024, pattern=PRINTABLE)] | None = Field(
        default=None, description="A note for people."
    )
    secret_name: Annotated[str, StringConstraints(max_length=253, pattern=DNS_SUBDOMAIN)] | None = Field(
        default=None,
        description="The Secret that holds the token. Absent: the object's name and `-pairing-token`.",
    )
    service_account_name: Annotated[str, StringConstraints(max_length=253, pattern=DNS_SUBDOMAIN)] | None = Field(
        default=None,
        description="The ServiceAccount that the token speaks for, with the operator's `requester: ServiceAccount`.",
    )
    requested_by: Principal | None = Field(
        default=None, description="Who asked for the token; stamped by admission, never set by hand (R86)."
    )
    serial: Serial = Field(default=1, description="Raise by 1 to issue a fresh token after Used, Expired or Revoked.")
    revoked: bool = Field(default=False, description="true revokes the token and the trust it made. One-way.")


class Claim(Model):
    """Who redeemed the token, written once by the swap that spends it, and all that the master token is made of."""

    claim_id: Identifier = Field(description="The redemption that won.")
    client_key_thumbprint: Identifier | None = Field(
        default=None, description="RFC 7638 thumbprint of the client's key, where it proved one (RFC 9449)."
    )
    client_id: Principal | None = Field(
        default=None, description="What the client called itself; unverified, never an identity (S11)."
    )
    master_token_id: Identifier = Field(description="The `jti` of the master token.")
    key_id: Identifier = Field(alias="kid", description="The key that signs the master token.")
    scope: Scopes = Field(description="What the master token allows.")
    time: datetime = Field(description="When the token was redeemed; the master token's `iat`.")


class PairingTokenStatus(Model):
    """What is. Written by the controller and, for the claim and revocation, by the exchange."""

    observed_generation: Annotated[int, Field(ge=-1)] = Field(
        default=-1, description="The `metadata.generation` that the controller has acted on."
    )
    state: PairingTokenState | None = Field(default=None, description="Where the token is in its life, in one word.")
    serial: Serial | None = Field(default=None, description="The `spec.serial` that was issued last.")
    token_id: Identifier | None = Field(default=None, description="The token's `jti` (R6).")
    key_id: Identifier | None = Field(default=None, alias="kid", description="The key that signed the token.")
    subject: Principal | None = Field(default=None, description="The token's `sub`: who asked for it (R86).")
    claims_digest: Identifier | None = Field(
        default=None,
        description="SHA-256 of the claims that were issued; a Secret is healed only with the same ones.",
    )
    issued_time: datetime | None = Field(default=None, description="The token's `iat`.")
    expiration_time: datetime | None = Field(default=None, description="The token's `exp`.")
    expires_in: Annotated[int, Field(ge=0, le=315_360_000)] | None = Field(
        default=None, description="The token's life in seconds, from issue to expiry (R90)."
    )
    used_time: datetime | None = Field(default=None, description="When the token was redeemed.")
    revoked_time: datetime | None = Field(default=None, description="When the token was revoked.")
    revoked_through: Serial | None = Field(
        default=None, description="Master tokens of this serial and of all before it are revoked."
    )
    claim: Claim | None = Field(default=None, description="Who redeemed the token.")
    conditions: Annotated[list[Condition], Field(max_length=16)] = Field(
        default_factory=list, description="Ready, and Reconciling or Stalled while they are true."
    )


class PairingToken(Model):
    """A right to pair, as a signed JWT in a Secret."""

    RESOURCE: ClassVar[Resource] = PAIRING_TOKENS
    SHORT_NAMES: ClassVar[Sequence[str]] = ("ptok",)
    SELECTABLE: ClassVar[Sequence[str]] = (
        ".spec.useCase",
        ".spec.purpose",
        ".status.state",
        ".status.tokenID",
    )
    COLUMNS: ClassVar[Sequence[Column]] = (
        Column("State", ".status.state", "Where the token is in its life."),
        Column("Token ID", ".status.tokenID", "The token's `jti` (R6)."),
        Column("Use Case", ".spec.useCase", "What the trust is for."),
        Column("Purpose", ".spec.purpose", "Service or DeviceProject.", priority=1),
        Column("Expires In", ".status.expiresIn", "The token's life in seconds (R90).", type="integer"),
        # Not of type date: kubectl would show a time that is still to come as <invalid>.
        Column("Expires", ".status.expirationTime", "The token's `exp`."),
        Column("Reason", '.status.conditions[?(@.type=="Ready")].reason', "Why it is or is not Ready."),
        Column("Message", '.status.conditions[?(@.type=="Ready")].message', "What to do next.", priority=1),
        Column("Age", ".metadata.creationTimestamp", "When the object was made.", type="date"),
    )
    RULES: ClassVar[Sequence[Rule]] = ROOT_RULES

    metadata: ObjectMeta
    spec: PairingTokenSpec
    status: PairingTokenStatus = Field(default_factory=PairingTokenStatus)
