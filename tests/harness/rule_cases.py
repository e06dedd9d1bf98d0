"""Tables of rules: what a case is, and how a test runs for every case and every way to write."""

from typing import Any, NamedTuple

import pytest

from tests.harness.writers import STATUS_WRITERS, WRITERS

Json = dict[str, Any]


class Refused(NamedTuple):
    """Something that is refused: what was, what is asked for, and a part of the answer."""

    id: str
    before: Json
    after: Json
    text: str


class Allowed(NamedTuple):
    """Something that is allowed."""

    id: str
    before: Json
    after: Json


def by_id(cases: list[Any]) -> Any:
    return pytest.mark.parametrize("case", cases, ids=[case.id for case in cases])


every_writer = pytest.mark.parametrize("writer", WRITERS, ids=[writer.name for writer in WRITERS])
every_creator = pytest.mark.parametrize(
    "writer", [w for w in WRITERS if w.name != "replace"], ids=["kubectl apply", "create", "server-side apply"]
)
every_status_writer = pytest.mark.parametrize("write_status", STATUS_WRITERS.values(), ids=list(STATUS_WRITERS))
