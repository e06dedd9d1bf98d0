"""Which calls a failpoint counts, and which of them ends the process."""

import pytest

from tests.harness.failpoints import Call, Failpoint, points_of

SEAL = "replace:secrets/*-sealed"


def calls(*names: str, verb: str = "replace") -> list[Call]:
    return [Call(verb, "secrets", "edge", name) for name in names]


@pytest.mark.parametrize(
    "text", ["before:create:secrets:1:1", "after:get:pairingtokens:2:6", "after:replace:secrets/*-sealed:7:1"]
)
def test_a_failpoint_is_read_as_it_is_written(text: str) -> None:
    assert str(Failpoint.parse(text)) == text


def test_a_pattern_counts_all_objects_that_fit_it_together() -> None:
    point = Failpoint.parse(f"after:{SEAL}:2")

    counted = [point.counts(call) for call in calls("a-sealed", "b-sealed", "c")]

    assert counted[0] is not None
    assert counted[0] == counted[1]
    assert counted[2] is None
    assert point.counts(calls("a-sealed", verb="create")[0]) is None


def test_without_a_pattern_each_object_is_counted_for_itself() -> None:
    first, second = calls("a", "b")
    point = Failpoint.parse("after:replace:secrets:2")

    assert [point.counts(first), point.counts(second)] == [first, second]
    assert [str(point) for point in points_of([first, second, first])][-1] == "after:replace:secrets:2:1"
