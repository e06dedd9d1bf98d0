"""Which slots get a token, which tokens end and which stay: R15-R17, R22, R24, R28, R30, R34-R37, S7."""

from datetime import timedelta

import pytest

from tallystick.connections.api.connection_configuration import ConnectionConfiguration, RevocationReason
from tallystick.connections.domain import slots
from tallystick.connections.domain.slots import plan
from tests.fakes import NOON
from tests.worlds.configurations import (
    ACTIVE,
    DELETED,
    HOUR,
    LICENSE_EXPIRED,
    MANUAL,
    PENDING,
    SECOND,
    YEAR,
    a_configuration,
    a_revoked,
    a_token,
    alive,
    ended,
)


def rests(configuration: ConnectionConfiguration, now=NOON) -> bool:
    """Whether there is nothing to write."""
    made, status = plan(configuration, now), configuration.status
    return (list(made.tokens), made.revoked, made.issue, list(made.vacant)) == (
        status.tokens,
        (),
        (),
        status.vacant_slots,
    )


# What is to be made.


@pytest.mark.parametrize(
    ("configuration", "expected"),
    [
        pytest.param(a_configuration("default"), ("default",), id="R15 a new object gets its first token"),
        pytest.param(a_configuration("new", "old"), ("new", "old"), id="both of a new object, in the spec's order"),
        pytest.param(
            a_configuration("a", "b", tokens=(a_token("a", 1),)), ("b",), id="R16 the slot that was added, no other"
        ),
        pytest.param(
            a_configuration("b", "a", tokens=(a_token("a", 1),)), ("b",), id="R16 wherever in the list it was added"
        ),
        pytest.param(
            a_configuration("a", "b", tokens=(a_token("a", 1, PENDING),)),
            ("b",),
            id="a planned one is not planned anew",
        ),
        pytest.param(
            a_configuration("a", "b", tokens=(a_token("b", 3), a_revoked("a", 2))),
            ("a",),
            id="a name that comes back after its token was revoked gets a new token",
        ),
        pytest.param(
            a_configuration("a", "b", "c", tokens=(a_token("a", 1), a_token("b", 2))),
            (),
            id="R24 two are alive: no third, whatever let such a spec pass",
        ),
        pytest.param(
            a_configuration("a", "b", "c", tokens=(a_token("b", 1),)), ("a",), id="R24 one is alive: one place is left"
        ),
        pytest.param(a_configuration("a", "b", "c"), ("a", "b"), id="R24 none is alive: two places"),
        pytest.param(
            a_configuration("a", "c", tokens=(a_token("b", 2), a_token("a", 1))),
            ("c",),
            id="R24 the place of one that ends now is free at once",
        ),
        pytest.param(a_configuration("a", deleting=True), (), id="nothing for an object that goes"),
        pytest.param(a_configuration("a", ends=SECOND), ("a",), id="in the last second of a licence"),
        pytest.param(a_configuration("a", ends=0 * SECOND), (), id="nothing from the licence's end on"),
    ],
)
def test_slots_without_a_token_get_one(configuration, expected):
    assert plan(configuration, NOON).issue == expected


@pytest.mark.parametrize(
    "configuration",
    [
        pytest.param(a_configuration("a", tokens=(a_token("a", 1),)), id="one Active"),
        pytest.param(a_configuration("a", "b", tokens=(a_token("b", 2), a_token("a", 1))), id="two Active"),
        pytest.param(a_configuration("a", tokens=(a_token("a", 1, PENDING),)), id="one Pending"),
        pytest.param(
            a_configuration("a", tokens=(a_token("a", 2), a_revoked("a", 1))), id="one beside its predecessor"
        ),
        pytest.param(
            a_configuration("a", "b", tokens=(a_token("b", 2),), vacant=("a",)), id="one beside a vacant slot"
        ),
        pytest.param(
            a_configuration("a", tokens=(a_token("a", 1, not_after=NOON + HOUR),), ends=HOUR), id="a licence on record"
        ),
        pytest.param(
            a_configuration("a", tokens=(a_revoked("a", 1, reason=LICENSE_EXPIRED),), ends=-HOUR, vacant=("a",)),
            id="a licence that is over, on record",
        ),
        pytest.param(
            a_configuration("a", tokens=(a_revoked("a", 1, reason=DELETED),), deleting=True), id="a deletion on record"
        ),
    ],
)
def test_what_is_as_it_should_be_rests(configuration):
    assert rests(configuration)


def test_r22_age_ends_nothing():
    assert rests(a_configuration("a", "b", tokens=(a_token("b", 2), a_token("a", 1))), now=NOON + 50 * YEAR)


# What ends.


def test_r17_r30_r34_the_token_of_a_removed_slot_ends_and_no_other():
    made = plan(a_configuration("a", tokens=(a_token("b", 2), a_token("a", 1))), NOON + timedelta(milliseconds=999))

    assert ended(made) == {"b": MANUAL}
    assert made.revoked[0].revoked_time == NOON, "a whole second"
    assert alive(made) == ["a"]
    assert (made.issue, made.vacant) == ((), ())


def test_r28_the_newest_may_go_first_and_the_one_before_is_to_be_copied_again():
    both = (a_token("new", 2), a_token("old", 1))

    before = slots.active_tokens(a_configuration("old", "new", tokens=both))
    after = slots.active_tokens(a_configuration("old", tokens=plan(a_configuration("old", tokens=both), NOON).tokens))

    assert [token.slot for token in before] == ["new", "old"]
    assert [token.slot for token in after] == ["old"]


