"""The settings of the feature pairing."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from tallystick.pairing.domain.requester import RequesterMode


class PairingSettings(BaseModel):
    """The settings of the feature pairing.

    Attributes:
        use_cases_file: A YAML file with the use-case table. Default: the built-in table.
        requester: The identity that a pairing token carries as its requester.
    """

    model_config = ConfigDict(frozen=True)

    use_cases_file: Path | None = None
    requester: RequesterMode = RequesterMode.POLICY
