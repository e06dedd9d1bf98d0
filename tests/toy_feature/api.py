"""Greeting: a text that the controller stores in a Secret."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from tallystick.schema.cel import NAME_FITS
from tallystick.schema.meta import (
    AGE,
    GROUP,
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

GREETINGS = Resource(GROUP, VERSION, "greetings", "Greeting")


class GreetingReason(StrEnum):
    """Reasons of the condition Ready."""

    STORED = "Stored"
    PENDING = "Pending"


class GreetingSpec(Model):
    """The text."""

    RULES: ClassVar[Sequence[Rule]] = (
        Rule("self.text == oldSelf.text", "text is immutable", reason="FieldValueForbidden"),
    )

    text: Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=PRINTABLE)] = Field(
        description="text is stored in the Secret, after the salutation of the operator."
    )


class GreetingStatus(ObjectStatus):
    """Most recently observed status. Set by the controller; read-only."""

    stored: bool = Field(default=False, description="stored is true once the Secret was written.")
    conditions: Conditions = Field(
        default_factory=list, description="conditions are Ready, and Stalled or Reconciling while they are true."
    )


class Greeting(Model):
    """A text that the controller stores in a Secret."""

    RESOURCE: ClassVar[Resource] = GREETINGS
    SHORT_NAMES: ClassVar[Sequence[str]] = ("grt",)
    SELECTABLE: ClassVar[Sequence[str]] = (".spec.text",)
    COLUMNS: ClassVar[Sequence[Column]] = (
        Column("Text", ".spec.text", "The text."),
        REASON,
        AGE,
    )
    RULES: ClassVar[Sequence[Rule]] = (NAME_FITS,)

    metadata: ObjectMeta
    spec: GreetingSpec
    status: GreetingStatus = Field(default_factory=GreetingStatus)
