"""`make permissions`: take each permission of the chart away once; the test in `needed.py` must fail. Not a test.

    python -m tests.permissions                          all permissions (40 minutes)
    python -m tests.permissions --only devices update    those whose text has all of these words

First each test must pass with all permissions, with the same patience. The exit status is 1 if one does not, if nothing
fails without a permission, or if a test cannot run.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from rich.console import Console

from tests.mutations.workspace import LONGEST_RUN_SECONDS, Outcome
from tests.permissions.needed import NEEDED_BY
from tests.unit.test_house import REPOSITORY

say = partial(Console(soft_wrap=True, highlight=False).print, markup=False)


@dataclass(frozen=True, slots=True)
class Run:
    """A run of one test, without one permission or with all (''), and the reason of its failure."""

    permission: str
    test: str
    outcome: Outcome
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.outcome:<8} {self.permission or 'all permissions'}  {self.test}  {self.reason}".rstrip()


def run(test: str, permission: str, patience: float) -> Run:
    """Run one test without a permission."""
    flags = [f"--without-permission={permission}", f"--patience={patience}", "-q", "-x", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", "-p", "tests.permissions.plugin", *flags, "-rfE", f"tests/{test}"]
    try:
        done = subprocess.run(
            command,
            cwd=REPOSITORY,
            env={**os.environ, "COLUMNS": "300"},  # pytest cuts the reasons at the width of the terminal
            capture_output=True,
            text=True,
            check=False,
            timeout=LONGEST_RUN_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return Run(permission, test, Outcome.UNUSABLE, f"it ran for more than {LONGEST_RUN_SECONDS:.0f} s")
    return judged(permission, test, done.returncode, done.stdout)


def judged(permission: str, test: str, code: int, output: str) -> Run:
    """Read a run of pytest: 0 is a pass and 1 a failure or an error of a fixture. The summary has the reason.

    Without a permission, an error of a fixture is a failure: the pods do not become ready.
    """
    lines = [line for line in output.splitlines() if line.startswith(("FAILED ", "ERROR "))]
    outcome = {0: Outcome.PASSED, 1: Outcome.FAILED if lines else Outcome.UNUSABLE}.get(code, Outcome.UNUSABLE)
    reason = lines[0].partition(" - ")[2] if lines else output[-300:]
    return Run(permission, test, outcome, "" if outcome is Outcome.PASSED else reason)


def main() -> int:
    """Run the control and all trials, and return the exit status."""
    asked = _arguments()
    rows = {one: test for one, test in NEEDED_BY.items() if all(word in one for word in asked.only)}
    with ThreadPoolExecutor(asked.jobs) as pool:

        def runs(pairs: Iterable[tuple[str, str]], wanted: Outcome) -> list[Run]:
            """Return the runs whose outcome is another one."""
            others = []
            for done in pool.map(lambda pair: run(*pair, asked.patience), pairs):
                say(str(done))
                others += [done] if done.outcome is not wanted else []
            return others

        unfit = runs([(test, "") for test in sorted(set(rows.values()))], Outcome.PASSED)
        fit = [(test, one) for one, test in rows.items() if test not in {done.test for done in unfit}]
        unneeded = runs(fit, Outcome.FAILED)
    say(f"permissions: {len(rows)}, tried: {len(fit)}, needed: {len(fit) - len(unneeded)}")
    for done in (*unfit, *unneeded):
        say(str(done))
    return 0 if rows and not unfit and not unneeded else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make permissions", description="Each permission must be needed by a test.")
    parser.add_argument("--only", nargs="+", default=[], metavar="WORD", help="words of the permissions to try")
    parser.add_argument("--jobs", type=int, default=2, help="tests that run at the same time; default: 2")
    parser.add_argument("--patience", type=float, default=20.0, help="seconds that a test waits for a fact at most")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
