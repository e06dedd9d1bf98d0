"""The table of use cases: what a pairing is for, and what its master token allows (R82, R92)."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from tallystick.api.master_token import Audience
from tallystick.api.pairing_token import Duration, Scope, UseCaseName
from tallystick.domain.durations import parse_duration
from tallystick.domain.errors import InvalidSettingError

DEFAULT_MASTER_TTL = "8760h"  # R91-R93: one year, 31,536,000 s.
# The bounds of `masterToken.ttl` in the schema, which a row's default may not exceed either.
SHORTEST_MASTER_TTL, LONGEST_MASTER_TTL = timedelta(minutes=1), timedelta(hours=87600)
# In characters: a token fits into one HTTP header line, and has more to say than who accepts it.
MOST_AUDIENCE_TEXT = 2048


@dataclass(frozen=True, slots=True)
class UseCase:
    """One row: the scope, audiences and life of the master tokens that it yields."""

    name: str
    scope: tuple[str, ...]
    audience: tuple[str, ...]
    master_ttl: timedelta


@dataclass(frozen=True, slots=True)
class UseCases:
    """The whole table, with a digest by which replicas are compared."""

    rows: Mapping[str, UseCase]
    digest: str

    def get(self, name: str | None) -> UseCase | None:
        """Return the row of that name."""
        return self.rows.get(name or "")

    @property
    def names(self) -> str:
        """All names in order, for people."""
        return ", ".join(sorted(self.rows))


def _unique(values: list[str]) -> list[str]:
    if len(set(values)) != len(values):
        raise ValueError("the same value is there twice")
    return values


def _signable(audience: list[str]) -> list[str]:
    if sum(map(len, audience)) > MOST_AUDIENCE_TEXT:
        raise ValueError(f"the audiences have more than {MOST_AUDIENCE_TEXT} characters in all")
    return audience


def _lasting(ttl: str) -> str:
    if not SHORTEST_MASTER_TTL <= parse_duration(ttl) <= LONGEST_MASTER_TTL:
        raise ValueError("masterTokenTTL must be between 1m and 87600h")
    return ttl


class _Row(BaseModel):
    """One row as it stands in the file. What could not be signed is refused here: later, a token would be spent."""

    model_config = ConfigDict(extra="forbid")

    scope: Annotated[list[Scope], Field(min_length=1, max_length=16), AfterValidator(_unique)]
    audience: Annotated[list[Audience], Field(max_length=16), AfterValidator(_unique), AfterValidator(_signable)] = []
    masterTokenTTL: Annotated[Duration, AfterValidator(_lasting)] = DEFAULT_MASTER_TTL  # noqa: N815 - the spelling of the settings file


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid")

    useCases: Annotated[dict[UseCaseName, _Row], Field(min_length=1, max_length=256)]  # noqa: N815 - as above


BUILT_IN: dict[str, object] = {
    "useCases": {
        "mission-control": {"scope": ["mission-control:admin"]},
        "artifactory-cold": {"scope": ["artifactory-cold:transfer"]},
        "federated-repo": {"scope": ["federated-repo:sync"]},
    }
}


def use_cases(settings: object = BUILT_IN) -> UseCases:
    """Read the table of use cases: `{useCases: {name: {scope: [...], audience: [...], masterTokenTTL: 8760h}}}`.

    Raises:
        InvalidSettingError: the table is not of that form.
    """
    try:
        table = _Table.model_validate(settings)
        rows = {
            name: UseCase(name, tuple(row.scope), tuple(row.audience), parse_duration(row.masterTokenTTL))
            for name, row in table.useCases.items()
        }
    except (ValidationError, ValueError) as error:
        raise InvalidSettingError(f"the table of use cases cannot be used: {error}") from error
    canonical = json.dumps(table.model_dump(), sort_keys=True).encode()
    return UseCases(rows, hashlib.sha256(canonical).hexdigest())
