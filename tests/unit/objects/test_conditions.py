"""Conditions in kstatus form, and when their times move."""

from datetime import timedelta
from enum import StrEnum

import pytest

from tallystick.objects.conditions import (
    DesiredCondition,
    Progress,
    Readiness,
    Verdict,
    conditions,
    ended,
    failed,
    ready,
    reconciling,
    stalled,
)
from tests.fakes import NOON

LATER = NOON + timedelta(minutes=5)


class Reason(StrEnum):
    ISSUED = "Issued"
    UNKNOWN_USE_CASE = "UnknownUseCase"
    ISSUING = "Issuing"
    SECRET_CONFLICT = "SecretConflict"


READY = ready(Reason.ISSUED, "here it is")
STALLED = stalled(Reason.UNKNOWN_USE_CASE, "no such")
RECONCILING = reconciling(Reason.ISSUING, "soon")


def said(readiness, *, before=(), generation=1, now=NOON, further=()):
    return conditions(readiness, before=before, generation=generation, now=now, further=further)


def in_short(found):
    return {condition.type: str(condition.status) for condition in found}


@pytest.mark.parametrize(
    ("readiness", "expected"),
    [
        (READY, {"Ready": "True"}),
        (STALLED, {"Ready": "False", "Stalled": "True"}),
        (RECONCILING, {"Ready": "False", "Reconciling": "True"}),
    ],
)
def test_stalled_and_reconciling_are_there_only_while_they_are_true(readiness, expected):
    assert in_short(said(readiness)) == expected


@pytest.mark.parametrize("progress", list(Progress))
def test_of_ready_reconciling_and_stalled_exactly_one_is_true(progress):
    """Whatever value a `Readiness` is built of, it cannot express two of them at once."""
    found = in_short(said(Readiness(progress, Reason.ISSUED, "")))

    assert [kind for kind, status in found.items() if status == "True"] == [progress.value]


def test_a_condition_carries_the_readiness_and_the_generation():
    found = said(STALLED, generation=7)

    expected = ("UnknownUseCase", "no such", 7)
    assert [(one.reason, one.message, one.observed_generation) for one in found] == [expected, expected]


def test_further_conditions_follow_as_they_are():
    further = [
        DesiredCondition("LicenseValid", status=False, reason=Reason.ISSUING, message="over"),
        DesiredCondition("InstancesCutOff", status=True, reason=Reason.ISSUED, message="one"),
    ]

    found = said(READY, further=further)

    assert in_short(found) == {"Ready": "True", "LicenseValid": "False", "InstancesCutOff": "True"}
    assert [(one.reason, one.message) for one in found[1:]] == [("Issuing", "over"), ("Issued", "one")]


def test_the_time_of_transition_stays_while_the_status_stays():
    before = said(STALLED)
    other = stalled(Reason.SECRET_CONFLICT, "in the way")

    after = said(other, before=before, generation=2, now=LATER)

    assert [c.last_transition_time for c in after] == [NOON, NOON]
    assert {c.reason for c in after} == {"SecretConflict"}


def test_the_time_of_transition_moves_with_the_status():
    after = said(READY, before=said(STALLED), now=LATER)

    assert [c.last_transition_time for c in after] == [LATER]


def test_a_condition_that_comes_back_is_new():
    gone = said(READY, before=said(STALLED), now=LATER)

    again = said(STALLED, before=gone, now=LATER + timedelta(minutes=5))

    assert {c.last_transition_time for c in again} == {LATER + timedelta(minutes=5)}


def test_times_are_whole_seconds():
    (found,) = said(READY, now=NOON + timedelta(microseconds=1))

    assert found.last_transition_time == NOON


def test_a_message_is_cut_to_what_the_schema_allows():
    (found,) = said(ready(Reason.ISSUED, "x" * 2000))

    assert len(found.message) == 1024


@pytest.mark.parametrize(
    ("readiness", "expected"),
    [
        (READY, {"Succeeded": "True"}),
        (RECONCILING, {"Succeeded": "Unknown", "Reconciling": "True"}),
        (STALLED, {"Succeeded": "Unknown", "Stalled": "True"}),
        (ended(Reason.ISSUED, "as ordered"), {"Succeeded": "False"}),
        (failed(Reason.ISSUED, "too late"), {"Succeeded": "False", "Stalled": "True"}),
    ],
)
def test_a_piece_of_work_has_succeeded_only_when_it_is_over(readiness, expected):
    found = conditions(readiness, before=(), generation=1, now=NOON, verdict=Verdict.SUCCEEDED)

    assert in_short(found) == expected
    assert {one.reason for one in found} == {readiness.reason.value}
