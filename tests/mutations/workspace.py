"""A copy of the repository in a temporary folder, in which one mutation at a time is tried.

The copy has a virtual environment of its own with two paths: the copied package, and this interpreter's libraries. The
`.pth` file of the editable install is in the second one, and Python reads no such file there. So a test, and each
process that it starts, imports the copy and cannot import the checkout.
"""

import os
import re
import subprocess
import sysconfig
import venv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from importlib.util import cache_from_source
from pathlib import Path
from shutil import copytree, ignore_patterns

from tests.mutations.catalog import PACKAGE, REPOSITORY, Mutation

NOT_COPIED = ignore_patterns(".*", "__pycache__", "build", "dist")
LONGEST_RUN_SECONDS = 900.0


class Outcome(StrEnum):
    """What a run of pytest has shown."""

    PASSED = "passed"
    FAILED = "failed"
    UNUSABLE = "unusable"  # no test gave a verdict: a usage error, an import error, an error of a fixture, a timeout


_FAILED = re.compile(r"\b[1-9]\d* failed\b")


class Workspace:
    """One copy, for one mutation at a time."""

    def __init__(self, folder: Path) -> None:
        self._root = folder.resolve() / "repository"
        copytree(REPOSITORY, self._root, ignore=NOT_COPIED)
        self._python = _interpreter(folder / "venv", [self._root / PACKAGE.parent, _libraries()])
        if not self.imports("tallystick", "__version__"):
            raise RuntimeError("a process in the workspace does not import the copy of the package")

    def run(self, tests: Sequence[str]) -> Outcome:
        """Run tests until one fails."""
        try:
            done = self._process([self._python, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests])
        except subprocess.TimeoutExpired:
            return Outcome.UNUSABLE
        return outcome_of(done.returncode, done.stdout)

    @contextmanager
    def mutated(self, mutation: Mutation) -> Iterator[None]:
        """Apply a mutation to the copy, and restore the copy at the end."""
        path = self._root / PACKAGE / mutation.file
        original = path.read_text(encoding="utf-8")
        try:
            _write(path, mutation.applied_to(original))
            yield
        finally:
            _write(path, original)

    def imports(self, module: str, name: str) -> bool:
        """Return whether a process can import a name from a module, and the module is that of the copy."""
        done = self._process([self._python, "-c", f"import {module} as it; it.{name}; print(it.__file__)"])
        return done.returncode == 0 and Path(done.stdout.strip()).is_relative_to(self._root / PACKAGE)

    def _process(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST"))}
        return subprocess.run(
            command,
            cwd=self._root,
            env=environment,
            capture_output=True,
            text=True,
            timeout=LONGEST_RUN_SECONDS,
            check=False,
        )


def outcome_of(code: int, output: str) -> Outcome:
    """Read a run of pytest (https://docs.pytest.org/en/stable/reference/exit-codes.html).

    The code 1 means failures or errors of fixtures, and the last line says which.
    """
    match code:
        case 0:
            return Outcome.PASSED
        case 1 if _FAILED.search(output.rstrip().rpartition("\n")[2]):
            return Outcome.FAILED
        case _:
            return Outcome.UNUSABLE


def _write(path: Path, source: str) -> None:
    """Write a source and delete its bytecode: Python uses bytecode of a source of the same size and second."""
    path.write_text(source, encoding="utf-8")
    Path(cache_from_source(str(path))).unlink(missing_ok=True)


def _libraries() -> Path:
    return Path(sysconfig.get_path("purelib"))


def _interpreter(folder: Path, paths: Sequence[Path]) -> str:
    """Make a virtual environment with these paths, and return its interpreter."""
    venv.create(folder, symlinks=True)
    inside = {"base": str(folder), "platbase": str(folder)}
    site = Path(sysconfig.get_path("purelib", "venv", vars=inside))
    (site / "mutations.pth").write_text("".join(f"{path}\n" for path in paths), encoding="utf-8")
    return str(folder / "bin" / "python")
