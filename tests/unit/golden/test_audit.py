"""Each decision is one audit line with the same fields, in the same order, as before."""

import json
import re

import pytest

from tests.unit.golden.audit_scenarios import all_lines
from tests.unit.golden.product import decisions_in_source
from tests.unit.golden.stored import assert_same

_VALUES = (
    (re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "<uuid>"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z"), "<time>"),
    (re.compile(r'"[A-Za-z0-9_-]{43}"'), '"<digest>"'),
    (re.compile(r"d-[a-z2-7]{26}"), "<device>"),
)


def normalized(line: str) -> str:
    """Put a word in place of each value that differs from run to run: ids, times, digests of keys."""
    for pattern, word in _VALUES:
        line = pattern.sub(word, line)
    return line


@pytest.fixture
async def lines() -> list[str]:
    return [normalized(line) for line in await all_lines()]


def test_lines(lines: list[str]) -> None:
    assert_same("audit.jsonl", "".join(f"{line}\n" for line in lines))


def test_each_decision_of_the_source_has_a_line(lines: list[str]) -> None:
    written = {(line["action"], line["outcome"]) for line in map(json.loads, lines)}
    in_source = decisions_in_source()

    assert {action for action, _ in written} == {action for action, _ in in_source}
    assert {decision for decision in in_source if decision[1] is not None} - written == set()
