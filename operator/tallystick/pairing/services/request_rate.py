"""Limit how many pairing tokens one caller requests a minute, on one replica. Each one is an object in etcd."""

import math
from collections import OrderedDict, deque

from tallystick.objects.ports import Clock

MOST_PER_MINUTE = 60
MINUTE = 60.0
MOST_CALLERS = 10_000


class RequestRate:
    """The times of the requests of each caller in the last minute. A rejected request does not count."""

    def __init__(self, clock: Clock, most: int = MOST_PER_MINUTE) -> None:
        self._clock = clock
        self.most = most
        """The number of requests that a caller may send in any 60 seconds."""
        self._times: OrderedDict[str, deque[float]] = OrderedDict()

    def wait_of(self, caller: str) -> int:
        """Count one request of a caller; return the seconds to wait if there are too many, 0 if it may go on."""
        now = self._clock.monotonic()
        times = self._times.pop(caller, None) or deque()
        self._times[caller] = times
        if len(self._times) > MOST_CALLERS:
            self._times.popitem(last=False)
        while times and now - times[0] >= MINUTE:
            times.popleft()
        if len(times) >= self.most:
            return max(1, math.ceil(times[0] + MINUTE - now))
        times.append(now)
        return 0
