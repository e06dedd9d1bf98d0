"""Recognize the events of our own writes that arrive before the responses to those writes.

An event is news if the cache does not hold its version yet. A watch often delivers a write of this process before the
API server's response to it. Such an event would cause one more reconciliation, which finds nothing to do.
"""

from collections.abc import Hashable
from typing import Generic, TypeVar

from tallystick.controller.store import Version
from tallystick.controller.work_queue import Level

K = TypeVar("K", bound=Hashable)


class Echoes(Generic[K]):
    """The events that concern a key while it is reconciled, until a response explains them or that ends."""

    def __init__(self) -> None:
        self._unexplained: dict[K, dict[Version, Level]] = {}  # by each key that is reconciled now

    def begin(self, key: K) -> None:
        """Hold back the events that concern a key."""
        self._unexplained[key] = {}

    def hold(self, key: K, version: Version, level: Level) -> bool:
        """Hold back an event if its key is reconciled now; return whether it is."""
        held = self._unexplained.get(key)
        if held is None:
            return False
        held[version] = level
        return True

    def explain(self, version: Version) -> None:
        """Drop the events of a version that a response has returned: this process knows what it contains."""
        for held in self._unexplained.values():
            held.pop(version, None)

    def end(self, key: K) -> set[Level]:
        """Return the levels of the events that no response has explained. They may be changes of other writers."""
        return set(self._unexplained.pop(key).values())
