"""What the watch has told about the objects of one kind: small records, by namespace and name.

The store is a view and always a little old. Nothing is decided by it that a conditional write does not confirm.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Generic, Protocol, TypeVar

Key = tuple[str, str]  # namespace and name


class Record(Protocol):
    """What is kept of an object. Records that are equal ask for the same work.

    So a dataclass should declare `resource_version: str = field(compare=False)`: else each echo of a status write
    of our own counts as a change.
    """

    @property
    def namespace(self) -> str:
        """Its namespace; '' for a cluster-scoped kind."""
        ...

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def uid(self) -> str:
        """Which of the objects of that name it is."""
        ...

    @property
    def resource_version(self) -> str:
        """Which state of the object it shows."""
        ...


R = TypeVar("R", bound=Record)


class Store(Generic[R]):
    """The records of one kind.

    Args:
        index: Says under which value a record can be found again with `by_index`, such as its owner's uid; '' for none.
    """

    def __init__(self, index: Callable[[R], str] | None = None) -> None:
        self._index = index
        self._records: dict[Key, R] = {}
        self._by_index: dict[str, tuple[Key, ...]] = {}  # of one or a few; a container for each would weigh more
        self._noted: set[Key] = set()
        self._noting = False

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[Key]:
        return iter(list(self._records))

    def get(self, key: Key) -> R | None:
        """The record of a key, or None."""
        return self._records.get(key)

    def has(self, metadata: Mapping[str, Any]) -> bool:
        """Whether this very version of an object is known, so that to be told of it again says nothing."""
        known = self.get((metadata["namespace"], metadata["name"]))
        return known is not None and (known.uid, known.resource_version) == (
            metadata["uid"],
            metadata["resourceVersion"],
        )

    def by_index(self, value: str) -> list[Key]:
        """The keys of the records that have this index value."""
        return list(self._by_index.get(value, ()))

    @contextmanager
    def noting(self) -> Iterator[Callable[[], list[tuple[Key, str]]]]:
        """Note what is observed from here to the end of the block.

        Yields a function that lists key and uid of each record that has not been observed again. One block at a time.
        """
        self._noted, self._noting = set(), True
        try:
            yield lambda: [(key, record.uid) for key, record in self._records.items() if key not in self._noted]
        finally:
            self._noted, self._noting = set(), False

    def _note(self, key: Key) -> None:
        if self._noting:
            self._noted.add(key)

    def observe(self, event_type: str | None, record: R) -> bool:
        """Take in one event of a watch; `event_type` is its type, None for an initial listing.

        Returns whether there may be work: the object is new, gone, or its record is another one.
        """
        key = (record.namespace, record.name)
        known = self.get(key)
        if event_type == "DELETED":
            return self.drop(key, record.uid)
        if known and known.uid == record.uid and is_older(record.resource_version, known.resource_version):
            return False
        self._note(key)
        self._unindex(key)
        self._records[key] = record
        self._reindex(key, record)
        return known != record

    def drop(self, key: Key, uid: str) -> bool:
        """Forget an object that is gone, unless another of its name is known by now. Returns whether it was known."""
        known = self.get(key)
        if known is None or known.uid != uid:
            return False
        self._unindex(key)
        del self._records[key]
        return True

    def _reindex(self, key: Key, record: R) -> None:
        value = self._index(record) if self._index else ""
        if value:
            self._by_index[value] = (*self._by_index.get(value, ()), key)

    def _unindex(self, key: Key) -> None:
        known = self.get(key)
        value = self._index(known) if self._index and known else ""
        if not value:
            return
        others = tuple(other for other in self._by_index.pop(value) if other != key)
        if others:
            self._by_index[value] = others


def is_older(version: str, other: str) -> bool:
    """Whether a resource version comes before another of the same object; False where that cannot be known.

    Kubernetes says since 1.35 that decimal versions can be compared; any other spelling is opaque.
    """
    if not (version.isdecimal() and other.isdecimal()):
        return False
    return int(version) < int(other)
