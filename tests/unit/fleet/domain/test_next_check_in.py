"""When a device checks in next, and until when it must prove a copy."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.fleet.domain.facts import Offer, RotationFacts, Strategy
from tallystick.fleet.domain.next_check_in import prove_before, wait_seconds
from tests.fakes import NOON

OFFER = Offer(2, "key", NOON, "rot-1")


def a_rotation(**changes):
    facts = {"name": "rot-1", "uid": "u", "created": NOON, "start_time": NOON, "generation": 2, **changes}
    return RotationFacts(**facts)


@given(seconds=st.integers(5, 86_400), random_id=st.uuids(version=4))
def test_the_wait_is_the_period_give_or_take_a_tenth(seconds, random_id):
    wait = wait_seconds(timedelta(seconds=seconds), str(random_id))

    assert round(seconds * 0.9) <= wait <= round(seconds * 1.1)
    assert wait >= 1


def test_the_wait_spreads_over_the_whole_tenth():
    ends = {wait_seconds(timedelta(seconds=100), f"00000000-0000-4000-8000-00000000{end}") for end in ("0000", "ffff")}

    assert ends == {90, 110}


@pytest.mark.parametrize(
    ("strategy", "minutes"),
    [
        (Strategy(in_progress_timeout=timedelta(minutes=5)), 5),
        (Strategy(in_progress_timeout=timedelta(minutes=5), deadline=timedelta(minutes=3)), 3),
    ],
)
def test_a_copy_must_be_proved_before_its_timeout_and_before_the_deadline(strategy, minutes):
    assert prove_before(OFFER, a_rotation(strategy=strategy)) == NOON + timedelta(minutes=minutes)


def test_an_offer_of_a_rotation_that_is_over_has_no_such_time():
    assert prove_before(OFFER, None) is None
    assert prove_before(OFFER, a_rotation(name="rot-2")) is None
