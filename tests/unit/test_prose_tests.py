"""The names of tests and the first lines of their modules use no banned word of CONTRIBUTING.md."""

import ast
import functools
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.prose import Text, banned_in
from tests.unit.test_house import REPOSITORY

# Words of the project before its glossary, beside those that no public text may use.
_OLD = re.compile(r"\b(mints?|minted|spent|spends?|liars?|sightings?|census)\b", re.IGNORECASE)
TESTS = REPOSITORY / "tests"


def old_words(texts: Iterator[Text]) -> list[str]:
    """Return each place with a banned or an old word."""
    return [
        f"{text.place}: {word}: {text.text}"
        for text in texts
        for word in (*banned_in(text.text), *(found[0] for found in _OLD.finditer(text.text)))
    ]


@functools.cache
def modules() -> list[tuple[str, ast.Module]]:
    return [(str(path.relative_to(REPOSITORY)), ast.parse(path.read_text())) for path in sorted(TESTS.rglob("*.py"))]


def names_of_tests() -> Iterator[Text]:
    for place, module in modules():
        if Path(place).name.startswith("test_"):
            classes = (node for node in module.body if isinstance(node, ast.ClassDef))
            for node in itertools.chain(module.body, *(each.body for each in classes)):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                    yield Text(place, node.name.replace("_", " "))


def first_lines() -> Iterator[Text]:
    for place, module in modules():
        yield Text(place, (ast.get_docstring(module) or "").partition("\n")[0])


def test_the_names_of_tests_use_the_glossary() -> None:
    names = list(names_of_tests())

    assert len(names) > 1000
    assert old_words(iter(names)) == []


def test_the_first_lines_of_test_modules_use_the_glossary() -> None:
    assert old_words(first_lines()) == []


@pytest.mark.parametrize("name", ["nobody is told", "a licence ends", "a token is minted", "it is kept for ever"])
def test_an_old_word_is_found(name: str) -> None:
    assert old_words(iter([Text("test_x.py", name)])) != []
