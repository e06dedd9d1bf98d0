"""Windows follow the wall clock through each change of clocks, and each one has its length."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick.fleet.domain.windows import Window, end_of_present, next_start, why_invalid
from tests.harness.proofs import Figure


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


NIGHT = Window("30 2 * * *", timedelta(hours=1), "Europe/Berlin")
# The clocks of Berlin go forward on March 29 and back on October 25.
DAYS = st.datetimes(at("2026-01-01"), at("2027-12-31"), timezones=st.just(UTC))
GATE, SOAK = 100, 5_000
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]
NIGHTS = st.builds("{} {} * * *".format, st.integers(0, 59), st.integers(0, 4))
# Days around the changes of clocks of 2026 in these zones.
CHANGES = st.builds(
    lambda day, minutes: at(day) + timedelta(minutes=minutes),
    st.sampled_from(["2026-03-07", "2026-03-28", "2026-04-04", "2026-10-03", "2026-10-24", "2026-10-31"]).map(
        lambda day: f"{day}T00:00:00Z"
    ),
    st.integers(-1440, 1440),
)
WINDOWS = st.builds(
    Window,
    st.sampled_from(["30 2 * * *", "0 2 * * 6", "15 */3 * * *", "0 0 1 * *", "* 2 * * *"]),
    st.sampled_from([timedelta(minutes=1), timedelta(hours=1), timedelta(hours=4), timedelta(hours=30)]),
    st.sampled_from(ZONES),
)


def examples(rounds: int) -> settings:
    """Try so many examples: the same in every gate, others in every soak."""
    return settings(max_examples=rounds, deadline=None, database=None, derandomize=rounds <= GATE)


@pytest.mark.parametrize(
    ("now", "end"),
    [
        pytest.param("2026-01-10T01:29:59Z", None, id="a second before it opens"),
        pytest.param("2026-01-10T01:30:00Z", "2026-01-10T02:30:00Z", id="as it opens"),
        pytest.param("2026-01-10T02:29:59Z", "2026-01-10T02:30:00Z", id="a second before it closes"),
        pytest.param("2026-01-10T02:30:00Z", None, id="as it closes"),
        pytest.param("2026-07-10T00:30:00Z", "2026-07-10T01:30:00Z", id="in summer an hour earlier"),
        pytest.param("2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z", id="2:30 does not exist: it opens at 3:00"),
        pytest.param("2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", id="2:30 is there twice: it opens once"),
        pytest.param("2026-10-25T01:45:00Z", None, id="the second 2:30 opens nothing"),
    ],
)
def test_a_window_of_berlin_is_open_at(now: str, end: str | None) -> None:
    assert end_of_present([NIGHT], at(now)) == (at(end) if end else None)


@pytest.mark.parametrize("schedule", ["* 2 * * *", "*/20 2 * * *"])
@pytest.mark.parametrize("now", ["2026-04-04T00:00:00Z", "2026-04-04T15:10:00Z", "2026-04-04T15:29:59Z"])
def test_clocks_that_go_back_by_half_an_hour_skip_no_start(schedule: str, now: str) -> None:
    # On Lord Howe Island 2:00 becomes 1:30, and half an hour later it is 2:00.
    window = Window(schedule, timedelta(minutes=1), "Australia/Lord_Howe")

    assert next_start([window], at(now)) == at("2026-04-04T15:30:00Z")


@pytest.mark.proof(gate=GATE, soak=SOAK)
def test_a_window_that_opens_is_open_until_its_duration_has_passed(rounds: int, figure: Figure) -> None:
    @examples(rounds)
    @given(WINDOWS, DAYS)
    def check(window: Window, now: datetime) -> None:
        start = next_start([window], now)

        assert start is not None
        assert start > now
        end = end_of_present([window], start)
        assert end == start + window.duration
        assert end_of_present([window], end - timedelta(seconds=1)) is not None

    check()
    figure(f"{rounds} times of opening")


@pytest.mark.proof(gate=GATE, soak=SOAK)
def test_between_windows_none_is_open(rounds: int, figure: Figure) -> None:
    inside = 0

    @examples(rounds)
    @given(WINDOWS, DAYS)
    def check(window: Window, now: datetime) -> None:
        nonlocal inside
        end = end_of_present([window], now)
        start = next_start([window], now)

        assert start is not None
        if end is None:
            assert end_of_present([window], start - timedelta(seconds=1)) is None
        else:
            inside += 1
            assert now < end <= now + window.duration

    check()
    figure(f"{rounds} times, {inside} of them within a window")


@pytest.mark.proof(gate=GATE, soak=SOAK)
def test_a_window_of_a_night_opens_once_a_day_and_has_its_length_through_each_change_of_clocks(
    rounds: int, figure: Figure
) -> None:
    """A walk from one opening to the next, which comes 23, 24 or 25 hours later."""
    lengths = set[timedelta]()

    @examples(rounds)
    @given(st.sampled_from(ZONES), NIGHTS, CHANGES)
    def check(zone: str, schedule: str, now: datetime) -> None:
        window = Window(schedule, timedelta(hours=4), zone)
        start = next_start([window], now)
        for _ in range(4):
            assert start is not None
            assert end_of_present([window], start) == start + window.duration
            assert end_of_present([window], start + window.duration) is None
            following = next_start([window], start)
            assert following is not None
            lengths.add(following - start)
            assert timedelta(hours=22, minutes=30) <= following - start <= timedelta(hours=25, minutes=30)
            start = following

    check()
    figure(f"{rounds} walks; from one opening to the next {min(lengths)} to {max(lengths)}")
    assert timedelta(days=1) in lengths
    assert len(lengths) > 1


def test_the_last_end_and_the_first_start_count_of_several_windows() -> None:
    windows = [Window("0 2 * * *", timedelta(hours=1)), Window("0 2 * * *", timedelta(hours=3))]

    assert end_of_present(windows, at("2026-01-10T02:30:00Z")) == at("2026-01-10T05:00:00Z")
    assert next_start([*windows, Window("0 1 * * *", timedelta(hours=1))], at("2026-01-10T06:00:00Z")) == at(
        "2026-01-11T01:00:00Z"
    )


@pytest.mark.parametrize(
    ("window", "problem"),
    [
        (Window("0 2 * * 6", timedelta(hours=4), "Europe/Berlin"), None),
        (Window("0 2 * * 6", timedelta(hours=4), "Europe/Bonn"), 'timeZone "Europe/Bonn" is unknown'),
        (Window("0 2 * *", timedelta(hours=4)), "does not have five fields"),
        (Window("0 0 2 * * *", timedelta(hours=4)), "does not have five fields"),
        (Window("0 25 * * *", timedelta(hours=4)), "is not valid: Bad hour"),
        (Window("0 0 31 2 *", timedelta(hours=4)), "is not valid: Bad day-of-month"),
    ],
)
def test_a_window_is_checked(window: Window, problem: str | None) -> None:
    found = why_invalid(window)

    assert found is None if problem is None else problem in (found or "")
