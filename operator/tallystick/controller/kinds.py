"""The kinds that the API server does not serve now: their CRD is not installed yet, or was deleted.

Such a kind has no objects. It is waited for, and all other kinds are served.
"""

import asyncio
from collections.abc import Collection, Iterable

import structlog

from tallystick.schema.meta import Resource

log = structlog.get_logger("tallystick.kinds")


class MissingKinds:
    """The kinds that are missing, and those that are back but whose objects are not all in the cache yet.

    Attributes:
        suspected: Set when a kind may be missing. The next look at the served kinds clears it.
    """

    def __init__(self) -> None:
        self.suspected = asyncio.Event()
        self._missing: frozenset[Resource] = frozenset()
        self._returned: set[Resource] = set()
        self._changed = asyncio.Event()

    def update(self, missing: Collection[Resource]) -> None:
        """Replace the missing kinds, and log each change once."""
        gone, back = frozenset(missing) - self._missing, self._missing - frozenset(missing)
        for kind in _names(gone):
            log.warning("the API server does not serve a kind; install its CRD", kind=kind)
        for kind in _names(back):
            log.info("the API server serves a kind again", kind=kind)
        self._missing = frozenset(missing)
        self._look_at(back)

    def look_again(self, kind: Resource) -> None:
        """Compare the cache of a kind with the API server: it may be missing, or another one may have replaced it."""
        self.suspected.set()
        self._look_at({kind})

    async def next_returned(self) -> frozenset[Resource]:
        """Wait for kinds whose objects the cache has to be compared with. They stay in it until `read`."""
        await self._changed.wait()
        self._changed.clear()
        return frozenset(self._returned)

    def read(self, kind: Resource) -> None:
        """Note that the cache has all objects of a kind."""
        self._returned.discard(kind)

    def __len__(self) -> int:
        """The number of missing kinds."""
        return len(self._missing)

    def is_missing(self, kind: Resource) -> bool:
        """Whether the API server does not serve this kind."""
        return kind in self._missing

    @property
    def text(self) -> str | None:
        """A sentence for people; None if no kind is missing."""
        if not self._missing:
            return None
        return f"the API server does not serve {', '.join(_names(self._missing))}; install the CRDs of this version"

    def _look_at(self, kinds: Iterable[Resource]) -> None:
        if kinds := frozenset(kinds):
            self._returned |= kinds
            self._changed.set()


def _names(kinds: Iterable[Resource]) -> list[str]:
    return sorted(kind.kind for kind in kinds)
