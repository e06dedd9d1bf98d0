"""The exchange protocol has no bad interleaving, and the model would find one: each plausible mistake has."""

import pytest

from tests.model.exchange_model import THREE_KEYS, Protocol, Silence, explore

OURS = Protocol()

MISTAKES = [
    pytest.param(Protocol(swaps=False), 0, "I2", id="a patch without a resourceVersion"),
    pytest.param(Protocol(swaps=False, reads_fresh=False), 0, "I2", id="a blind write after a read from a cache"),
    pytest.param(Protocol(creates_first=True), 0, "I3", id="the master token before the claim"),
    pytest.param(
        Protocol(marks_another_object=True, reads_again=False, leaves_tombstone=False),
        0,
        "I4",
        id="single use on another object than revocation",
    ),
    pytest.param(Protocol(silence=Silence.FAILURE), 1, "I1", id="silence taken for failure, and un-claimed"),
    pytest.param(
        Protocol(silence=Silence.SUCCESS, reads_again=False),
        1,
        "I2",
        id="silence taken for success, and not looked at again",
    ),
    pytest.param(Protocol(named_from_claim=False), 0, "I1", id="a fresh master token for each retry"),
    pytest.param(Protocol(leaves_tombstone=False), 0, "I4", id="a revocation without a tombstone"),
]


def test_no_interleaving_with_two_faults_breaks_our_protocol():
    found = explore(OURS, faults=2)

    assert found.violations == frozenset()
    assert found.states > 50_000


def test_no_interleaving_breaks_it_where_every_client_has_another_key():
    found = explore(OURS, faults=2, clients=THREE_KEYS)

    assert found.violations == frozenset()
    assert found.states > 30_000


def test_without_resuming_nothing_breaks_either_but_a_lost_answer_costs_the_token():
    assert explore(Protocol(same_key_resumes=False), faults=1).violations == frozenset()


@pytest.mark.parametrize(("mistake", "faults", "invariant"), MISTAKES)
def test_the_model_finds_what_is_wrong_with(mistake, faults, invariant):
    violations = explore(mistake, faults=faults).violations

    assert any(violation.startswith(invariant) for violation in violations), violations


def test_the_last_read_is_a_second_line_behind_the_tombstone():
    assert explore(Protocol(reads_again=False), faults=1).violations == frozenset()


@pytest.mark.parametrize("key", ["A", "B"])
def test_the_model_is_not_safe_by_delivering_nothing(key):
    delivered = explore(OURS, faults=0).delivered

    assert any({one for one, _ in answers} == {key} for answers in delivered)
