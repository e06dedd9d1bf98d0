"""Bound the failures of each source: whoever guesses is slowed down, whoever succeeds is never counted.

A source is the peer's address as the transport has it. Forwarding headers are never read: anybody can write them.
"""

import ipaddress
import math
from collections import OrderedDict
from dataclasses import dataclass

from tallystick.services.ports import Clock

# One subscriber has a whole /64 (RFC 6177), so its addresses are one source.
_IPV6_PREFIX = 64


@dataclass(frozen=True, slots=True)
class FailureLimits:
    """How much a source may fail.

    Attributes:
        burst: Failures that are free at once.
        per_second: How many failures a source gets back each second.
        most_sources: How many sources are remembered; the one that failed longest ago is forgotten first.
        longest_wait: Seconds after which even the worst source may try again.
    """

    burst: int = 20
    per_second: float = 5.0
    most_sources: int = 65_536
    longest_wait: int = 60


@dataclass(slots=True)
class _Bucket:
    left: float
    time: float


class FailureLimiter:
    """A token bucket for each source that has failed lately; the others take no memory."""

    def __init__(self, clock: Clock, limits: FailureLimits | None = None) -> None:
        self._clock = clock
        self._limits = limits or FailureLimits()
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def __len__(self) -> int:
        """How many sources are remembered."""
        return len(self._buckets)

    def wait_of(self, address: str | None) -> int:
        """Return for how many seconds a source has to wait; 0: it may ask now."""
        bucket = self._buckets.get(source_of(address))
        if bucket is None:
            return 0
        left = self._left(bucket)
        return 0 if left >= 1 else max(1, math.ceil((1 - left) / self._limits.per_second))

    def count_failure(self, address: str | None) -> None:
        """Take one failure off what a source has left."""
        source = source_of(address)
        bucket = self._buckets.pop(source, None)
        left = self._left(bucket) if bucket is not None else float(self._limits.burst)
        # Below zero, because many requests may have been let in at once; they are paid for afterwards.
        debt = self._limits.longest_wait * self._limits.per_second
        self._buckets[source] = _Bucket(max(left - 1, 1 - debt), self._clock.monotonic())
        if len(self._buckets) > self._limits.most_sources:
            self._buckets.popitem(last=False)

    def _left(self, bucket: _Bucket) -> float:
        regained = (self._clock.monotonic() - bucket.time) * self._limits.per_second
        return min(float(self._limits.burst), bucket.left + regained)


def source_of(address: str | None) -> str:
    """Return what an address counts as: an IPv4 address by itself, an IPv6 address by its /64."""
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return ""  # a Unix socket, or a connection that is gone: all of them are one source
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(parsed), _IPV6_PREFIX), strict=False))
