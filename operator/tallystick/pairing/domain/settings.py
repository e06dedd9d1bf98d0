"""The settings of the feature pairing."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

from tallystick.pairing.domain.requester import RequesterMode

MOST_MINUTES = 15
"""The lifetime of an admin token in minutes (docs/rules.md#r100)."""


class PairingSettings(BaseModel):
    """The settings of the feature pairing.

    Attributes:
        use_cases_file: A YAML file with the use-case table. Default: the built-in table.
        requester: The identity that a pairing token carries as its requester.
        bootstrap_generation: The number of the first admin token. Each number has one token; 0 has none.
        bootstrap_token_delete_in_minutes: Minutes after which the Secret with the admin token is deleted.
    """

    model_config = ConfigDict(frozen=True)

    use_cases_file: Path | None = None
    requester: RequesterMode = RequesterMode.POLICY
    bootstrap_generation: Annotated[int, Field(ge=0, le=1_000_000_000)] = 1
    bootstrap_token_delete_in_minutes: int = 1

    @field_validator("bootstrap_token_delete_in_minutes")
    @classmethod
    def _within_the_lifetime(cls, minutes: int) -> int:
        """The Secret does not outlive its token (docs/rules.md#r99)."""
        if not 1 <= minutes <= MOST_MINUTES:
            raise ValueError(f"must be between 1 and {MOST_MINUTES}")
        return minutes

    @property
    def delete_admin_secret_after(self) -> timedelta:
        """The time from the `iat` of an admin token to the deletion of its Secret."""
        return timedelta(minutes=self.bootstrap_token_delete_in_minutes)
