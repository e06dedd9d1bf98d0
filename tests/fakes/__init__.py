"""Fakes that store: an API server in memory, a clock that is moved by hand, ids that count, logs that are lists."""

from tests.fakes.clock import NOON, CountingIds, FakeClock
from tests.fakes.cluster import WRITES, Call, FakeCluster
from tests.fakes.feed import FakeFeed
from tests.fakes.logs import AuditLine, MemoryAudit, MemoryEvents, WarningEvent

__all__ = [
    "NOON",
    "WRITES",
    "AuditLine",
    "Call",
    "CountingIds",
    "FakeClock",
    "FakeCluster",
    "FakeFeed",
    "MemoryAudit",
    "MemoryEvents",
    "WarningEvent",
]
