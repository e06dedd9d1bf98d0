"""Remember the last reading of each device, for check-ins with nothing to do.

The age that such a reading may have grows with the fleet, so a replica sends at most 100 GETs a second for each
PairingToken. All other decisions are made by a GET (`fleet/domain/check_in.py`).
"""

from collections import OrderedDict
from dataclasses import dataclass
from datetime import timedelta

from tallystick.fleet.domain.facts import DeviceFacts
from tallystick.objects.ports import Clock

MOST_REMEMBERED = 200_000


@dataclass(frozen=True, slots=True)
class _Reading:
    sent: float
    device: DeviceFacts


class IdleReadings:
    """The last readings of one replica. If there are too many, the oldest is forgotten."""

    def __init__(self, clock: Clock, *, most: int = MOST_REMEMBERED) -> None:
        self._clock = clock
        self._most = most
        self._readings: OrderedDict[str, _Reading] = OrderedDict()

    def __len__(self) -> int:
        """The number of readings."""
        return len(self._readings)

    def get(self, uid: str, max_age: timedelta) -> DeviceFacts | None:
        """Return the reading of the Device with this UID, if its GET was sent at most so long ago."""
        found = self._readings.get(uid)
        if found is None or self._clock.monotonic() - found.sent > max_age.total_seconds():
            return None
        return found.device

    def note(self, device: DeviceFacts, sent: float) -> None:
        """Remember a reading.

        Args:
            device: The facts of the Device.
            sent: The monotonic time at which the request was sent that returned them.
        """
        self._readings[device.uid] = _Reading(sent, device)
        self._readings.move_to_end(device.uid)
        if len(self._readings) > self._most:
            self._readings.popitem(last=False)
