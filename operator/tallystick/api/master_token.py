"""MasterToken: the trust that a pairing produced (R91-R94). Created by the exchange, never by hand."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from tallystick.api.meta import GROUP, PRINTABLE, VERSION, Column, Condition, Model, ObjectMeta, Resource, Rule
from tallystick.api.pairing_token import DeletionPolicy, Identifier, Principal, Scopes, Serial, UseCaseName
from tallystick.api.rules import NAME_FITS, all_unchanged, holds

MASTER_TOKENS = Resource(GROUP, VERSION, "mastertokens", "MasterToken")

Audience = Annotated[str, StringConstraints(min_length=1, max_length=2048, pattern=PRINTABLE)]

_REQUIRED = (
    "tokenID",
    "kid",
    "useCase",
    "scope",
    "audience",
    "subject",
    "issuedTime",
    "expirationTime",
    "deletionPolicy",
)
_OPTIONAL = ("pairingTokenRef", "serial", "claimID", "clientID", "keyThumbprint")
_ENDED = holds("oldSelf.status.state")
_STATE = holds("self.status.state")


class MasterTokenState(StrEnum):
    """Where a master token is in its life."""

    ACTIVE = "Active"
    EXPIRED = "Expired"
    REVOKED = "Revoked"


class PairingTokenRef(Model):
    """The PairingToken that was redeemed."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=63)] = Field(description="Its name.")
    uid: Identifier = Field(description="Its uid: a re-created object of the same name is another one (S24).")


class MasterTokenSpec(Model):
    """All that the master token says. Immutable but for `revoked` (S1)."""

    RULES: ClassVar[Sequence[Rule]] = (
        Rule(
            all_unchanged(required=_REQUIRED, optional=_OPTIONAL),
            "a master token is made by the exchange and cannot be edited; only spec.revoked may be set",
            reason="FieldValueForbidden",
        ),
        Rule(
            "self.revoked || !oldSelf.revoked",
            "a revoked master token cannot be reactivated; pair again to make a new one",
            reason="FieldValueForbidden",
        ),
        Rule(
            "has(self.pairingTokenRef) == has(self.serial) && has(self.serial) == has(self.claimID)",
            "pairingTokenRef, serial and claimID must be given together",
        ),
        Rule("self.expirationTime > self.issuedTime", "expirationTime must be after issuedTime"),
    )

    pairing_token_ref: PairingTokenRef | None = Field(default=None, description="The PairingToken that was redeemed.")
    serial: Serial | None = Field(default=None, description="The PairingToken's serial that was redeemed.")
    claim_id: Identifier | None = Field(default=None, description="The redemption that made this token.")
    token_id: Identifier = Field(description="The token's `jti`.")
    key_id: Identifier = Field(alias="kid", description="The key that signs the token.")
    use_case: UseCaseName = Field(description="The use case that the trust is for.")
    scope: Scopes = Field(description="What the token allows.")
    audience: Annotated[list[Audience], Field(max_length=16)] = Field(description="Who accepts the token: its `aud`.")
    subject: Principal = Field(description="Who the token speaks for: its `sub`.")
    client_id: Principal | None = Field(
        default=None, description="What the client called itself; unverified, never an identity (S11)."
    )
    key_thumbprint: Identifier | None = Field(
        default=None, description="RFC 7638 thumbprint of the key that the token is bound to (`cnf.jkt`)."
    )
    issued_time: datetime = Field(description="The token's `iat`.")
    expiration_time: datetime = Field(description="The token's `exp`.")
    deletion_policy: DeletionPolicy = Field(description="What deleting the PairingToken does to this token.")
    revoked: bool = Field(default=False, description="true ends the trust. One-way.")


class MasterTokenStatus(Model):
    """What is. An absent state means Active."""

    observed_generation: Annotated[int, Field(ge=-1)] = Field(
        default=-1, description="The `metadata.generation` that the controller has acted on."
    )
    state: MasterTokenState | None = Field(default=None, description="Where the token is in its life, in one word.")
    revoked_time: datetime | None = Field(default=None, description="When the token was revoked.")
    conditions: Annotated[list[Condition], Field(max_length=16)] = Field(
        default_factory=list, description="Ready, and Stalled while it is true."
    )


class MasterToken(Model):
    """The trust that a pairing produced: long-lived, scoped to its use case, revocable."""

    RESOURCE: ClassVar[Resource] = MASTER_TOKENS
    SHORT_NAMES: ClassVar[Sequence[str]] = ("mtok",)
    SELECTABLE: ClassVar[Sequence[str]] = (
        ".spec.useCase",
        ".spec.tokenID",
        ".spec.pairingTokenRef.name",
        ".status.state",
    )
    COLUMNS: ClassVar[Sequence[Column]] = (
        Column("State", ".status.state", "Where the token is in its life; empty means Active."),
        Column("Use Case", ".spec.useCase", "What the trust is for."),
        Column("Token ID", ".spec.tokenID", "The token's `jti`."),
        # Not of type date: kubectl would show a time that is still to come as <invalid>.
        Column("Expires", ".spec.expirationTime", "The token's `exp`."),
        Column("Pairing Token", ".spec.pairingTokenRef.name", "The PairingToken that was redeemed.", priority=1),
        Column("Age", ".metadata.creationTimestamp", "When the object was made.", type="date"),
    )
    RULES: ClassVar[Sequence[Rule]] = (
        NAME_FITS,
        Rule(
            f"!({_ENDED}) || !(oldSelf.status.state in ['Expired', 'Revoked']) || "
            f"({_STATE} && self.status.state in [oldSelf.status.state, 'Revoked'])",
            "a master token that ended never becomes active again: Expired may only become Revoked",
        ),
    )

    metadata: ObjectMeta
    spec: MasterTokenSpec
    status: MasterTokenStatus = Field(default_factory=MasterTokenStatus)
