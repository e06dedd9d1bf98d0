"""`make mutations`: each change in `mutations.toml` must make its tests fail. A program, not a test.

    python -m tests.mutations                        the mutations whose tests need no control plane (3 minutes)
    python -m tests.mutations --live                 the other ones (10 minutes)
    python -m tests.mutations --only S7 S22.4        those of a rule, or one of them

First each test must pass on the unchanged code. The exit status is 1 if one does not, if a mutant survives, if a
mutation does not apply to the code, or if a test cannot run.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import SimpleQueue

from rich.console import Console

from tests.mutations.catalog import DoesNotApplyError, Mutation, load
from tests.mutations.workspace import Outcome, Workspace

say = partial(Console(soft_wrap=True, highlight=False).print, markup=False)

KILLED = "killed"
SURVIVED = "SURVIVED"


@dataclass(frozen=True, slots=True)
class Trial:
    """One test under one mutation."""

    mutation: Mutation
    test: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of a trial: `killed`, or what is wrong."""

    trial: Trial
    result: str
    seconds: float = 0.0

    def __str__(self) -> str:
        mutation = self.trial.mutation
        return f"{mutation.id:<6} {self.result:<9} {mutation.file}  {self.trial.test}  ({self.seconds:.1f} s)"


def main() -> int:
    told = _arguments()
    chosen = [mutation for mutation in load() if _is_chosen(mutation, told.only)]
    trials = [Trial(one, test) for one in chosen for test in (one.live if told.live else one.unit)]
    if not trials:
        say("no such mutation; the tests of some mutations run only with --live")
        return 1
    with ExitStack() as stack:
        # A control plane, and the fixed ports of some tests, are for one run at a time.
        workspaces = [_workspace(stack) for _ in range(1 if told.live else told.jobs)]
        unfit = _unfit(workspaces[0], list(dict.fromkeys(trial.test for trial in trials)))
        for test, outcome in unfit.items():
            say(f"{test}: {outcome} without a mutation")
        verdicts = []
        for verdict in _verdicts([trial for trial in trials if trial.test not in unfit], workspaces):
            say(str(verdict))
            verdicts.append(verdict)
    return _sum_up(verdicts, unfit)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make mutations", description="Each mutation must make its tests fail.")
    parser.add_argument("--only", nargs="+", default=[], metavar="ID", help="rules or mutations, such as S7 or S7.2")
    parser.add_argument("--live", action="store_true", help="the mutations whose tests start a control plane")
    parser.add_argument("--jobs", type=int, default=2, help="tests that run at the same time; default: 2")
    return parser.parse_args()


def _is_chosen(mutation: Mutation, only: Sequence[str]) -> bool:
    return not only or mutation.id in only or mutation.rule in only


def _workspace(stack: ExitStack) -> Workspace:
    return Workspace(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tallystick-mutations-"))))


def _unfit(workspace: Workspace, tests: Sequence[str]) -> dict[str, Outcome]:
    """Return the tests that do not pass on the unchanged code."""
    if workspace.run(tests) is Outcome.PASSED:
        return {}
    outcomes = {test: workspace.run([test]) for test in tests}
    return {test: outcome for test, outcome in outcomes.items() if outcome is not Outcome.PASSED}


def _verdicts(trials: Sequence[Trial], workspaces: Sequence[Workspace]) -> Iterator[Verdict]:
    free: SimpleQueue[Workspace] = SimpleQueue()
    for workspace in workspaces:
        free.put(workspace)

    def verdict_on(trial: Trial) -> Verdict:
        workspace = free.get()
        try:
            return _try(trial, workspace)
        finally:
            free.put(workspace)

    with ThreadPoolExecutor(len(workspaces)) as pool:
        for done in as_completed([pool.submit(verdict_on, trial) for trial in trials]):
            yield done.result()


def _try(trial: Trial, workspace: Workspace) -> Verdict:
    began = time.monotonic()
    try:
        with workspace.mutated(trial.mutation):
            outcome = workspace.run([trial.test])
    except DoesNotApplyError as error:
        return Verdict(trial, f"DOES NOT APPLY ({error})")
    results = {Outcome.FAILED: KILLED, Outcome.PASSED: SURVIVED, Outcome.UNUSABLE: "UNUSABLE"}
    return Verdict(trial, results[outcome], time.monotonic() - began)


def _sum_up(verdicts: Sequence[Verdict], unfit: dict[str, Outcome]) -> int:
    tried = {verdict.trial.mutation for verdict in verdicts}
    killed = sum(verdict.result == KILLED for verdict in verdicts)
    say(
        f"{len(tried)} mutations of {len({one.rule for one in tried})} rules, {len(verdicts)} trials: "
        f"{killed} killed, {len(verdicts) - killed} not; {len(unfit)} tests do not pass without a mutation"
    )
    for verdict in verdicts:
        if verdict.result != KILLED:
            say(str(verdict))
    return 0 if killed == len(verdicts) and not unfit else 1


if __name__ == "__main__":
    sys.exit(main())
