"""The watch names what comes next, with the seconds until then."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tallystick.fleet.domain.batches import Batch
from tallystick.fleet.domain.counts import Counts
from tallystick.fleet.domain.facts import Opening, RotationFacts, Strategy
from tallystick.fleet.domain.next_step import Observed, Open, Wait, next_step
from tallystick.fleet.domain.plan.texts import duration_text, field_duration, named, table_text
from tallystick.fleet.domain.plan.upcoming import what_next
from tallystick.fleet.domain.quantities import Quantity
from tallystick.fleet.domain.starting import started
from tallystick.fleet.domain.windows import Window
from tallystick.pairing.api.device_project import RotationState
from tests.fakes import NOON
from tests.worlds.rotating import a_rotation, a_target

NAMES = ("canary", "half", "rest")
HALF_DONE = (Counts(succeeded=2), Counts(pending=4, succeeded=6), Counts(pending=8))
DONE = (Counts(succeeded=2), Counts(succeeded=10), Counts(pending=8))


def running(**changes: object) -> RotationFacts:
    strategy = Strategy(
        batches=(Batch("canary", limit=Quantity(2)), Batch("half", limit=Quantity(10))),
        min_success_time=timedelta(minutes=1),
    )
    made = a_rotation(
        strategy=strategy,
        state=RotationState.RUNNING,
        generation=2,
        start_time=NOON,
        open=Opening(2),
        cuts=(None, None, None),
        done_times=(NOON, None, None),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rotation", "batches", "expected"),
    [
        pytest.param(running(), HALF_DONE, "batch 3 (rest) when 3 more of batch 2 succeed", id="too few successes"),
        pytest.param(
            running(done_times=(NOON, NOON - timedelta(seconds=20), None)), DONE, "batch 3 (rest) in 40s", id="soaking"
        ),
        pytest.param(
            running(done_times=(NOON, NOON - timedelta(hours=1), None)), DONE, "batch 3 (rest) now", id="done"
        ),
        pytest.param(
            running(done_times=(NOON, NOON - timedelta(hours=1), None), open_batches=2), DONE, None, id="a gate"
        ),
        pytest.param(running(open=None), HALF_DONE, "batch 1 (canary) now", id="nothing is open"),
        pytest.param(
            running(open=Opening(2, until=NOON), strategy=Strategy(windows=(Window("0 1 * * *", timedelta(hours=1)),))),
            HALF_DONE,
            None,
            id="the window is over",
        ),
        pytest.param(
            running(open=Opening(2, through="d-a003")),
            HALF_DONE,
            "more devices of batch 2 start as others finish",
            id="all places are taken",
        ),
        pytest.param(
            running(open=Opening(3)), DONE, "finished when 8 more devices have used the new copy", id="all are open"
        ),
        pytest.param(running(state=RotationState.PAUSED), DONE, None, id="paused"),
        pytest.param(running(), (), None, id="no counts yet"),
    ],
)
def test_what_comes_next(rotation: RotationFacts, batches: tuple[Counts, ...], expected: str | None) -> None:
    assert what_next(rotation, batches, NAMES, NOON) == expected


def test_the_deadline_is_named_when_all_batches_are_open() -> None:
    rotation = running(
        open=Opening(3), strategy=Strategy(batches=running().strategy.batches, deadline=timedelta(hours=2))
    )

    text = what_next(rotation, DONE, NAMES, NOON + timedelta(minutes=30))

    assert text == "finished when 8 more devices have used the new copy; the deadline is in 1h30m"


@pytest.mark.parametrize("seconds", [0, 30, 59, 60, 90])
def test_the_next_batch_opens_when_the_text_says_so(seconds: int) -> None:
    rotation = running(done_times=(NOON, NOON, None))
    now, target = NOON + timedelta(seconds=seconds), started(a_target(), rotation)
    observed = Observed(rotation, target, DONE, upcoming=("d-a012",))

    text, step = what_next(rotation, DONE, NAMES, now), next_step(observed, now)

    if seconds < 60:
        assert text == f"batch 3 (rest) in {60 - seconds if seconds else '1m'}{'s' if seconds else ''}"
        assert isinstance(step, Wait)
        assert step.until == NOON + timedelta(seconds=60)
    else:
        assert text == "batch 3 (rest) now"
        assert isinstance(step, Open)
        assert step.open.batch == 3


@pytest.mark.parametrize(
    ("duration", "text", "field"),
    [
        (timedelta(seconds=-3), "0s", "1m"),
        (timedelta(seconds=40.4), "40s", "1m"),
        (timedelta(seconds=125), "2m5s", "3m"),
        (timedelta(hours=3), "3h", "3h"),
        (timedelta(hours=3, minutes=20, seconds=9), "3h20m", "3h21m"),
        (timedelta(days=2, hours=4), "2d4h", "52h"),
    ],
)
def test_durations_are_short_for_people_and_valid_for_fields(duration: timedelta, text: str, field: str) -> None:
    assert (duration_text(duration), field_duration(duration)) == (text, field)


def test_names_and_tables() -> None:
    assert named(["a", "b"]) == "a, b"
    assert named(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"
    assert table_text(("A", "LONG"), [("wide", ""), ("x", "y")]) == "A      LONG\nwide\nx      y"
