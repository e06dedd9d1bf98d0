"""The program of `make mutations`: what counts as killed, and that a mutant is what runs."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import pytest

from tests.mutations.catalog import Mutation
from tests.mutations.trials import Trial, unfit_tests, verdicts
from tests.mutations.workspace import Outcome, Workspace, outcome_of

MUTATION = Mutation("S1.1", "a.py", before="if a:", after="if b:")
# Of the same length, so that only the content tells the two sources apart.
RENAMED = Mutation("S1.1", "__init__.py", before="__version__", after="__varsion__")
SOURCE = "if a:\n    c\n"


class FakePlace:
    """Has the outcome of each test, on the unchanged code and on the mutant."""

    def __init__(self, unchanged: Mapping[str, Outcome], mutant: Mapping[str, Outcome], source: str = SOURCE) -> None:
        self._unchanged, self._mutant = unchanged, mutant
        self._original = self._source = source

    def run(self, tests: Sequence[str]) -> Outcome:
        outcomes = self._unchanged if self._source == self._original else self._mutant
        return next((outcomes[test] for test in tests if outcomes[test] is not Outcome.PASSED), Outcome.PASSED)

    @contextmanager
    def mutated(self, mutation: Mutation) -> Iterator[None]:
        self._source = mutation.applied_to(self._original)
        yield
        self._source = self._original


def results(place: FakePlace, *tests: str) -> dict[str, str]:
    trials = [Trial(MUTATION, test) for test in tests]
    return {verdict.trial.test: verdict.result for verdict in verdicts(trials, [place])}


def test_a_mutant_is_killed_by_a_failing_test_alone() -> None:
    place = FakePlace({}, {"a": Outcome.FAILED, "b": Outcome.PASSED, "c": Outcome.UNUSABLE})

    assert results(place, "a", "b", "c") == {"a": "killed", "b": "SURVIVED", "c": "UNUSABLE"}


def test_a_mutation_that_does_not_apply_kills_nothing() -> None:
    place = FakePlace({"a": Outcome.PASSED}, {"a": Outcome.FAILED}, source="if other:\n    c\n")

    assert results(place, "a") == {"a": "DOES NOT APPLY (`before` occurs 0 times in a.py)"}


def test_the_tests_that_do_not_pass_without_a_mutation_are_named() -> None:
    unchanged = {"a": Outcome.PASSED, "b": Outcome.FAILED, "c": Outcome.UNUSABLE}

    assert unfit_tests(FakePlace(unchanged, {}), ["a", "b", "c"]) == {"b": Outcome.FAILED, "c": Outcome.UNUSABLE}
    assert unfit_tests(FakePlace(unchanged, {}), ["a"]) == {}


@pytest.mark.parametrize(
    ("code", "output", "expected"),
    [
        pytest.param(0, "3 passed in 0.1s\n", Outcome.PASSED, id="passed"),
        pytest.param(1, "1 failed, 2 passed in 0.1s\n", Outcome.FAILED, id="failed"),
        pytest.param(1, "E  0 of 1 failed\n1 error in 0.1s\n", Outcome.UNUSABLE, id="an error of a fixture"),
        pytest.param(2, "1 error in 0.1s\n", Outcome.UNUSABLE, id="a module that cannot be imported"),
        pytest.param(4, "", Outcome.UNUSABLE, id="no such test"),
        pytest.param(5, "3 deselected in 0.1s\n", Outcome.UNUSABLE, id="no test selected"),
        pytest.param(-9, "", Outcome.UNUSABLE, id="killed"),
    ],
)
def test_only_a_test_that_failed_counts_as_a_failure(code: int, output: str, expected: Outcome) -> None:
    assert outcome_of(code, output) is expected


def test_what_runs_is_the_copy_with_its_mutation_and_then_the_copy_again(tmp_path) -> None:
    workspace = Workspace(tmp_path)

    with workspace.mutated(RENAMED):
        mutant = workspace.imports("tallystick", "__varsion__")

    assert (mutant, workspace.imports("tallystick", "__version__")) == (True, True)


def test_the_copy_is_restored_if_a_trial_breaks_off(tmp_path) -> None:
    workspace = Workspace(tmp_path)

    with pytest.raises(KeyboardInterrupt), workspace.mutated(RENAMED):
        raise KeyboardInterrupt

    assert workspace.imports("tallystick", "__version__")
