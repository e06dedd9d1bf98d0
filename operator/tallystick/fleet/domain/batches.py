"""The batches of a rotation: their members by labels and by the order of device names.

Device names are hashes, so their order is random, and it is the order of `kubectl get devices`. The cut of a batch
with a limit is decided once, when the rotation starts. Then the batch of a device is a function of its labels and its
name, so that the controller and each replica of the exchange decide it alike without asking each other.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from tallystick.fleet.domain.quantities import Quantity

NO_DEVICE = ""
"""The cut of a batch that takes no device: it sorts before each name."""

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
class Requirement:
    """One of `matchExpressions`; the operator is In, NotIn, Exists or DoesNotExist."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Return whether the labels meet the requirement, as in Kubernetes: NotIn matches a missing label."""
        match self.operator:
            case "In":
                return labels.get(self.key) in self.values
            case "NotIn":
                return labels.get(self.key) not in self.values
            case "Exists":
                return self.key in labels
            case "DoesNotExist":
                return self.key not in labels
            case _:
                return False


@dataclass(frozen=True, slots=True)
class Selector:
    """A label selector of Kubernetes. An empty one matches each device."""

    labels: tuple[tuple[str, str], ...] = ()
    requirements: tuple[Requirement, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Return whether all parts of the selector match."""
        return all(labels.get(key) == value for key, value in self.labels) and all(
            requirement.matches(labels) for requirement in self.requirements
        )


@dataclass(frozen=True, slots=True)
class Batch:
    """One of `spec.strategy.batches`. At least one of selector and limit is set."""

    name: str
    selector: Selector | None = None
    limit: Quantity | None = None


def batch_of(device: Named, batches: tuple[Batch, ...], cuts: Cuts) -> int:
    """Return the number of the batch of a device, from 1. The devices that no batch takes are the last batch.

    Args:
        device: Its name, and its labels as they are now.
        batches: `spec.strategy.batches`.
        cuts: The cuts of the batches, from `draw`.
    """
    for number, (batch, cut) in enumerate(zip(batches, cuts, strict=False), start=1):
        selected = batch.selector is None or batch.selector.matches(device.labels)
        if selected and (cut is None or device.name <= cut):
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
        selector = batch.selector
        matching = left if selector is None else [device for device in left if selector.matches(device.labels)]
        taken = matching
        if batch.limit is not None:
            of = total if selector is None else len(matching)
            taken = matching[: batch.limit.rounded_up(of)]
        cuts.append(None if batch.limit is None else taken[-1].name if taken else NO_DEVICE)
        names = {device.name for device in taken}
        left = [device for device in left if device.name not in names]
    return (*cuts, None)
