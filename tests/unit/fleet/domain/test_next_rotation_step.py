"""Each reason for which a rotation waits, closes or finishes; the order of the rules is in tests/model, too."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tallystick.fleet.api.reasons import TokenRotationReason as Reason
from tallystick.fleet.api.strategy import DesiredState
from tallystick.fleet.domain.batches import Batch
from tallystick.fleet.domain.check_in import Again, Nothing, OfferCopy, Prove
from tallystick.fleet.domain.counts import Counts
from tallystick.fleet.domain.facts import Enrolling, Opening, Strategy
from tallystick.fleet.domain.next_step import STRAGGLERS, Close, Finish, Open, Wait
from tallystick.fleet.domain.quantities import Quantity
from tallystick.fleet.domain.windows import Window
from tallystick.pairing.api.device_project import RotationState
from tests.fakes import NOON
from tests.worlds.rotating import RotatingFleet, a_device

ONE_BY_ONE = Strategy(max_concurrency=Quantity(1), max_failures=Quantity(0))


def a_fleet(strategy: Strategy, size: int = 3, *, compromised: bool = False) -> RotatingFleet:
    devices = [a_device(number) for number in range(size)]
    return RotatingFleet(strategy, {device.name: device for device in devices}, compromised=compromised)


def test_a_device_goes_from_hand_out_to_proof() -> None:
    fleet = a_fleet(Strategy(), 1)
    assert fleet.check_in("d-a000") == Nothing(touch=False)
    fleet.look()

    decisions = [fleet.check_in("d-a000"), fleet.check_in("d-a000", newest=False), fleet.check_in("d-a000")]

    assert decisions == [OfferCopy(2, "rot-1"), Again(2), Prove(2)]
    assert fleet.look() == Finish(Reason.COMPLETED, RotationState.SUCCEEDED, Counts(succeeded=1))


def test_more_failures_than_permitted_halt_until_a_late_proof() -> None:
    fleet = a_fleet(ONE_BY_ONE)
    fleet.look()
    fleet.check_in("d-a000")
    fleet.check_in("d-a000", newest=False, fails=True)

    opening = Opening(1, "d-a000")
    assert fleet.look() == Close(Reason.TOO_MANY_FAILURES, RotationState.HALTED, opening)
    assert fleet.look() == Wait(Reason.TOO_MANY_FAILURES)
    fleet.check_in("d-a000")  # the late proof
    assert fleet.look() == Open(opening)
    assert fleet.look() == Open(Opening(1, "d-a001"))


def test_failures_of_a_rotation_for_a_compromise_never_halt_it() -> None:
    fleet = a_fleet(ONE_BY_ONE, compromised=True)
    fleet.look()
    fleet.check_in("d-a000")
    fleet.check_in("d-a000", newest=False, fails=True)

    assert fleet.look() == Open(Opening(1, "d-a001"))


def test_a_place_goes_to_another_after_three_periods_and_a_look() -> None:
    fleet = a_fleet(ONE_BY_ONE)
    fleet.look()
    fleet.look()
    fleet.now += timedelta(seconds=45)

    assert fleet.look() == Wait(Reason.IN_PROGRESS, look=("d-a000",))
    assert fleet.look() == Open(Opening(1, "d-a001"))


def test_a_pause_does_not_use_up_the_time_of_a_place() -> None:
    fleet = a_fleet(ONE_BY_ONE)
    fleet.look()
    fleet.rotation = replace(fleet.rotation, order=DesiredState.PAUSED)
    fleet.look()
    fleet.now += timedelta(hours=1)
    fleet.look()
    fleet.rotation = replace(fleet.rotation, order=DesiredState.RUNNING)

    assert fleet.look() == Open(Opening(1, "d-a000"))
    assert fleet.look() == Wait(Reason.IN_PROGRESS, fleet.now + timedelta(seconds=45))


def test_the_next_batch_waits_for_the_gate_and_for_the_soak() -> None:
    strategy = Strategy((Batch("first", limit=Quantity(1)),), min_success_time=timedelta(minutes=1))
    fleet = a_fleet(strategy)
    fleet.rotation = replace(fleet.rotation, open_batches=1)
    fleet.look()
    fleet.check_in("d-a000")
    fleet.check_in("d-a000")

    assert fleet.look() == Wait(Reason.IN_PROGRESS, NOON + timedelta(minutes=1))
    fleet.now += timedelta(minutes=1)
    assert fleet.look() == Wait(Reason.WAITING_FOR_BATCH)
    fleet.rotation = replace(fleet.rotation, open_batches=2)
    assert fleet.look() == Open(Opening(2))


@pytest.mark.parametrize("started", [False, True])
def test_an_abort_waits_for_stragglers_and_for_devices_in_progress(started: bool) -> None:
    fleet = a_fleet(Strategy())
    fleet.look()
    if started:
        fleet.check_in("d-a000")
    fleet.rotation = replace(fleet.rotation, order=DesiredState.ABORTED)

    assert fleet.look() == Close(Reason.ABORTING, RotationState.ABORTING, Opening(1))
    assert fleet.look() == Wait(Reason.ABORTING, NOON + STRAGGLERS)
    fleet.now += STRAGGLERS
    if started:
        assert fleet.look() == Wait(Reason.ABORTING)
        fleet.check_in("d-a000")
    assert isinstance(fleet.check_in("d-a001"), Nothing)
    counts = Counts(succeeded=int(started), no_rotation=3 - started)
    assert fleet.look() == Finish(Reason.ABORTED, RotationState.ABORTED, counts)


def test_at_the_deadline_no_device_starts_and_those_left_are_failed() -> None:
    fleet = a_fleet(Strategy(deadline=timedelta(minutes=10)))
    assert fleet.look() == Open(Opening(1, until=NOON + timedelta(minutes=10)))
    fleet.now += timedelta(minutes=10)

    assert isinstance(fleet.check_in("d-a000"), Nothing)
    assert isinstance(fleet.look(), Close)
    fleet.now += STRAGGLERS
    assert fleet.look() == Finish(Reason.DEADLINE_EXCEEDED, RotationState.FAILED, Counts(failed=3))


def test_between_windows_a_rotation_waits_for_the_next_one() -> None:
    fleet = a_fleet(Strategy(windows=(Window("0 2 * * *", timedelta(hours=1)),)))

    step = fleet.look()

    assert isinstance(step, Wait)
    assert (step.why, step.until) == (Reason.WAITING_FOR_WINDOW, NOON.replace(hour=2) + timedelta(days=1))


def test_an_enrollment_by_the_old_value_delays_the_end() -> None:
    fleet = a_fleet(Strategy(), 0)
    fleet.target = replace(fleet.target, enrolling=(Enrolling("d-x", 1, NOON),))

    assert fleet.look() == Wait(Reason.WAITING_FOR_DEVICES)
    fleet.target = replace(fleet.target, enrolling=())
    assert fleet.look() == Finish(Reason.COMPLETED, RotationState.SUCCEEDED, Counts())


def test_an_enrollment_by_the_new_value_does_not_delay_the_end() -> None:
    fleet = a_fleet(Strategy(), 0)
    fleet.target = replace(fleet.target, enrolling=(Enrolling("d-x", 2, NOON),))

    assert fleet.look() == Finish(Reason.COMPLETED, RotationState.SUCCEEDED, Counts())


def test_a_revoked_target_fails_the_rotation_with_the_counts_of_before() -> None:
    fleet = a_fleet(Strategy())
    fleet.look()
    fleet.target = replace(fleet.target, revoked=True)

    assert fleet.look() == Finish(Reason.TARGET_REVOKED, RotationState.FAILED, Counts(failed=3))


def test_a_paused_or_halted_rotation_is_looked_at_again_at_its_deadline() -> None:
    deadline = timedelta(minutes=10)
    paused, halted = (a_fleet(replace(ONE_BY_ONE, deadline=deadline)) for _ in range(2))
    paused.rotation = replace(paused.rotation, order=DesiredState.PAUSED)
    halted.look()
    halted.check_in("d-a000")
    halted.check_in("d-a000", newest=False, fails=True)
    for fleet in (paused, halted):
        assert isinstance(fleet.look(), Close)

    assert paused.look() == Wait(Reason.PAUSED, NOON + deadline)
    assert halted.look() == Wait(Reason.TOO_MANY_FAILURES, NOON + deadline)


def test_a_place_that_no_device_waits_for_is_not_given_away() -> None:
    """To look for a device costs a GET, and gives its place to none."""
    fleet = a_fleet(ONE_BY_ONE, 1)
    fleet.look()
    fleet.look()
    fleet.now += timedelta(hours=1)

    step = fleet.look()

    assert isinstance(step, Wait)
    assert step.look == ()


def test_a_schedule_whose_end_moves_each_minute_does_not_write_each_minute() -> None:
    dense = Window("* * * * *", timedelta(minutes=10))
    fleet = a_fleet(Strategy(windows=(dense,)))
    assert fleet.look() == Open(Opening(1, until=NOON + timedelta(minutes=10)))
    fleet.now += timedelta(minutes=9)

    assert isinstance(fleet.look(), Wait)
    fleet.now += timedelta(minutes=1)
    assert fleet.look() == Open(Opening(1, until=NOON + timedelta(minutes=20)))


def test_an_empty_batch_delays_the_next_one_by_nothing() -> None:
    strategy = Strategy((Batch("none", {"site": "none"}),), min_success_time=timedelta(hours=1))
    fleet = a_fleet(strategy)

    assert fleet.look() == Open(Opening(1))
    assert fleet.look() == Open(Opening(2))


def test_a_percentage_of_few_devices_is_one_place() -> None:
    fleet = a_fleet(Strategy(max_concurrency=Quantity.percent(1)))

    assert fleet.look() == Open(Opening(1, "d-a000"))
