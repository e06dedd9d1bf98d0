"""The ports that only connections need."""

from typing import Protocol

from tallystick.connections.domain.presence import Presence


class Presences(Protocol):
    """The heartbeats that the exchange's replicas have stored."""

    def of(self, uid: str) -> Presence:
        """Return the instances of the ConnectionConfiguration with this uid; raises NotYetError before a first read."""
        ...
