"""How a license ends tokens, and what its renewal issues: R35."""

import pytest

from tallystick.connections.domain import slots
from tallystick.connections.domain.slots import plan
from tests.fakes import NOON
from tests.worlds.configurations import (
    ACTIVE,
    HOUR,
    LICENSE_EXPIRED,
    PENDING,
    SECOND,
    YEAR,
    a_configuration,
    a_revoked,
    a_token,
    ended,
)


@pytest.mark.parametrize(("seconds", "over"), [(-1, False), (0, True), (1, True)])
def test_r35_all_tokens_end_at_the_very_second_of_the_license(seconds, over):
    both = (a_token("b", 2, not_after=NOON + HOUR), a_token("a", 1, not_after=NOON + HOUR))
    configuration, now = a_configuration("a", "b", tokens=both, ends=HOUR), NOON + HOUR + seconds * SECOND

    made = plan(configuration, now)

    assert ended(made) == ({"a": LICENSE_EXPIRED, "b": LICENSE_EXPIRED} if over else {})
    assert slots.license_expired(configuration, now) is over
    assert made.issue == ()
    assert made.vacant == (("a", "b") if over else ())


@pytest.mark.parametrize("recorded", [None, HOUR, 2 * HOUR, 3 * HOUR], ids=["none", "earlier", "same", "later"])
@pytest.mark.parametrize("asked", [None, 2 * HOUR], ids=["removed", "set"])
@pytest.mark.parametrize("state", [PENDING, ACTIVE])
def test_an_end_that_has_not_come_is_moved_wherever_the_spec_puts_it(state, asked, recorded):
    token = a_token("a", 1, state, not_after=NOON + recorded if recorded else None)

    made = plan(a_configuration("a", tokens=(token,), ends=asked), NOON)

    assert [kept.not_after for kept in made.tokens] == [NOON + asked if asked else None]
    assert made.revoked == ()


@pytest.mark.parametrize("asked", [None, YEAR], ids=["removed", "moved"])
@pytest.mark.parametrize("late", [0 * SECOND, HOUR], ids=["at that second", "an hour late"])
def test_an_end_that_passed_while_the_controller_was_down_is_permanent(late, asked):
    """The licence was renewed in time, or so it seems now; what was on record had passed all the same."""
    both = (a_token("b", 2, not_after=NOON + HOUR), a_token("a", 1, not_after=NOON + HOUR))

    made = plan(a_configuration("a", "b", tokens=both, ends=asked), NOON + HOUR + late)

    assert ended(made) == {"a": LICENSE_EXPIRED, "b": LICENSE_EXPIRED}
    assert [token.not_after for token in made.revoked] == [NOON + HOUR] * 2
    assert (made.issue, made.vacant) == (("b",), ("a",)), "R35: one new token"


@pytest.mark.parametrize("ends", [None, HOUR], ids=["removed", "later"])
@pytest.mark.parametrize(("names", "expected"), [(("a",), ((), ("a",))), (("a", "b"), (("a",), ("b",)))])
def test_r35_a_renewal_issues_one_token_for_the_slot_that_came_last(names, expected, ends):
    dead = tuple(a_revoked(name, serial, reason=LICENSE_EXPIRED) for serial, name in enumerate(names, start=1))

    made = plan(a_configuration(*names, tokens=dead, ends=ends, vacant=names), NOON)

    assert (made.vacant, made.issue) == expected


@pytest.mark.parametrize("names", [("a",), ("a", "b")])
def test_r35_an_object_that_is_made_with_a_license_that_is_over_gets_no_token_and_its_renewal_one(names):
    born = plan(a_configuration(*names, ends=-SECOND), NOON)
    renewed = plan(a_configuration(*names, ends=HOUR, vacant=born.vacant), NOON)

    assert (born.tokens, born.issue, born.vacant) == ((), (), names)
    assert (renewed.issue, renewed.vacant) == (names[-1:], names[:-1])


def test_r35_slots_that_are_added_after_the_end_make_the_renewal_no_larger():
    dead = (a_revoked("a", 1, reason=LICENSE_EXPIRED),)

    over = plan(a_configuration("a", "b", tokens=dead, ends=-HOUR, vacant=("a",)), NOON)
    renewed = plan(a_configuration("a", "b", tokens=dead, ends=HOUR, vacant=over.vacant), NOON)

    assert (over.issue, over.vacant) == ((), ("a", "b"))
    assert (renewed.issue, renewed.vacant) == (("b",), ("a",))


def test_a_vacant_slot_gets_its_token_once_it_is_removed_and_added_again():
    after_renewal = {"tokens": (a_token("b", 3, issued_time=NOON),)}

    left = plan(a_configuration("a", "b", **after_renewal, vacant=("a",)), NOON)
    removed = plan(a_configuration("b", **after_renewal, vacant=("a",)), NOON)
    added = plan(a_configuration("a", "b", **after_renewal, vacant=removed.vacant), NOON)

    assert (left.issue, left.vacant) == ((), ("a",))
    assert (removed.issue, removed.vacant) == ((), ())
    assert (added.issue, added.vacant) == (("a",), ())


def test_another_slot_than_the_vacant_one_gets_its_token_at_once():
    made = plan(a_configuration("c", "b", tokens=(a_token("b", 3),), vacant=("a",)), NOON)

    assert (made.issue, made.vacant, made.revoked) == (("c",), (), ())


def test_the_renewed_token_stays_where_only_a_vacant_slot_is_left_though_it_is_pending():
    made = plan(a_configuration("a", tokens=(a_token("b", 3, PENDING),), vacant=("a",)), NOON)

    assert (ended(made), made.issue, made.vacant) == ({}, (), ("a",))


@pytest.mark.parametrize(
    ("asked", "recorded", "expected"),
    [
        (None, None, None),
        (HOUR, None, HOUR),
        (None, HOUR, HOUR),
        (HOUR, YEAR, HOUR),
        (YEAR, HOUR, HOUR),
    ],
)
def test_a_token_ends_at_the_earlier_of_what_is_asked_and_what_is_on_record(asked, recorded, expected):
    token = a_token("a", 1, not_after=NOON + recorded if recorded else None)

    end = slots.end_of(token, a_configuration("a", tokens=(token,), ends=asked))

    assert end == (NOON + expected if expected else None)
