"""Two features that reconcile one kind."""

from datetime import timedelta

import pytest

from tallystick.controller.followed import Followed, earliest
from tallystick.objects.ports import UnavailableError
from tallystick.objects.result import Result
from tests.fakes import NOON

LATER = NOON + timedelta(seconds=5)


class Reconciles:
    def __init__(self, log, name, result):
        self.log, self.name, self.result = log, name, result

    async def reconcile(self, namespace, name):
        self.log.append((self.name, namespace, name))
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


async def test_the_second_one_runs_after_the_first_one():
    log = []
    both = Followed(Reconciles(log, "first", Result(requeue_at=LATER)), Reconciles(log, "then", Result(NOON)))

    result = await both.reconcile("edge", "cams")

    assert log == [("first", "edge", "cams"), ("then", "edge", "cams")]
    assert result == Result(requeue_at=NOON)


async def test_the_second_one_waits_until_the_first_one_succeeds():
    log = []
    both = Followed(Reconciles(log, "first", UnavailableError("no")), Reconciles(log, "then", Result()))

    with pytest.raises(UnavailableError):
        await both.reconcile("edge", "cams")

    assert [line[0] for line in log] == ["first"]


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        (Result(), Result(), Result()),
        (Result(requeue_after=3.0), Result(requeue_after=1.0), Result(requeue_after=1.0)),
        (Result(requeue_after=3.0), Result(NOON), Result(NOON, 3.0)),
        (Result(failed=True, requeue_after=2.0), Result(LATER), Result(LATER, 2.0, failed=True)),
        (Result(), Result(failed=True), Result(failed=True)),
    ],
)
def test_the_earlier_time_counts_and_a_failure_stays_one(one, other, both):
    assert earliest(one, other) == earliest(other, one) == both
