"""Who holds how many of the connections: a bound for all, and a share for each source.

Without the share one source could take all connections, and nobody else would be heard.
"""

from collections import Counter


class Places:
    """As many places as there may be connections; nothing is kept of a source that holds none."""

    def __init__(self, *, most: int, most_per_source: int) -> None:
        self._most = most
        self._most_per_source = most_per_source
        self._held: Counter[str] = Counter()

    def __len__(self) -> int:
        """How many sources hold a place."""
        return len(self._held)

    def take(self, source: str) -> bool:
        """Give a source one more place, if there is one for it."""
        if self._held.total() >= self._most or self._held[source] >= self._most_per_source:
            return False
        self._held[source] += 1
        return True

    def give_back(self, source: str) -> None:
        """Take back a place that a source has held."""
        self._held[source] -= 1
        if self._held[source] <= 0:
            del self._held[source]
