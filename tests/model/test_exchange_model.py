"""The exchange protocol has no bad interleaving, and the model would find one: each plausible mistake has.

One object and one serial: who redeems, while an order is set in spec (S7) and a holder revokes (RFC 7009).
"""

from dataclasses import replace
from itertools import pairwise

import pytest

from tests.harness.proofs import Figure
from tests.model.exploration import explore
from tests.model.objects import Client, LastReads, Protocol, Scenario, Silence

OURS = Protocol()
TWO_OF_ONE_KEY_AND_ONE_OTHER = (Client("1", "A"), Client("2", "A"), Client("3", "B"))
THREE_KEYS = (Client("1", "A"), Client("2", "B"), Client("3", "C"))
ONE_SERIAL = Scenario(TWO_OF_ONE_KEY_AND_ONE_OTHER, orders=True, revokes=True)

MISTAKES = [
    pytest.param(Protocol(swaps=False), 0, "I2", id="a patch without a resourceVersion"),
    pytest.param(Protocol(creates_first=True), 0, "I3", id="the master token before the redemption"),
    pytest.param(Protocol(marks_another_object=True), 0, "I3", id="single use on another object than revocation"),
    pytest.param(Protocol(silence=Silence.FAILURE), 1, "I7", id="silence taken for failure, and un-redeemed"),
    pytest.param(Protocol(silence=Silence.FAILURE), 1, "I1", id="silence taken for failure, and delivered twice"),
    pytest.param(Protocol(silence=Silence.SUCCESS), 1, "I3", id="silence taken for success"),
    pytest.param(
        Protocol(silence=Silence.SUCCESS, last_reads=LastReads.NEVER),
        1,
        "I2",
        id="silence taken for success, and not looked at again",
    ),
    pytest.param(Protocol(named_from_redemption=False), 0, "I1", id="a fresh master token for each retry"),
    pytest.param(Protocol(reopens_unfinished=True), 0, "I7", id="a redemption without a master token taken back"),
    pytest.param(
        Protocol(obeys_order=False, obeys_order_at_last=False), 0, "I4", id="an exchange that reads only status"
    ),
    pytest.param(Protocol(obeys_order=False), 0, "I4", id="a first read that overlooks an order"),
    pytest.param(Protocol(obeys_order_at_last=False), 0, "I4", id="a last check that reads only status"),
    pytest.param(Protocol(last_reads=LastReads.NEVER), 0, "I4", id="no last check"),
    pytest.param(Protocol(judges_by_spec=False), 0, "I5", id="master tokens judged by status only"),
    pytest.param(Protocol(revocation_keeps_redemption=False), 0, "I7", id="a revocation that drops the redemption"),
    pytest.param(Protocol(controller_swaps=False), 0, "I8", id="a controller that patches without a resourceVersion"),
]


@pytest.mark.proof(gate=2, soak=4)
@pytest.mark.parametrize("clients", [TWO_OF_ONE_KEY_AND_ONE_OTHER, THREE_KEYS], ids=["two keys", "three keys"])
def test_no_interleaving_breaks_our_protocol(clients: tuple[Client, ...], rounds: int, figure: Figure) -> None:
    found = explore(OURS, replace(ONE_SERIAL, clients=clients, faults=rounds))

    figure(f"{found.states:,} states with at most {rounds} lost answers, {len(found.violations)} violations")
    assert found.violations == []


def test_without_resuming_nothing_breaks_either_but_a_lost_answer_costs_the_token() -> None:
    assert explore(Protocol(same_key_resumes=False), replace(ONE_SERIAL, faults=1)).violations == []


@pytest.mark.parametrize(("mistake", "faults", "invariant"), MISTAKES)
def test_the_model_finds_what_is_wrong_with(mistake: Protocol, faults: int, invariant: str) -> None:
    found = explore(mistake, replace(ONE_SERIAL, faults=faults), until=invariant)

    assert any(violation.startswith(invariant) for violation in found.violations), found.violations


def test_the_first_read_might_overlook_an_order_if_there_were_always_a_last_one() -> None:
    assert (
        explore(Protocol(obeys_order=False, last_reads=LastReads.ALWAYS), replace(ONE_SERIAL, faults=1)).violations
        == []
    )


def test_the_last_check_is_there_for_readings_that_are_shared() -> None:
    """What was ordered while a request was under way ends the master token; the answer to it is worth nothing."""
    alone = Protocol(last_reads=LastReads.NEVER, shares_readings=False)

    assert explore(alone, replace(ONE_SERIAL, faults=1)).violations == []


def test_after_its_own_swap_a_request_need_not_read_again_what_every_use_of_its_master_token_reads() -> None:
    """The swap says that the reading was not behind: no write had come between. With Retain: test_lifecycle_model."""
    for last_reads in (LastReads.UNLESS_SWAPPED, LastReads.ALWAYS):
        assert explore(Protocol(last_reads=last_reads), replace(ONE_SERIAL, faults=1)).violations == []


@pytest.mark.parametrize("key", ["A", "B"])
def test_the_model_is_not_safe_by_delivering_nothing(key: str) -> None:
    found = explore(OURS, ONE_SERIAL)

    assert found.reaches(lambda state: {delivery.key for delivery in state.delivered} == {key})


def test_the_way_to_a_violation_can_be_followed() -> None:
    found = explore(Protocol(swaps=False), ONE_SERIAL, until="I2")

    way = found.way_to(next(violation for violation in found.violations if violation.startswith("I2")))

    assert (way[0].delivered, {delivery.key for delivery in way[-1].delivered}) == (frozenset(), {"A", "B"})
    assert all(one != other for one, other in pairwise(way))
