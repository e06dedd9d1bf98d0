"""Conditions in kstatus form, and when their times move."""

from datetime import timedelta

import pytest

from tallystick.objects.conditions import Verdict, conditions
from tests.fakes import NOON

LATER = NOON + timedelta(minutes=5)
READY = Verdict(ready=True, reason="Issued", message="here it is")
STALLED = Verdict(ready=False, reason="UnknownUseCase", message="no such", stalled=True)
WAITING = Verdict(ready=False, reason="Issuing", message="soon", reconciling=True)


def said(verdict, *, before=(), generation=1, now=NOON):
    return conditions(verdict, before=before, generation=generation, now=now)


def in_short(found):
    return {condition.type: str(condition.status) for condition in found}


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        (READY, {"Ready": "True"}),
        (STALLED, {"Ready": "False", "Stalled": "True"}),
        (WAITING, {"Ready": "False", "Reconciling": "True"}),
    ],
)
def test_stalled_and_reconciling_are_there_only_while_they_are_true(verdict, expected):
    assert in_short(said(verdict)) == expected


def test_a_condition_carries_the_verdict_and_the_generation():
    (ready,) = said(READY, generation=7)

    assert (ready.reason, ready.message, ready.observed_generation) == ("Issued", "here it is", 7)


def test_the_time_of_transition_stays_while_the_status_stays():
    before = said(STALLED)
    other = Verdict(ready=False, reason="SecretConflict", message="in the way", stalled=True)

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
    (ready,) = said(READY, now=NOON + timedelta(microseconds=1))

    assert ready.last_transition_time == NOON


def test_a_message_is_cut_to_what_the_schema_allows():
    (ready,) = said(Verdict(ready=True, reason="Issued", message="x" * 2000))

    assert len(ready.message) == 1024
