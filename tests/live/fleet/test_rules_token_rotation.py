"""A finished rotation is a record: its status cannot be emptied.

The table of the rules of TokenRotation is tried by tests/live/platform/test_rules_of_kinds.py.
"""

from collections.abc import Callable
from typing import Any

import pytest

from tests.harness.api import Api
from tests.harness.rule_cases import (
    controller,
    objects_of,
)
from tests.live.fleet.rules_token_rotation import (
    LEAST,
)

__all__ = ["controller"]

Json = dict[str, Any]


@pytest.fixture(scope="module")
def rotation(make_namespace: Callable[[str], str]) -> Callable[[Json], Json]:
    return objects_of("TokenRotation", make_namespace("rotation-rules"))


def test_a_status_that_is_emptied_keeps_a_record(admin: Api, controller: Api, rotation: Any) -> None:
    body = rotation(LEAST)
    admin.create(body).must_succeed()
    controller.merge(body, {"status": {"state": "Aborted"}}, subresource="status").must_succeed()

    emptied = controller.merge(body, {"status": None}, subresource="status")

    assert "a finished rotation is a record" in emptied.message
