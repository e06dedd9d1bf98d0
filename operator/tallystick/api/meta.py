"""What all our kinds share: names of the group, how fields are spelled, metadata and conditions."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

GROUP = "tallystick.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
CATEGORY = "tally"

# S28: a free string holds no control character, so that `kubectl describe` cannot be made to lie.
# Spelled out, because the API server's \p{C} has no unassigned characters and pydantic's has.
PRINTABLE = r"^[^\p{Cc}\p{Cf}\p{Co}]*$"
DNS_SUBDOMAIN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
GO_DURATION = r"^([0-9]+h)?([0-9]+m)?([0-9]+s)?$"
# S12: one https pattern; no userinfo, an ASCII host, no query, no fragment, no control character.
HTTPS_URL = (
    r"^https://([A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?"
    r"(/[A-Za-z0-9._~!$&()*+,;=:@%-]+)*$"
)

_ACRONYMS = {"id": "ID", "url": "URL", "jwk": "JWK"}


def field_name(python_name: str) -> str:
    """Spell a Python name as the Kubernetes API conventions do: `exchange_url` is `exchangeURL`."""
    first, *rest = python_name.split("_")
    return first + "".join(_ACRONYMS.get(part, part.capitalize()) for part in rest)


@dataclass(frozen=True, slots=True)
class Rule:
    """One CEL rule of a CRD (`x-kubernetes-validations`), with our words for whoever breaks it."""

    rule: str
    message: str
    field_path: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of `kubectl get`."""

    name: str
    json_path: str
    description: str
    type: str = "string"
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Resource:
    """Where a kind lives in the API."""

    group: str
    version: str
    plural: str
    kind: str

    @property
    def api_version(self) -> str:
        """The `apiVersion` of its objects: `v1`, `tallystick.dev/v1alpha1`."""
        return f"{self.group}/{self.version}" if self.group else self.version


class Model(BaseModel):
    """A part of an object. Unknown fields are dropped, as the API server would."""

    model_config = ConfigDict(alias_generator=field_name, populate_by_name=True, extra="ignore", frozen=True)

    RULES: ClassVar[Sequence[Rule]] = ()

    def to_json(self) -> dict[str, object]:
        """Write the model as Kubernetes wants it: API names, no nulls, RFC 3339 times in UTC."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class ObjectMeta(Model):
    """What we read of `metadata`; the API server owns the rest."""

    name: str
    namespace: str = ""
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    labels: dict[str, str] = Field(default_factory=dict)


class ConditionStatus(StrEnum):
    """The three answers of a condition."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(Model):
    """A `metav1.Condition`: one observation of an object, with the reason in one word and in a sentence."""

    type: Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[A-Z][A-Za-z]*$")] = Field(
        description="What is observed, in one word: Ready, Reconciling, Stalled."
    )
    status: ConditionStatus = Field(description="True, False or Unknown.")
    reason: Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[A-Za-z]+$")] = Field(
        description="Why, in one CamelCase word. Reasons are part of the API."
    )
    message: Annotated[str, StringConstraints(max_length=1024)] = Field(
        description="Why, and what to do next, in a sentence."
    )
    last_transition_time: datetime = Field(description="When `status` last changed.")
    observed_generation: Annotated[int, Field(ge=0)] = Field(
        default=0, description="The `metadata.generation` that this condition speaks of."
    )
