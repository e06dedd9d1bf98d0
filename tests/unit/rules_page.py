"""docs/rules.md as data: one `Line` per rule, and the test functions that exist."""

import ast
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
TESTS = REPOSITORY / "tests"
PAGE = REPOSITORY / "docs" / "rules.md"

ROW = re.compile(r'\| <a id="(?P<anchor>\w+)"></a>(?P<id>\w+) \| (?P<cells>.+) \|')
CODE = re.compile(r"`([^`]+)`")
NOT_BUILT, NONE = "not built yet", "—"
STATE = re.compile(rf"built|half built: .+|{NOT_BUILT}")


@dataclass(frozen=True)
class Line:
    """One rule as the page has it."""

    id: str
    anchor: str
    rule: str
    state: str
    places: str
    tests: str

    @property
    def is_built(self) -> bool:
        return self.state != NOT_BUILT


def lines_of(page: str) -> list[Line]:
    rows = [ROW.fullmatch(line) for line in page.splitlines() if line.startswith("| <a ")]
    assert None not in rows, "a row is not of the form: id, rule, state, enforced in, test"
    return [Line(row["id"], row["anchor"], *row["cells"].split(" | ")) for row in rows if row is not None]


LINES = lines_of(PAGE.read_text(encoding="utf-8"))


@cache
def functions_in(file: str) -> frozenset[str]:
    """Return the test functions of all files of this name, whichever folder they are in."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in TESTS.rglob(file)]
    functions = (node for tree in trees for node in ast.walk(tree))
    return frozenset(
        node.name
        for node in functions
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    )
