"""A place of maxConcurrency is kept for a device for three check-in periods, and then goes to another one."""

from datetime import timedelta

import pytest

from tallystick.fleet.domain.facts import Opening, Strategy
from tallystick.fleet.domain.places import Places, bound, widened
from tallystick.fleet.domain.quantities import Quantity
from tests.fakes import NOON

PERIOD = timedelta(seconds=15)
LATER = NOON + timedelta(seconds=10)
A, B, C = "d-a", "d-b", "d-c"


def test_a_place_is_kept_from_the_first_look_at_its_device() -> None:
    places = Places().seen([A], NOON, may_start=True).seen([A, B], LATER, may_start=True)

    assert places.waiting == {A: NOON, B: LATER}
    assert places.time_of_change(PERIOD) == NOON + 3 * PERIOD
    assert places.overdue(PERIOD, NOON + 3 * PERIOD - timedelta(seconds=1)) == ()
    assert places.overdue(PERIOD, NOON + 3 * PERIOD) == (A,)


def test_the_time_in_which_no_device_may_start_does_not_count() -> None:
    places = Places().seen([A], NOON, may_start=True).seen([A], LATER, may_start=False)

    assert places.waiting == {A: LATER}


def test_a_device_that_starts_or_is_deleted_gives_its_place_back() -> None:
    places = Places({A: NOON}, frozenset({B})).seen([], LATER, may_start=True)

    assert places == Places()
    assert places.time_of_change(PERIOD) is None


def test_a_device_whose_place_was_given_away_gets_no_other_one() -> None:
    places = Places({A: NOON, B: NOON}).passed_on([A]).seen([A, B], LATER, may_start=True)

    assert places == Places({B: NOON}, frozenset({A}))


@pytest.mark.parametrize(
    ("upcoming", "free", "through"),
    [
        pytest.param((B, C), None, None, id="no bound opens all"),
        pytest.param((B, C), 3, None, id="more places than devices open all"),
        pytest.param((B, C), 2, None, id="as many places as devices open all"),
        pytest.param((B, C), 1, B, id="one place opens for one device"),
        pytest.param((B, C), 0, A, id="without a place nothing changes"),
        pytest.param((B, C), -1, A, id="late ones that exceed the bound open nothing"),
        pytest.param((), 0, None, id="without an upcoming device all of the batch is open"),
    ],
)
def test_a_batch_opens_for_as_many_devices_as_there_are_places(
    upcoming: tuple[str, ...], free: int | None, through: str | None
) -> None:
    assert widened(Opening(2, A, LATER), upcoming, free) == Opening(2, through, LATER)


@pytest.mark.parametrize(
    ("most", "of", "devices"),
    [
        (None, 10, None),
        (Quantity(3), 10, 3),
        (Quantity.percent(25), 10, 2),
        (Quantity.percent(1), 10, 1),
        (Quantity.percent(50), 0, 1),
    ],
)
def test_the_bound_is_rounded_down_and_is_one_device_at_least(
    most: Quantity | None, of: int, devices: int | None
) -> None:
    assert bound(Strategy(max_concurrency=most), of) == devices
