"""Try tests under mutations, in workspaces side by side, and say what came of it."""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import AbstractContextManager
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Protocol

from tests.mutations.catalog import DoesNotApplyError, Mutation
from tests.mutations.workspace import Outcome

KILLED = "killed"
_RESULTS = {Outcome.FAILED: KILLED, Outcome.PASSED: "SURVIVED", Outcome.UNUSABLE: "UNUSABLE"}


class Place(Protocol):
    """Where tests run under one mutation at a time: a `Workspace`."""

    def run(self, tests: Sequence[str]) -> Outcome: ...

    def mutated(self, mutation: Mutation) -> AbstractContextManager[None]: ...


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

    @property
    def is_killed(self) -> bool:
        return self.result == KILLED

    def __str__(self) -> str:
        mutation = self.trial.mutation
        return f"{mutation.id:<6} {self.result:<9} {mutation.file}  {self.trial.test}  ({self.seconds:.1f} s)"


def unfit_tests(place: Place, tests: Sequence[str]) -> dict[str, Outcome]:
    """Return the tests that do not pass on the unchanged code: no mutation proves anything with them."""
    if place.run(tests) is Outcome.PASSED:
        return {}
    outcomes = {test: place.run([test]) for test in tests}
    return {test: outcome for test, outcome in outcomes.items() if outcome is not Outcome.PASSED}


def verdicts(trials: Sequence[Trial], places: Sequence[Place]) -> Iterator[Verdict]:
    """Try each, one at a time in each place, and return the verdicts as they come."""
    free: SimpleQueue[Place] = SimpleQueue()
    for place in places:
        free.put(place)

    def verdict_on(trial: Trial) -> Verdict:
        place = free.get()
        try:
            return _try(trial, place)
        finally:
            free.put(place)

    with ThreadPoolExecutor(len(places)) as pool:
        for done in as_completed([pool.submit(verdict_on, trial) for trial in trials]):
            yield done.result()


def _try(trial: Trial, place: Place) -> Verdict:
    began = time.monotonic()
    try:
        with place.mutated(trial.mutation):
            outcome = place.run([trial.test])
    except DoesNotApplyError as error:
        return Verdict(trial, f"DOES NOT APPLY ({error})")
    return Verdict(trial, _RESULTS[outcome], time.monotonic() - began)
