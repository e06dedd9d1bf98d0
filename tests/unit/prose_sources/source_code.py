"""The texts in the source of a package: string literals that are sentences, docstrings, and comments.

The package ROOT is the modules that belong to no package.
"""

import ast
import functools
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import tallystick
from tests.unit.prose import Text

PACKAGES = Path(tallystick.__file__).parent
ROOT = ""

# At least three words in a row. Names, flags, paths and expressions in CEL have fewer.
_SENTENCE = re.compile(r"[A-Za-z]{2,}[,;:]? [a-z]+[,;:]? [a-z]{2,}")
_EXPRESSION = re.compile(r"==|\|\||&&|\n---\n|^apiVersion:")
_NOQA = re.compile(r"noqa: \w+( - )?")
_RULE = re.compile(r"docs/rules\.md#[rsdi]\d+")


def sentences_of(package: str) -> Iterator[Text]:
    """Yield the string literals of a package that are sentences. A value in an f-string counts as one word."""
    for path, tree in _modules(package):
        docstrings = {id(node.body[0].value) for node in _documented(tree)}
        for text in _literals(tree, docstrings):
            if _SENTENCE.search(text) and not _EXPRESSION.search(text):
                yield Text(_place(path), text)


def docstrings_of(package: str) -> Iterator[Text]:
    """Yield the docstrings of a package, less its links to rules."""
    for path, tree in _modules(package):
        for node in _documented(tree):
            for paragraph in re.split(r"\n\s*\n|\n(?=\s*\w+: )", ast.get_docstring(node) or ""):
                yield Text(_place(path), _RULE.sub("the rule", paragraph))


def comments_of(package: str) -> Iterator[Text]:
    """Yield the comments of a package, less its links to rules and the codes of the linter."""
    for path, _ in _modules(package):
        for token in tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline):
            if token.type == tokenize.COMMENT:
                yield Text(_place(path), _RULE.sub("the rule", _NOQA.sub("", token.string.lstrip("# "))))


def _modules(package: str) -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted((PACKAGES / package).glob("*.py" if package == ROOT else "**/*.py")):
        yield path, _parsed(path)


@functools.cache
def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _documented(tree: ast.Module) -> Iterator[ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        match node:
            case ast.Module() | ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef() if ast.get_docstring(node):
                yield node


def _literals(node: ast.AST, docstrings: set[int]) -> Iterator[str]:
    if isinstance(node, ast.JoinedStr):
        yield "".join(str(part.value) if isinstance(part, ast.Constant) else "x" for part in node.values)
        return
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
        yield node.value
    for inner in ast.iter_child_nodes(node):
        yield from _literals(inner, docstrings)


def _place(path: Path) -> str:
    return str(path.relative_to(PACKAGES))
