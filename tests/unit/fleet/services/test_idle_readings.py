"""What a replica remembers of devices and of enrollments is bounded, and ends with its age."""

from datetime import timedelta

import pytest

from tallystick.fleet.domain.facts import DeviceFacts
from tallystick.fleet.services import enrollment_rate
from tallystick.fleet.services.enrollment_rate import EnrollmentRate
from tallystick.fleet.services.idle_readings import IdleReadings
from tests.fakes import NOON, FakeClock


def a_device(uid):
    return DeviceFacts(uid, uid, NOON, 1, 1, "key")


def test_a_reading_is_used_until_it_is_as_old_as_the_fleet_allows():
    clock = FakeClock()
    readings = IdleReadings(clock)
    readings.note(a_device("a"), clock.monotonic())
    clock.advance(30)

    assert readings.get("a", timedelta(seconds=30)) == a_device("a")
    assert readings.get("a", timedelta(seconds=29)) is None
    assert readings.get("b", timedelta(seconds=30)) is None


def test_a_new_reading_replaces_the_one_before():
    clock = FakeClock()
    readings = IdleReadings(clock)
    readings.note(a_device("a"), clock.monotonic())
    clock.advance(30)
    readings.note(a_device("a"), clock.monotonic())

    assert readings.get("a", timedelta(0)) == a_device("a")
    assert len(readings) == 1


def test_the_oldest_reading_is_forgotten_first():
    clock = FakeClock()
    readings = IdleReadings(clock, most=2)
    for uid in ("a", "b", "a", "c"):
        readings.note(a_device(uid), clock.monotonic())

    assert [readings.get(uid, timedelta(0)) is not None for uid in ("a", "b", "c")] == [True, False, True]


def test_a_rate_lets_ten_through_and_then_ten_a_second():
    clock = FakeClock()
    rate = EnrollmentRate(clock, 10)

    first = [rate.wait_of("a") for _ in range(12)]
    clock.advance(0.5)
    later = [rate.wait_of("a") for _ in range(6)]

    assert first == [0] * 10 + [1, 1]
    assert later == [0] * 5 + [1]


def test_each_token_has_a_rate_of_its_own():
    rate = EnrollmentRate(FakeClock(), 10)
    for _ in range(11):
        rate.wait_of("a")

    assert (rate.wait_of("a"), rate.wait_of("b")) == (1, 0)


def test_only_so_many_tokens_are_remembered(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(enrollment_rate, "MOST_REMEMBERED", 2)
    rate = EnrollmentRate(FakeClock(), 10)
    for uid in ("a", "b", "c"):
        rate.wait_of(uid)

    assert len(rate._buckets) == 2
