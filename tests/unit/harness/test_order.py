"""The order of the test files: the constraints of `tests/conftest.py`, and work for the processor between waits."""

from pathlib import Path

from tests.conftest import _interleaved


class Item:
    """A test of a file."""

    def __init__(self, path: Path, number: int) -> None:
        self.path, self.number = path, number


def items_of(*names: str) -> list[Item]:
    return [Item(Path(name), number) for name in names for number in (1, 2)]


def order_of(items: list[Item]) -> list[str]:
    return list(dict.fromkeys(str(item.path) for item in items))


def interleave(items: list[Item], waiting: list[str], fillers: list[str]) -> list[Item]:
    return _interleaved(items, list(map(Path, waiting)), list(map(Path, fillers)))


def test_fillers_come_between_the_files_that_wait_and_all_others_keep_their_order() -> None:
    items = items_of("w1", "w2", "rules", "system", "u1", "u2", "u3", "u4", "u5")

    found = interleave(items, ["w1", "w2"], ["u1", "u2", "u3"])

    assert order_of(found) == ["w1", "u1", "w2", "u2", "u3", "rules", "system", "u4", "u5"]
    assert [(item.path, item.number) for item in found] == [
        (Path(name), number) for name in order_of(found) for number in (1, 2)
    ]


def test_without_files_that_wait_the_order_stays() -> None:
    items = items_of("rules", "system", "u1", "u2")

    assert interleave(items, [], ["u1", "u2"]) == items
