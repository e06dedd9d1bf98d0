"""Back off from a Secret that somebody keeps changing: heal at once, then ever more slowly (S22)."""

from collections import OrderedDict
from dataclasses import dataclass

from tallystick.services.ports import Clock

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
# Who leaves a Secret alone for as long is no adversary any more, and what is remembered stays little.
FORGET_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class _Healed:
    at: float
    times: int


class Healings:
    """How often each object's Secret was healed of late."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._healed: OrderedDict[str, _Healed] = OrderedDict()

    def pause(self, uid: str) -> float:
        """Return for how many more seconds not to heal: 0 after the first time, then 1, 2, 4 ... 60 since the last."""
        healed = self._healed.get(uid)
        now = self._clock.monotonic()
        if healed is None or now - healed.at >= FORGET_SECONDS or healed.times == 1:
            return 0.0
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(healed.times - 2, 16))
        return max(0.0, healed.at + pause - now)

    def note(self, uid: str) -> None:
        """Take note of a healing."""
        now = self._clock.monotonic()
        before = self._healed.pop(uid, None)
        recent = before is not None and now - before.at < FORGET_SECONDS
        self._healed[uid] = _Healed(now, before.times + 1 if before is not None and recent else 1)
        while self._healed and now - next(iter(self._healed.values())).at >= FORGET_SECONDS:
            self._healed.popitem(last=False)
