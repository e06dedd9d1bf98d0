"""A number of devices, or a percentage of them, as `spec.strategy` has it."""

from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number of devices, or a percentage of them (0 to 100)."""

    number: int
    is_percent: bool = False

    @classmethod
    def percent(cls, number: int) -> Self:
        """Return a percentage."""
        return cls(number, is_percent=True)

    @classmethod
    def parse(cls, value: int | str) -> Self:
        """Read `3` or `"10%"`.

        Raises:
            ValueError: The text is not a whole number of percent. The schema rejects it before.
        """
        if isinstance(value, int):
            return cls(value)
        return cls(int(value.removesuffix("%")), is_percent=True)

    def rounded_down(self, total: int) -> int:
        """Return the number of devices among `total`. A bound is never exceeded by rounding."""
        return total * self.number // 100 if self.is_percent else self.number

    def rounded_up(self, total: int) -> int:
        """Return the number of devices among `total`. A share of some devices is at least one device."""
        return -(-total * self.number // 100) if self.is_percent else self.number
