"""A token that is revoked, raised, deleted or made again stays so in every interleaving: S7, S8, S24, revokedThrough.

A scenario has at most two serials and two objects of one name, so that each step from one to the next is in it, and
two or three requests. With `make soak` more answers are lost, and all happens in one scenario.
"""

from dataclasses import replace

import pytest

from tests.harness.proofs import Figure
from tests.model.exploration import explore
from tests.model.objects import Client, Fact, LastReads, Protocol, Retained, Scenario, State, World, is_valid

OURS = Protocol()

FIRST, AGAIN, OTHER = Client("1", "A"), Client("2", "A"), Client("3", "B")
OF_SERIAL_2, OTHER_OF_SERIAL_2 = Client("4", "A", serial=2), Client("5", "B", serial=2)
OF_OBJECT_2, OTHER_OF_OBJECT_2 = Client("6", "A", uid=2), Client("7", "B", uid=2)

NEXT_SERIAL = Scenario((FIRST, OF_SERIAL_2, OTHER_OF_SERIAL_2), orders=True, revokes=True, serials=2)
MADE_AGAIN = Scenario((FIRST, OTHER, OTHER_OF_OBJECT_2), orders=True, revokes=True, deletes=True, objects=2)
RETAINED = Scenario((FIRST, AGAIN), orders=True, revokes=True, deletes=True, retains=True)
RETAINED_TWICE = replace(RETAINED, clients=(FIRST, OTHER_OF_SERIAL_2), serials=2)
RETAINED_ANEW = replace(RETAINED, clients=(FIRST, OTHER_OF_OBJECT_2), objects=2)
TOGETHER = Scenario((FIRST, OF_SERIAL_2), orders=True, revokes=True, serials=2, deletes=True, objects=2)
ALL_TOGETHER = replace(TOGETHER, clients=(FIRST, OF_SERIAL_2, OTHER_OF_OBJECT_2))

MISTAKES = [
    # serial
    pytest.param(Protocol(serial_waits_for_record=False), NEXT_SERIAL, "I5", id="a serial that overtakes a revocation"),
    pytest.param(
        Protocol(writes_through=False),
        replace(NEXT_SERIAL, revokes=False),
        "I6",
        id="revocation records without revokedThrough, undone by the next serial",
    ),
    pytest.param(Protocol(issue_keeps_through=False), NEXT_SERIAL, "I5", id="an issue that lowers revokedThrough"),
    pytest.param(Protocol(demands_spec_serial=False), NEXT_SERIAL, "I9", id="a serial compared with status alone"),
    pytest.param(Protocol(demands_status_serial=False), NEXT_SERIAL, "I2", id="a serial compared with spec alone"),
    pytest.param(
        Protocol(issue_drops_redemption=False), NEXT_SERIAL, "I7", id="an issue that keeps the old redemption"
    ),
    pytest.param(
        Protocol(swaps=False),
        replace(NEXT_SERIAL, clients=(FIRST, OTHER_OF_SERIAL_2), faults=1),
        "I9",
        id="a late swap that lands on the next serial",
    ),
    pytest.param(Protocol(controller_swaps=False), NEXT_SERIAL, "I8", id="an issue that overwrites a revocation"),
    # deletion
    pytest.param(Protocol(compares_uid=False), MADE_AGAIN, "I4", id="an exchange that does not compare the uid"),
    pytest.param(Protocol(judges_by_uid=False), MADE_AGAIN, "I6", id="master tokens judged without the uid"),
    pytest.param(
        Protocol(judges_by_existence=False), MADE_AGAIN, "I6", id="an object that is gone taken for no objection"
    ),
    pytest.param(
        Protocol(swaps=False),
        replace(MADE_AGAIN, clients=(FIRST, OTHER_OF_OBJECT_2), faults=1),
        "I7",
        id="a late swap that lands on the next object",
    ),
    pytest.param(Protocol(obeys_deletion=False), MADE_AGAIN, "I4", id="a first read that overlooks a deletion"),
    pytest.param(Protocol(used_is_revocable=True), NEXT_SERIAL, "S29", id="a Used token that revokes its trust"),
    # deletionPolicy Retain
    pytest.param(Protocol(obeys_deletion=False), RETAINED, "I4", id="an exchange that overlooks deletionTimestamp"),
    pytest.param(
        Protocol(last_reads=LastReads.UNLESS_SWAPPED),
        RETAINED,
        "I6",
        id="a retained master token that is delivered without a last read",
    ),
    pytest.param(Protocol(retained=Retained.AFTER), RETAINED, "I6", id="a revocation recorded before what it ends"),
    pytest.param(
        Protocol(retained=Retained.WATCHED),
        replace(RETAINED, revokes=False),
        "I6",
        id="retained master tokens looked for in a watch that is behind",
    ),
]


