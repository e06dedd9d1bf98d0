"""The ports that only connections uses."""

from typing import Protocol

from tallystick.connections.domain.presence import Presence


class Presences(Protocol):
    """The heartbeats that the replicas of the exchange have stored."""

    def of(self, uid: str) -> Presence:
        """Return the instances of the ConnectionConfiguration with this uid; may raise NotYetError."""
        ...
