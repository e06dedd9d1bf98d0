"""Heartbeat records: grades at their exact boundaries, instances by token, and the records of many replicas (R23)."""

from datetime import timedelta

import pytest

from tallystick.connections.domain.heartbeat_records import (
    FORGET_AFTER,
    GOOD_WITHIN,
    MOST_KEPT,
    WARNING_WITHIN,
    Grade,
    HeartbeatRecords,
    LastSeen,
    is_forgotten,
    join,
    named,
    summarize,
)
from tests.fakes import NOON

SEEN = int(NOON.timestamp())
AN_INSTANT = timedelta(microseconds=1)


def seen(serial=1, *, ago=0):
    return LastSeen(serial, SEEN - ago)


def present(**last_seen):
    return HeartbeatRecords(last_seen)


@pytest.mark.parametrize(
    ("age", "grade", "until"),
    [
        pytest.param(timedelta(seconds=-1), Grade.GOOD, GOOD_WITHIN, id="a replica's clock is ahead"),
        pytest.param(timedelta(0), Grade.GOOD, GOOD_WITHIN, id="just now"),
        pytest.param(GOOD_WITHIN - AN_INSTANT, Grade.GOOD, GOOD_WITHIN, id="right before 2 minutes"),
        pytest.param(GOOD_WITHIN, Grade.WARNING, WARNING_WITHIN, id="at 2 minutes"),
        pytest.param(WARNING_WITHIN - AN_INSTANT, Grade.WARNING, WARNING_WITHIN, id="right before 10 minutes"),
        pytest.param(WARNING_WITHIN, Grade.PROBLEM, FORGET_AFTER, id="at 10 minutes"),
        pytest.param(FORGET_AFTER - AN_INSTANT, Grade.PROBLEM, FORGET_AFTER, id="right before a day"),
    ],
)
def test_the_age_of_the_last_heartbeat_says_how_an_instance_does_and_until_when(age, grade, until):
    found = summarize(present(press=seen()), NOON + age)

    assert found.grades == {grade: 1}
    assert found.users == {1: ("press",)}
    assert found.next_change == NOON + until


def test_what_is_announced_as_the_next_change_is_one():
    """The controller sleeps until then; if nothing were different, or something had been before, it slept wrongly."""
    presence = present(a=seen(), b=seen(2, ago=90), c=seen(1, ago=500), d=seen(1, ago=86_399))
    now, changes = NOON, 0
    while (change := summarize(presence, now).next_change) is not None:
        before, at = summarize(presence, now), summarize(presence, change)
        assert now < change
        assert summarize(presence, change - AN_INSTANT).grades == before.grades
        assert (at.grades, at.users) != (before.grades, before.users)
        now, changes = change, changes + 1

    # a and b get worse twice, c once, and all four are forgotten in the end.
    assert changes == 2 + 2 + 1 + 4


def test_after_a_day_an_instance_counts_for_nothing():
    found = summarize(present(press=seen()), NOON + FORGET_AFTER)

    assert (found.grades, found.users, found.next_change) == ({}, {}, None)
    assert is_forgotten(seen(), NOON + FORGET_AFTER)
    assert not is_forgotten(seen(), NOON + FORGET_AFTER - AN_INSTANT)


def test_instances_are_listed_by_the_token_that_they_use_in_order_of_their_ids():
    found = summarize(present(c=seen(1), a=seen(2), b=seen(1, ago=300)), NOON)

    assert found.users == {1: ("b", "c"), 2: ("a",)}
    assert found.grades == {Grade.GOOD: 2, Grade.WARNING: 1}
    assert found.next_change == NOON + GOOD_WITHIN


def test_where_no_instance_is_nothing_changes():
    assert summarize(HeartbeatRecords(), NOON).next_change is None


@pytest.mark.parametrize("turned", [False, True], ids=["in order", "in the other order"])
@pytest.mark.parametrize(
    ("one", "other", "joined"),
    [
        pytest.param(seen(1, ago=9), seen(2), seen(2), id="the later one"),
        pytest.param(seen(2, ago=9), seen(1), seen(1), id="the later one, though it uses the older token"),
        pytest.param(seen(1), seen(2), seen(2), id="at the same second the newer token"),
        pytest.param(seen(1), seen(1), seen(1), id="the same"),
    ],
)
def test_of_two_replicas_counts(one, other, joined, turned):
    stored_heartbeats = [present(press=one), present(press=other)]

    assert join(reversed(stored_heartbeats) if turned else stored_heartbeats) == present(press=joined)


def test_no_records_joined_are_no_instances():
    assert join([]) == HeartbeatRecords()


def test_all_instances_of_all_replicas_are_joined_and_those_that_are_not_kept_are_added_up():
    found = join([HeartbeatRecords({"a": seen()}, unlisted=3), HeartbeatRecords({"b": seen(2)}, unlisted=4)])

    assert found == HeartbeatRecords({"a": seen(), "b": seen(2)}, unlisted=7)


@pytest.mark.parametrize(
    ("more", "kept", "unlisted"),
    [pytest.param(0, 1000, 5, id="exactly 1,000"), pytest.param(1, 1000, 6, id="1,001")],
)
def test_s19_no_more_instances_are_kept_of_many_replicas_than_of_one(more, kept, unlisted):
    half = MOST_KEPT // 2
    first = HeartbeatRecords({f"a-{number:04}": seen(ago=number) for number in range(half)}, unlisted=5)
    second = HeartbeatRecords({f"b-{number:04}": seen(ago=number) for number in range(half + more)})

    found = join([first, second])

    assert (len(found.last_seen), found.unlisted) == (kept, unlisted)


def test_s19_of_too_many_the_latest_are_kept_and_of_equals_always_the_same():
    early = {f"early-{number:04}": seen(ago=60) for number in range(MOST_KEPT)}
    late = {"late": seen()}

    found = join([HeartbeatRecords(early), HeartbeatRecords(late)])

    assert "late" in found.last_seen
    assert found == join([HeartbeatRecords(late), HeartbeatRecords(dict(reversed(early.items())))])
    assert found.unlisted == 1


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, ""),
        (1, "i-0"),
        (5, "i-0, i-1, i-2, i-3, i-4"),
        (6, "i-0, i-1, i-2, i-3, i-4 and 1 more"),
        (1000, "i-0, i-1, i-2, i-3, i-4 and 995 more"),
    ],
)
def test_a_few_are_named(count, text):
    assert named(tuple(f"i-{number}" for number in range(count))) == text
