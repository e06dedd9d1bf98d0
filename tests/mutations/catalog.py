"""The list of mutations in `mutations.toml`: changes of the code, each of which removes a part of one rule."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
# Relative to the repository, and to a copy of it.
PACKAGE = Path("operator") / "tallystick"
CATALOG = Path(__file__).with_name("mutations.toml")


class DoesNotApplyError(Exception):
    """The code has changed, and the mutation has not: edit `mutations.toml`."""


@dataclass(frozen=True, slots=True)
class Mutation:
    """One change of one file.

    Attributes:
        id: The rule in docs/rules.md, a dot, and a number: `S7.2`.
        file: The file, relative to the package.
        before: The text that is replaced. It occurs once in the file.
        after: The text that replaces it.
        unit: The tests that must fail, each on its own, as pytest names them.
        live: Those that start a control plane.
    """

    id: str
    file: str
    before: str
    after: str
    unit: tuple[str, ...] = ()
    live: tuple[str, ...] = ()

    @property
    def rule(self) -> str:
        return self.id.partition(".")[0]

    @property
    def tests(self) -> tuple[str, ...]:
        return self.unit + self.live

    def applied_to(self, source: str) -> str:
        """Return the mutated source. Raises DoesNotApplyError if `before` does not occur exactly once."""
        occurrences = source.count(self.before)
        if occurrences != 1:
            raise DoesNotApplyError(f"`before` occurs {occurrences} times in {self.file}")
        return source.replace(self.before, self.after)


def load(path: Path = CATALOG) -> list[Mutation]:
    """Read the list."""
    entries = tomllib.loads(path.read_text(encoding="utf-8"))["mutation"]
    return [Mutation(**{name: _frozen(value) for name, value in entry.items()}) for entry in entries]


def _frozen(value: str | list[str]) -> str | tuple[str, ...]:
    return tuple(value) if isinstance(value, list) else value
