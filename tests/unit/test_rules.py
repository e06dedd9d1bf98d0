"""docs/rules.md defines each rule that the repository cites, and each built rule names its code and its tests."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.unit.rules_page import CODE, LINES, NONE, PAGE, REPOSITORY, STATE, Line, functions_in

PACKAGE = REPOSITORY / "operator" / "tallystick"

PROMISED = [*(f"R{number}" for number in range(1, 104)), *(f"S{number}" for number in range(1, 31))]
CITING = ("operator", "crds", "examples", "docs", "tests", "README.md", "CONTRIBUTING.md", "CHANGELOG.md")
TEXTS = frozenset({".py", ".md", ".yaml", ".sh"})
# R and S rules, decisions (D) and invariants (I). S, D or I with three digits is another id, such as a linter's.
CITATION = re.compile(r"\b(?:R\d{1,3}|[SDI]\d{1,2})\b")
LINK = re.compile(r"#([rsdi]\d{1,3})\b")
IN_A_NAME = re.compile(r"\btest_((?:[rsdi]\d{1,3}_)+)")

BUILT = [pytest.param(line, id=line.id) for line in LINES if line.is_built]


def texts() -> Iterator[tuple[Path, str]]:
    for name in CITING:
        path = REPOSITORY / name
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.suffix in TEXTS and file not in (PAGE, Path(__file__)):
                yield file, file.read_text(encoding="utf-8")


def cited_in(text: str) -> set[str]:
    """Return the ids that a text cites, in prose, in a link to the page, or in the name of a test."""
    names = [part for found in IN_A_NAME.findall(text) for part in found.split("_") if part]
    return {*CITATION.findall(text), *(one.upper() for one in (*LINK.findall(text), *names))}


@cache
def cited() -> dict[str, str]:
    """Return each id that the repository cites, with a file that cites it."""
    found: dict[str, str] = {}
    for path, text in texts():
        for one in cited_in(text):
            found.setdefault(one, str(path.relative_to(REPOSITORY)))
    return found


def defines(tree: ast.Module, symbol: str) -> bool:
    """Return whether a module defines `function`, `CONSTANT`, `Class`, `Class.method` or `Class.attribute`."""
    scope: list[ast.stmt] = tree.body
    for name in symbol.split("."):
        found = next((statement for statement in scope if name in _names_of(statement)), None)
        if found is None:
            return False
        scope = found.body if isinstance(found, ast.ClassDef) else []
    return True


def _names_of(statement: ast.stmt) -> set[str]:
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {statement.name}
    targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
    named = [element for target in targets for element in getattr(target, "elts", [target])]
    return {target.id for target in named if isinstance(target, ast.Name)}


def is_enforced_at(place: str) -> bool:
    path, _, symbol = place.partition("::")
    file = PACKAGE / path
    return file.is_file() and defines(ast.parse(file.read_text(encoding="utf-8")), symbol)


def test_each_promised_rule_has_exactly_one_line() -> None:
    ids = [line.id for line in LINES if line.id[0] in "RS"]

    assert sorted(ids) == sorted(PROMISED)


def test_no_id_has_two_lines_and_each_anchor_is_its_id() -> None:
    assert len({line.id for line in LINES}) == len(LINES)
    assert [line.anchor for line in LINES] == [line.id.lower() for line in LINES]


def test_each_id_that_the_repository_cites_is_defined() -> None:
    defined = {line.id for line in LINES}

    assert {one: where for one, where in cited().items() if one not in defined} == {}


def test_each_decision_and_invariant_on_the_page_is_cited() -> None:
    assert [line.id for line in LINES if line.id[0] in "DI" and line.id not in cited()] == []


def test_each_line_says_a_rule_and_a_state() -> None:
    assert [line.id for line in LINES if not line.rule.endswith(".")] == []
    assert [line.id for line in LINES if not STATE.fullmatch(line.state)] == []


def test_a_rule_that_is_not_built_names_neither_code_nor_test() -> None:
    assert [line.id for line in LINES if not line.is_built and (line.places, line.tests) != (NONE, NONE)] == []


@pytest.mark.parametrize("line", BUILT)
def test_each_built_rule_names_code_that_exists(line: Line) -> None:
    places = CODE.findall(line.places)

    assert places
    assert [place for place in places if not is_enforced_at(place)] == []


@pytest.mark.parametrize("line", BUILT)
def test_each_built_rule_names_tests_that_exist(line: Line) -> None:
    tests = [test.partition("::")[::2] for test in CODE.findall(line.tests)]

    assert tests
    assert [f"{file}::{function}" for file, function in tests if function not in functions_in(file)] == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("as S22 and R1-R3 demand (I4, D11)", {"S22", "R1", "R3", "I4", "D11"}, id="in prose"),
        pytest.param("see docs/rules.md#s22", {"S22"}, id="in a link"),
        pytest.param("def test_r36_s24_a_token_ends():", {"R36", "S24"}, id="in the name of a test"),
        pytest.param("allowed here: S105", set(), id="the id of a linter's rule"),
        pytest.param("ES256, RS256, P256, README, test_rfc_7009_x", set(), id="text that only looks like one"),
    ],
)
def test_a_citation_is_found(text: str, expected: set[str]) -> None:
    assert cited_in(text) == expected


@pytest.mark.parametrize(
    ("symbol", "expected"),
    [
        ("LIMIT", True),
        ("FIRST", True),
        ("Thing", True),
        ("Thing.name", True),
        ("Thing.act", True),
        ("act", False),
        ("Thing.other", False),
        ("Thing.act.local", False),
    ],
)
def test_a_symbol_is_looked_up_where_it_is_defined(symbol: str, expected: bool) -> None:
    source = "LIMIT: int = 3\nFIRST, LAST = 1, 2\nclass Thing:\n    name: str\n    def act(self):\n        local = 1\n"

    assert defines(ast.parse(source), symbol) is expected
