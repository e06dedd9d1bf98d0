"""The batches of a rotation: their members by labels and by the order of device names.

Device names are hashes, so their order is random, and it is the order of `kubectl get devices`. The cut of a batch
with a limit is decided once, when the rotation starts. Then the batch of a device is a function of its labels and its
name, so that the controller and each replica of the exchange decide it alike without asking each other.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from tallystick.fleet.domain.quantities import Quantity

NO_DEVICE = f"d-{'2' * 26}"
"""The cut of a batch that takes no device: the first name in the order of names, which no hash has."""

Cuts = tuple[str | None, ...]
"""For each batch the name of its last device, or None for a batch without a limit. The last batch is the rest."""


class Named(Protocol):
    """A device, as far as its batch depends on it."""

    @property
    def name(self) -> str:
        """The name of the Device."""

    @property
    def labels(self) -> Mapping[str, str]:
        """The labels of the Device."""


@dataclass(frozen=True, slots=True)
class Batch:
    """One of `spec.strategy.batches`: `selector.matchLabels`, `limit`, or both."""

    name: str
    match_labels: Mapping[str, str] | None = None
    limit: Quantity | None = None

    def selects(self, labels: Mapping[str, str]) -> bool:
        """Return whether a device with these labels can be a member. Without a selector, each device can."""
        return self.match_labels is None or self.match_labels.items() <= labels.items()


def batch_of(device: Named, batches: tuple[Batch, ...], cuts: Cuts) -> int:
    """Return the number of the batch of a device, from 1. The devices that no batch takes are the last batch.

    Args:
        device: Its name, and its labels as they are now.
        batches: `spec.strategy.batches`.
        cuts: The cuts of the batches, from `draw`.
    """
    for number, (batch, cut) in enumerate(zip(batches, cuts, strict=False), start=1):
        if batch.selects(device.labels) and (cut is None or device.name <= cut):
            return number
    return len(batches) + 1


def draw(devices: Iterable[Named], batches: tuple[Batch, ...]) -> Cuts:
    """Decide the cuts, when the rotation starts.

    A limit takes the first devices in the order of names that no earlier batch takes. A percentage is of all members;
    with a selector, it is of the devices that match. It is rounded up.

    Args:
        devices: All members of the rotation, in any order.
        batches: `spec.strategy.batches`.
    """
    left = sorted(devices, key=lambda device: device.name)
    total = len(left)
    cuts: list[str | None] = []
    for batch in batches:
        matching = [device for device in left if batch.selects(device.labels)]
        taken = matching
        if batch.limit is not None:
            of = total if batch.match_labels is None else len(matching)
            taken = matching[: batch.limit.rounded_up(of)]
        cuts.append(None if batch.limit is None else taken[-1].name if taken else NO_DEVICE)
        names = {device.name for device in taken}
        left = [device for device in left if device.name not in names]
    return (*cuts, None)
