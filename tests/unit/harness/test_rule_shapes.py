"""The shapes of changes: the tables of rules run one case of each shape by every verb."""

from typing import Any, NamedTuple

import pytest

from tests.harness.rule_shapes import NO_CHANGE, one_of_each_shape, shapes

Json = dict[str, Any]

SCHEMA: Json = {
    "properties": {
        "mode": {"type": "string", "default": "Auto"},
        "policy": {"type": "object", "default": {}, "properties": {"ttl": {"type": "string", "default": "1h"}}},
    }
}


class Edit(NamedTuple):
    before: Json
    after: Json


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({"a": 1}, {"a": 1}, {NO_CHANGE}),
        ({}, {"a": 1}, {"scalar set"}),
        ({"a": 1}, {}, {"scalar unset"}),
        ({"a": 1}, {"a": 2}, {"scalar changed"}),
        ({"a": 1}, {"a": 2, "b": False}, {"scalar changed", "scalar set"}),
        ({}, {"a": "Küche"}, {"scalar set", "text beyond ASCII"}),
        ({"mode": "Manual"}, {}, {"scalar unset, default back"}),
        ({"policy": {"ttl": "2h"}}, {}, {"object unset, default back"}),
        ({"policy": {"ttl": "2h"}}, {"policy": {}}, {"member unset, default back"}),
        ({}, {"o": {"a": 1}}, {"object set", "member set"}),
        ({}, {"o": {}}, {"empty object set"}),
        ({"o": {"a": 1}}, {"o": {"a": 2, "b": 1}}, {"member changed", "member set"}),
        ({"o": {"a": 1, "b": 1}}, {"o": {"a": 1}}, {"member unset"}),
        ({"o": {"a": 1}}, {}, {"object unset"}),
        ({}, {"l": [1]}, {"list set"}),
        ({}, {"l": []}, {"empty list set"}),
        ({"l": [1]}, {}, {"list unset"}),
        ({"l": [1]}, {"l": []}, {"list emptied"}),
        ({"l": [1]}, {"l": [2, 1]}, {"item added"}),
        ({"l": [1]}, {"l": [1, 1]}, {"item added"}),
        ({"l": [1, 2]}, {"l": [2]}, {"item removed"}),
        ({"l": [1, 2]}, {"l": [2, 1]}, {"items reordered"}),
        ({"l": [{"a": 1}]}, {"l": [{"a": 2}]}, {"items changed"}),
    ],
    ids=str,
)
def test_a_change_has_the_shapes_that_it_is_made_of(before: Json, after: Json, expected: set[str]) -> None:
    assert shapes(Edit(before, after), SCHEMA) == expected


def test_of_each_shape_the_first_and_simplest_case_is_chosen() -> None:
    both, first, second, other = (
        Edit({"a": 1}, {"a": 2, "b": 1}),
        Edit({"a": 1}, {"a": 3}),
        Edit({"a": 1}, {"a": 4}),
        Edit({}, {"b": 1}),
    )

    assert one_of_each_shape([both, first, second, other], SCHEMA) == [first, other]
    assert one_of_each_shape([both, second], SCHEMA) == [second, both]
