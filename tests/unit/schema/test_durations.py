"""Go-style durations: hours, minutes and seconds in that order, and nothing else."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.schema.durations import parse_duration

parts = st.one_of(st.none(), st.integers(0, 999_999_999))


@given(hours=parts, minutes=parts, seconds=parts)
def test_what_is_written_is_read(hours, minutes, seconds):
    units = [(hours, "h"), (minutes, "m"), (seconds, "s")]
    text = "".join(f"{value}{unit}" for value, unit in units if value is not None)
    if not text:
        return

    expected = timedelta(hours=hours or 0, minutes=minutes or 0, seconds=seconds or 0)

    assert parse_duration(text) == expected


@given(st.text(max_size=12))
def test_any_text_is_read_or_refused_with_a_value_error(text):
    try:
        read = parse_duration(text)
    except ValueError:
        return

    assert read >= timedelta(0)
    assert set(text) <= set("0123456789hms")


@pytest.mark.parametrize(
    "text",
    ["", "5", "m", "5d", "1.5h", "-5m", "+5m", " 5m", "5m ", "5m\n", "30s5m", "5m5m", "5M", "٥m", "1000000000s", "5ms"],  # noqa: RUF001 - a digit that is not ASCII
)
def test_a_duration_is_not(text):
    with pytest.raises(ValueError, match="is not a duration; write for example 90s, 5m or 1h30m"):
        parse_duration(text)
