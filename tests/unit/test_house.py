"""What holds for the house as a whole, and what no linter sees."""

import ast
import functools
import subprocess
import sys
from collections import Counter
from pathlib import Path

import tallystick

REPOSITORY = Path(__file__).parents[2]
PACKAGE = REPOSITORY / "operator" / "tallystick"

# S13: who may open a connection, and to whom: kube/ to the API server, `pair` to the issuer, `agent` and `check` to the
# exchange that their users name, `up` and `demo` to the processes that they started. Nobody to an address that comes
# from an object or a token.
MAY_CONNECT = (
    "kube/",
    "pairing/client/pair.py",
    "fleet/client/agent.py",
    "localplane/probe.py",
    "cli/checking/exchange.py",
)
# A folder is read in one view, and a file in a few: what is larger is parted by its subjects.
MOST_FILES, MOST_LINES = 20, 350
CONNECTS = frozenset({"ClientSession", "urlopen", "HTTPSConnection", "HTTPConnection", "open_connection"})


@functools.cache
def modules() -> list[tuple[str, ast.Module]]:
    return [(str(path.relative_to(PACKAGE)), ast.parse(path.read_text())) for path in sorted(PACKAGE.rglob("*.py"))]


def names_in(tree: ast.Module) -> set[str]:
    attributes = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    return attributes | {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def test_the_folder_operator_does_not_hide_the_module_operator():
    assert not (REPOSITORY / "operator" / "__init__.py").exists()
    done = subprocess.run(
        [sys.executable, "-c", "import operator; print(operator.eq(1, 1))"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "True", done.stderr


def test_no_module_has_the_name_of_one_of_the_standard_library():
    names = {Path(name).stem for name, _ in modules()} - {"__init__", "__main__"}

    # A script that is run by its path would import ours in place of Python's.
    assert names & set(sys.stdlib_module_names) == set()


def test_s13_connections_are_opened_in_few_places():
    openers = {name for name, tree in modules() if CONNECTS & names_in(tree)}

    assert {name for name in openers if not name.startswith(MAY_CONNECT)} == set()
    assert openers, "the test has lost sight of what it looks for"


def test_no_folder_has_more_files_than_fit_into_one_view():
    folders = Counter(str(Path(name).parent) for name, _ in modules() if not name.endswith("__init__.py"))

    assert {folder: files for folder, files in folders.items() if files > MOST_FILES} == {}


def test_no_file_is_longer_than_a_few_views():
    lengths = {str(path): len(path.read_text().splitlines()) for path in PACKAGE.rglob("*.py")}

    assert {path: lines for path, lines in lengths.items() if lines > MOST_LINES} == {}


def test_every_module_says_what_it_is():
    assert [name for name, tree in modules() if not ast.get_docstring(tree)] == []


def test_the_wheel_holds_neither_test_clock_nor_failpoints():
    sources = {path.relative_to(PACKAGE) for path in PACKAGE.rglob("*") if path.is_file()}

    assert not any("harness" in str(path) or "failpoint" in path.name for path in sources)
    assert Path(tallystick.__file__).parent == PACKAGE
