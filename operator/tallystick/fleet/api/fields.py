"""Types of fields that only TokenRotation and Device have."""

from typing import Annotated, Any

from pydantic import Field, StringConstraints, WithJsonSchema

from tallystick.schema.meta import DISPLAYED

_INT_MAX = 1_000_000
_PERCENT = r"^(100|[1-9]?[0-9])%$"
_SOME_PERCENT = r"^(100|[1-9][0-9]?)%$"


def _number_or_percent(least: int, percent: str) -> Any:
    """Build the type of a whole number or a percentage. A union would not be a structural schema."""
    number = Annotated[int, Field(ge=least, le=_INT_MAX, strict=True)]
    text = Annotated[str, StringConstraints(max_length=4, pattern=percent)]
    schema = {
        "x-kubernetes-int-or-string": True,
        "minimum": least,
        "maximum": _INT_MAX,
        "maxLength": 4,
        "pattern": percent,
    }
    return Annotated[number | text, WithJsonSchema(schema)]


Percent = Annotated[str, StringConstraints(max_length=4, pattern=_PERCENT)]
NumberOrPercent = _number_or_percent(0, _PERCENT)
SomeOrPercent = _number_or_percent(1, _SOME_PERCENT)

DisplayName = Annotated[str, StringConstraints(min_length=1, max_length=63)]
FailureReason = Annotated[str, StringConstraints(max_length=63, pattern=r"^[A-Z][A-Za-z]{0,62}$")]
FailureMessage = Annotated[str, StringConstraints(max_length=256, pattern=DISPLAYED)]
