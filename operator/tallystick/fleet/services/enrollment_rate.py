"""Limit how many new devices a PairingToken takes a second, on one replica, so that a flood does not fill etcd at once.

A device that asks again after a lost answer takes no new place, so it is not limited.
"""

import math
from collections import OrderedDict
from dataclasses import dataclass

from tallystick.objects.ports import Clock

PER_SECOND = 10
MOST_REMEMBERED = 10_000


@dataclass(slots=True)
class _Bucket:
    left: float
    time: float


class EnrollmentRate:
    """A token bucket for each PairingToken that devices enroll with."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def wait_of(self, uid: str) -> int:
        """Count one new device of the PairingToken with this UID; return the seconds to wait if there are too many."""
        now = self._clock.monotonic()
        bucket = self._buckets.pop(uid, None) or _Bucket(PER_SECOND, now)
        bucket.left = min(float(PER_SECOND), bucket.left + (now - bucket.time) * PER_SECOND)
        bucket.time = now
        self._buckets[uid] = bucket
        if len(self._buckets) > MOST_REMEMBERED:
            self._buckets.popitem(last=False)
        if bucket.left < 1:
            return max(1, math.ceil((1 - bucket.left) / PER_SECOND))
        bucket.left -= 1
        return 0
