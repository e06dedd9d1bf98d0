"""`make mutations`: each change in `mutations.toml` must make its tests fail. A program, not a test.

    python -m tests.mutations                        the tests that need no control plane (5 minutes)
    python -m tests.mutations --live                 the tests that start one (5 minutes)
    python -m tests.mutations --only S7 S22.4        the mutations of a rule, or one of them

First each test must pass on the unchanged code. The exit status is 1 if one does not, if a mutant survives, if a
mutation does not apply to the code, or if a test cannot run.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from rich.console import Console

from tests.mutations.catalog import Mutation, load
from tests.mutations.trials import Trial, Verdict, unfit_tests, verdicts
from tests.mutations.workspace import Workspace

say = partial(Console(soft_wrap=True, highlight=False).print, markup=False)


def main() -> int:
    reported = _arguments()
    chosen = [mutation for mutation in load() if _is_chosen(mutation, reported.only)]
    trials = [Trial(one, test) for one in chosen for test in (one.live if reported.live else one.unit)]
    if not trials:
        say("no such mutation; the tests of some mutations run only with --live")
        return 1
    found: list[Verdict] = []
    with ExitStack() as stack:
        # One control plane at a time.
        workspaces = [_workspace(stack) for _ in range(1 if reported.live else reported.jobs)]
        unfit = unfit_tests(workspaces[0], list(dict.fromkeys(trial.test for trial in trials)))
        for test, outcome in unfit.items():
            say(f"{test}: {outcome} without a mutation")
        for verdict in verdicts([trial for trial in trials if trial.test not in unfit], workspaces):
            say(str(verdict))
            found.append(verdict)
    _sum_up(found)
    return 0 if all(verdict.is_killed for verdict in found) and not unfit else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make mutations", description="Each mutation must make its tests fail.")
    parser.add_argument("--only", nargs="+", default=[], metavar="ID", help="rules or mutations, such as S7 or S7.2")
    parser.add_argument("--live", action="store_true", help="run the tests that start a control plane, and no others")
    parser.add_argument("--jobs", type=int, default=2, help="tests that run at the same time; default: 2")
    return parser.parse_args()


def _is_chosen(mutation: Mutation, only: Sequence[str]) -> bool:
    return not only or mutation.id in only or mutation.rule in only


def _workspace(stack: ExitStack) -> Workspace:
    return Workspace(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tallystick-mutations-"))))


def _sum_up(found: Sequence[Verdict]) -> None:
    mutations, left = {verdict.trial.mutation for verdict in found}, [one for one in found if not one.is_killed]
    rules = {mutation.rule for mutation in mutations}
    say(f"rules: {len(rules)}, mutations: {len(mutations)}, trials: {len(found)}, killed: {len(found) - len(left)}")
    for verdict in left:
        say(str(verdict))


if __name__ == "__main__":
    sys.exit(main())
