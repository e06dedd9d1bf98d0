"""Let kopf keep nothing: no copy of an object for later comparison, no progress of a handler.

Both are of use to handlers that we do not have. Left at their defaults, they copy each object anew at each event,
the data of a Secret included.
"""

import kopf
from kopf import BodyEssence


class NoDiffBase(kopf.DiffBaseStorage):
    """The storage of what was handled last, which is nothing."""

    def build(self, **_: object) -> BodyEssence:
        """Copy nothing out of an object."""
        return BodyEssence()

    def fetch(self, **_: object) -> None:
        """Know of nothing that was handled."""

    def store(self, **_: object) -> None:
        """Keep nothing."""


class NoProgress(kopf.ProgressStorage):
    """The storage of a handler's progress, which none of ours makes."""

    def fetch(self, **_: object) -> None:
        """Know of no progress."""

    def store(self, **_: object) -> None:
        """Keep nothing."""

    def purge(self, **_: object) -> None:
        """Have nothing to remove."""

    def touch(self, **_: object) -> None:
        """Write nothing."""

    def clear(self, *, essence: BodyEssence) -> BodyEssence:
        """Have nothing of ours to take out."""
        return essence
