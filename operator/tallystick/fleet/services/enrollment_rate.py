"""Limit how many devices enroll with a PairingToken a second, on one replica.

A flood of new devices does not fill etcd at once. A device that asks again after a lost answer takes no new place, so
it is not one of them. Each enrollment reads a Device, so their number is limited, too, at a higher rate.
"""

import math
from collections import OrderedDict
from dataclasses import dataclass

from tallystick.objects.ports import Clock

NEW_PER_SECOND, ASKED_PER_SECOND = 10, 100
MOST_REMEMBERED = 10_000


@dataclass(slots=True)
class _Bucket:
    left: float
    time: float


class EnrollmentRate:
    """A token bucket for each PairingToken that devices enroll with."""

    def __init__(self, clock: Clock, per_second: int) -> None:
        self._clock = clock
        self._per_second = per_second
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def wait_of(self, uid: str) -> int:
        """Count one request for the PairingToken with this UID; return the seconds to wait if there are too many."""
        now = self._clock.monotonic()
        bucket = self._buckets.pop(uid, None) or _Bucket(self._per_second, now)
        bucket.left = min(float(self._per_second), bucket.left + (now - bucket.time) * self._per_second)
        bucket.time = now
        self._buckets[uid] = bucket
        if len(self._buckets) > MOST_REMEMBERED:
            self._buckets.popitem(last=False)
        if bucket.left < 1:
            return max(1, math.ceil((1 - bucket.left) / self._per_second))
        bucket.left -= 1
        return 0
