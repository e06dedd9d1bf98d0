"""When a rotation is recommended or overdue: longer than the threshold, counted from the newest Active token."""

from datetime import timedelta

import pytest

from tallystick.connections.domain.reminders import Reminder, Rotation, reminder
from tallystick.schema.times import rfc3339
from tests.fakes import NOON
from tests.worlds.connection_world import a_connection, a_token

HALF_A_YEAR, A_YEAR, SECOND = timedelta(days=182.5), timedelta(days=365), timedelta(seconds=1)


def reminded(*tokens, age, **spec):
    return reminder(a_connection(status={"lastSerial": 9, "tokens": list(tokens)}, **spec), NOON + age)


@pytest.mark.parametrize(
    ("age", "rotation", "next_change"),
    [
        pytest.param(timedelta(0), Rotation.CURRENT, HALF_A_YEAR + SECOND, id="new"),
        pytest.param(HALF_A_YEAR, Rotation.CURRENT, HALF_A_YEAR + SECOND, id="182.5 days"),
        pytest.param(HALF_A_YEAR + SECOND, Rotation.RECOMMENDED, A_YEAR + SECOND, id="longer than 182.5 days"),
        pytest.param(A_YEAR, Rotation.RECOMMENDED, A_YEAR + SECOND, id="365 days"),
        pytest.param(A_YEAR + SECOND, Rotation.OVERDUE, None, id="longer than 365 days"),
        pytest.param(100 * A_YEAR, Rotation.OVERDUE, None, id="100 years"),
        pytest.param(-A_YEAR, Rotation.CURRENT, HALF_A_YEAR + SECOND, id="a clock that was set back"),
    ],
)
def test_r19_r20_how_urgent_a_rotation_is(age, rotation, next_change):
    expected = Reminder(rotation, NOON, NOON + next_change if next_change is not None else None)

    assert reminded(a_token(), age=age) == expected


def test_the_newest_active_token_counts():
    old = a_token("old", 1, issuedTime=rfc3339(NOON - 10 * A_YEAR))
    revoked = a_token("gone", 3, state="Revoked", issuedTime=rfc3339(NOON + A_YEAR))
    pending = a_token("next", 4, state="Pending", issuedTime=rfc3339(NOON + A_YEAR))

    found = reminded(pending, a_token("new", 2), old, revoked, age=timedelta(0))

    assert found is not None
    assert (found.rotation, found.issued) == (Rotation.CURRENT, NOON)


@pytest.mark.parametrize("tokens", [(), (a_token(state="Pending"),), (a_token(state="Revoked"),)])
def test_nothing_is_reminded_of_where_no_token_is_active(tokens):
    assert reminded(*tokens, age=A_YEAR) is None


def test_the_thresholds_are_the_objects_own_and_may_be_the_same():
    policy = {"recommendAfter": "1h", "requireAfter": "1h"}

    at, after = (
        reminded(a_token(), age=age, rotationPolicy=policy) for age in (timedelta(hours=1), timedelta(hours=1) + SECOND)
    )

    assert at is not None
    assert after is not None
    assert (at.rotation, after.rotation) == (Rotation.CURRENT, Rotation.OVERDUE)
