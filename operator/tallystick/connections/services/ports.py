"""The ports that only connections uses."""

from typing import Protocol

from tallystick.connections.domain.heartbeat_records import HeartbeatRecords


class HeartbeatRecordsByUID(Protocol):
    """The heartbeats that the replicas of the exchange have stored."""

    def of(self, uid: str) -> HeartbeatRecords:
        """Return the instances of the ConnectionConfiguration with this uid; may raise NotYetError."""
        ...
