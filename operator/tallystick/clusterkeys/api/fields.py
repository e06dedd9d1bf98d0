"""Fields that MasterKey and JoinKey share, and the rules about them."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from tallystick.schema.cel import SERIAL_RISES_BY_ONE, unchanged
from tallystick.schema.meta import DNS_SUBDOMAIN, Model, Rule

DNS_LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"

KeySize = Literal[128, 256]
SecretName = Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=DNS_SUBDOMAIN)]
ObjectName = Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=DNS_SUBDOMAIN)]
Label = Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=DNS_LABEL)]
MasterKeyFingerprint = Annotated[str, StringConstraints(max_length=27, pattern=r"^mk-[0-9a-f]{24}$")]
JoinKeyFingerprint = Annotated[str, StringConstraints(max_length=27, pattern=r"^jk-[0-9a-f]{24}$")]
Count = Annotated[int, Field(ge=0, le=2**31 - 1)]


class KeySource(StrEnum):
    """The origin of a key."""

    GENERATED = "Generated"
    PROVIDED = "Provided"


class SecretRef(Model):
    """secretRef refers to a Secret of the user, in the namespace of the object."""

    name: SecretName = Field(
        description="name is the name of the Secret. The controller does not read a Secret of another type."
    )


# The rules on the spec that both kinds have.
KEY_RULES = (
    *SERIAL_RISES_BY_ONE,
    Rule(
        "has(self.secretRef) || !has(oldSelf.secretRef)",
        "secretRef cannot be removed; to change the key, put another key into its Secret",
        reason="FieldValueForbidden",
    ),
    Rule(
        f"has(self.secretRef) || self.serial > oldSelf.serial || ({unchanged('keySize')})",
        "keySize of a generated key can change only in an edit that raises serial",
    ),
)