def test_one_edit_may_revoke_one_and_generate_another():
    made = plan(a_configuration("a", "c", tokens=(a_token("b", 2), a_token("a", 1))), NOON)

    assert (ended(made), alive(made), made.issue) == ({"b": MANUAL}, ["a"], ("c",))


def test_a_token_that_no_instance_has_yet_ends_with_its_slot_too():
    made = plan(a_configuration("a", tokens=(a_token("b", 2, PENDING), a_token("a", 1))), NOON)

    assert (ended(made), alive(made)) == ({"b": MANUAL}, ["a"])


@pytest.mark.parametrize("state", [PENDING, ACTIVE])
def test_r36_deletion_ends_every_token(state):
    made = plan(a_configuration("a", "b", tokens=(a_token("b", 2, state), a_token("a", 1)), deleting=True), NOON)

    assert (ended(made), alive(made), made.issue) == ({"a": DELETED, "b": DELETED}, [], ())


def test_r36_deletion_is_the_reason_also_of_what_would_have_ended_anyhow():
    over = a_configuration("a", tokens=(a_token("b", 2), a_token("a", 1)), ends=-HOUR, deleting=True)

    assert ended(plan(over, NOON)) == {"a": DELETED, "b": DELETED}


def test_r35_the_end_of_the_license_is_the_reason_also_of_one_whose_slot_is_gone():
    over = a_configuration("a", tokens=(a_token("b", 2), a_token("a", 1)), ends=-HOUR)

    assert ended(plan(over, NOON)) == {"a": LICENSE_EXPIRED, "b": LICENSE_EXPIRED}


@pytest.mark.parametrize(
    "configuration",
    [
        pytest.param(a_configuration("a"), id="in a valid object"),
        pytest.param(a_configuration("a", ends=-HOUR), id="after the licence"),
        pytest.param(a_configuration("a", deleting=True), id="in a deletion"),
        pytest.param(a_configuration("b"), id="without its slot"),
    ],
)
def test_what_was_revoked_stays_as_it_was_recorded(configuration):
    before = tuple(a_revoked("a", serial, reason=reason) for serial, reason in enumerate(RevocationReason, start=1))
    status = configuration.status.model_copy(update={"tokens": list(before), "last_serial": 3})

    made = plan(configuration.model_copy(update={"status": status}), NOON)

    assert made.tokens == before
    assert made.revoked == ()


def test_r37_there_are_three_reasons():
    assert [reason.value for reason in RevocationReason] == ["Manual", "LicenseExpired", "ConfigurationDeleted"]


# S7: nobody is locked out by a spec that should not have passed.


@pytest.mark.parametrize(
    ("names", "tokens", "kept"),
    [
        pytest.param(("x",), (a_token("a", 1),), {"a"}, id="the only one"),
        pytest.param(("x",), (a_token("b", 2), a_token("a", 1)), {"b"}, id="the last minted of two"),
        pytest.param(("x",), (a_token("a", 1), a_token("b", 2)), {"b"}, id="whatever the order on record"),
        pytest.param(("x",), (a_token("x", 3, PENDING), a_token("a", 1)), {"x", "a"}, id="until the new one is Active"),
        pytest.param(("x",), (a_token("x", 3), a_token("a", 1)), {"x"}, id="and no longer"),
        pytest.param(
            ("x",), (a_token("b", 2, PENDING), a_token("a", 1)), {"a"}, id="not one that is Pending beside it"
        ),
        pytest.param(("x",), (a_token("a", 1, PENDING),), {"a"}, id="one that is Pending, before any is Active"),
        pytest.param(
            ("x",), (a_token("b", 2, PENDING), a_token("a", 1, PENDING)), {"a"}, id="the first of two Pending"
        ),
        pytest.param(("x",), (a_token("x", 2, PENDING), a_token("a", 1, PENDING)), {"x", "a"}, id="beside a later one"),
        pytest.param(("x",), (a_token("a", 2, PENDING), a_token("x", 1, PENDING)), {"x"}, id="unless it has a slot"),
        pytest.param(("a",), (a_token("b", 2), a_token("a", 1)), {"a"}, id="not where a slot has an Active token"),
        pytest.param(("x",), (a_revoked("b", 2), a_token("a", 1)), {"a"}, id="never a revoked one"),
    ],
)
def test_s7_where_no_slot_has_an_active_token_the_last_issued_one_stays(names, tokens, kept):
    configuration = a_configuration(*names, tokens=tokens)

    placed = {token.slot for token in slots.unrevoked_tokens(configuration) if slots.has_place(token, configuration)}

    assert placed == kept
    assert set(alive(plan(configuration, NOON))) == kept


def test_s7_two_that_lose_their_slots_leave_one_place():
    made = plan(a_configuration("x", "y", tokens=(a_token("b", 2), a_token("a", 1))), NOON)

    assert (ended(made), alive(made), made.issue) == ({"a": MANUAL}, ["b"], ("x",))


def test_the_same_object_and_time_give_the_same_plan():
    configuration = a_configuration("a", "c", tokens=(a_token("b", 2), a_token("a", 1)), ends=HOUR)

    assert plan(configuration, NOON) == plan(configuration, NOON)
