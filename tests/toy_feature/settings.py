"""The settings of the toy."""

from pydantic import BaseModel, ConfigDict


class ToySettings(BaseModel):
    model_config = ConfigDict(frozen=True)

    salutation: str = "Hello"