@pytest.mark.proof(gate=1, soak=3)
@pytest.mark.parametrize(
    "scenario",
    [
        pytest.param(NEXT_SERIAL, id="a serial is raised"),
        pytest.param(MADE_AGAIN, id="the object is deleted and made again"),
        pytest.param(RETAINED, id="the object goes, its master tokens are retained"),
        pytest.param(RETAINED_ANEW, id="they are retained, and the object is made anew"),
    ],
)
def test_no_interleaving_revives_what_is_ended(scenario: Scenario, rounds: int, figure: Figure) -> None:
    found = explore(OURS, replace(scenario, faults=rounds))

    figure(f"{found.states:,} states with at most {rounds} lost answers, {len(found.violations)} violations")
    assert found.violations == []


@pytest.mark.proof(gate=0, soak=1)
def test_no_interleaving_of_everything_at_once_does(rounds: int, figure: Figure) -> None:
    found = explore(OURS, replace(ALL_TOGETHER if rounds else TOGETHER, faults=rounds))

    figure(f"{found.states:,} states with at most {rounds} lost answers, {len(found.violations)} violations")
    assert found.violations == []


def test_a_request_that_comes_in_after_a_raise_is_refused_by_a_reading_of_its_own() -> None:
    """A shared reading may be a second old: then the key that has redeemed gets the same master token once more."""
    alone = Protocol(shares_readings=False)

    assert explore(alone, replace(NEXT_SERIAL, clients=(FIRST, AGAIN, OF_SERIAL_2))).violations == []


@pytest.mark.parametrize(("mistake", "scenario", "invariant"), MISTAKES)
def test_the_model_finds_what_is_wrong_with(mistake: Protocol, scenario: Scenario, invariant: str) -> None:
    found = explore(mistake, scenario, until=invariant)

    assert any(violation.startswith(invariant) for violation in found.violations), found.violations


def test_existence_and_uid_would_stand_behind_the_deletion_timestamp_if_there_were_always_a_last_read() -> None:
    assert explore(Protocol(obeys_deletion=False, last_reads=LastReads.ALWAYS), MADE_AGAIN).violations == []


# The honest ways: a protocol that delivers nothing would be safe, too.


def test_a_new_serial_is_redeemed_after_a_revocation() -> None:
    def redeemed_again(state: State) -> bool:
        return Fact("acknowledged", 1, 1) in state.facts and _valid(NEXT_SERIAL, state) == {(1, 2)}

    assert explore(OURS, NEXT_SERIAL).reaches(redeemed_again)


def test_a_higher_serial_alone_ends_no_master_token() -> None:
    assert explore(OURS, NEXT_SERIAL).reaches(lambda state: _valid(NEXT_SERIAL, state) == {(1, 1), (1, 2)})


def test_an_object_that_was_made_again_is_redeemed() -> None:
    def redeemed_again(state: State) -> bool:
        return {delivery.uid for delivery in state.delivered} == {1, 2} and _valid(MADE_AGAIN, state) == {(2, 1)}

    assert explore(OURS, MADE_AGAIN).reaches(redeemed_again)


def test_a_retained_master_token_outlives_its_object_and_stands_beside_the_next() -> None:
    found = explore(OURS, RETAINED_ANEW)

    assert found.reaches(lambda state: state.pairing is None and _valid(RETAINED_ANEW, state) == {(1, 1)})
    assert found.reaches(lambda state: _valid(RETAINED_ANEW, state) == {(1, 1), (2, 1)})


# What is not promised.


def test_an_order_goes_with_its_object_where_master_tokens_are_retained_and_no_one_has_carried_it_out() -> None:
    def lost(state: State) -> bool:
        ordered = Fact("ordered", 1, 1) in state.facts and Fact("acknowledged", 1, 1) not in state.facts
        return ordered and state.pairing is None and _valid(RETAINED, state) == {(1, 1)}

    assert explore(OURS, RETAINED).reaches(lost)


@pytest.mark.parametrize(("orders", "revokes"), [(True, False), (False, True)], ids=["ordered", "by a holder"])
def test_retained_master_tokens_of_an_earlier_serial_are_ended_for_sure_only_where_they_are_listed(
    orders: bool, revokes: bool, figure: Figure
) -> None:
    """The controller's watch may not have seen them, and a holder revokes no master token in its own record.

    They are invalid while the object stands, and their records follow when the controller has seen both.
    """
    scenario = replace(RETAINED_TWICE, orders=orders, revokes=revokes)

    ours, listed = explore(OURS, scenario), explore(Protocol(retained=Retained.LISTED), scenario)

    figure(f"{ours.states:,} states as it is, {listed.states:,} where they are listed")
    assert [violation[:2] for violation in ours.violations] == ["I6"]
    assert listed.violations == []


def _valid(scenario: Scenario, state: State) -> set[tuple[int, int]]:
    """The uid and serial of each master token that somebody holds and that is valid."""
    held = {delivery.master for delivery in state.delivered}
    world = World(OURS, scenario)
    return {
        (master.uid, master.serial)
        for master in state.masters
        if master.name in held and is_valid(world, master, state.pairing)
    }
