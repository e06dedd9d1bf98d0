"""Parse each version of an object once: many devices share the reading of their PairingToken and of its rotation."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

from tallystick.objects.ports import Json

MOST_KEPT = 1_000

T = TypeVar("T")


class Parsed(Generic[T]):
    """The facts of the objects that were read lately. If there are too many, the oldest is removed."""

    def __init__(self, parse: Callable[[Json], T], *, most: int = MOST_KEPT) -> None:
        """Start without facts.

        Args:
            parse: Returns the facts of an object.
            most: The number of objects whose facts are kept.
        """
        self._parse = parse
        self._most = most
        self._kept: OrderedDict[str, tuple[str, T]] = OrderedDict()

    def of(self, body: Json) -> T:
        """Return the facts of an object as it was read."""
        uid, version = body["metadata"]["uid"], body["metadata"]["resourceVersion"]
        kept = self._kept.get(uid)
        if kept is not None and kept[0] == version:
            return kept[1]
        facts = self._parse(body)
        self._kept[uid] = (version, facts)
        self._kept.move_to_end(uid)
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return facts
