"""What the gate and the soak collect: a test that drops out of the gate by mistake proves nothing."""

from types import SimpleNamespace
from typing import Any

import pytest

from tests.harness.proofs import pytest_generate_tests, pytest_pycollect_makeitem


def run(*, soak: bool) -> Any:
    return SimpleNamespace(config=SimpleNamespace(option=SimpleNamespace(soak=soak)))


def proof(*, gate: int | None, soak: int) -> Any:
    @pytest.mark.proof(gate=gate, soak=soak)
    def test() -> None: ...

    return test


@pytest.mark.parametrize(("gate", "in_the_gate"), [(None, False), (0, True), (1, True)])
def test_the_gate_leaves_out_a_proof_of_the_soak_alone(gate: int | None, *, in_the_gate: bool) -> None:
    test = proof(gate=gate, soak=1)

    assert (pytest_pycollect_makeitem(run(soak=False), test) is None) == in_the_gate
    assert pytest_pycollect_makeitem(run(soak=True), test) is None


def test_what_is_no_proof_is_collected_as_usual() -> None:
    assert pytest_pycollect_makeitem(run(soak=False), test_what_is_no_proof_is_collected_as_usual) is None
    assert pytest_pycollect_makeitem(run(soak=False), SimpleNamespace(pytestmark=[1])) is None


@pytest.mark.parametrize(("soak", "expected"), [(False, [1]), (True, [1, 2])])
def test_variants_are_those_of_the_run(*, soak: bool, expected: list[int]) -> None:
    taken: list[tuple[str, list[int]]] = []

    pytest_generate_tests(a_test_with_variants(taken, soak=soak, gate=[1]))

    assert taken == [("number", expected)]


def test_a_test_without_variants_fails_where_pytest_would_skip_it() -> None:
    with pytest.raises(AssertionError, match="has no variants"):
        pytest_generate_tests(a_test_with_variants([], soak=False, gate=[]))


def a_test_with_variants(taken: list[tuple[str, list[int]]], *, soak: bool, gate: list[int]) -> Any:
    mark = pytest.mark.variants("number", gate=gate, soak=[1, 2]).mark
    definition = SimpleNamespace(nodeid="test_numbers", iter_markers=lambda name: [mark] if name == "variants" else [])
    return SimpleNamespace(
        config=run(soak=soak).config,
        definition=definition,
        parametrize=lambda names, values: taken.append((names, values)),
    )
