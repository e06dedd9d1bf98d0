"""The tables of `kubectl get` fit on a screen of 120 columns, and no column says what is not true."""

import re
from typing import Any

import pytest

from tallystick.registry import KINDS
from tallystick.schema.meta import Column
from tests.kstatus.states import states

Json = dict[str, Any]

SCREEN = 120
GAP = 3  # kubectl writes three spaces between two columns
NAMESPACE, NAME = "manufacturing-eu", "press-line-7-to-site"
STATES = states()
COLUMNS = {kind.resource.kind: kind.model.COLUMNS for kind in KINDS}


def cell(body: Json, column: Column) -> str:
    """Evaluate the path of a column, as the API server does."""
    if column.type == "date":
        return "364d"
    found: Any = body
    for name, index in re.findall(r"\.(\w+)(?:\[(\d+)\])?", column.json_path):
        found = found.get(name) if found is not None else None
        if index and found is not None:
            found = found[int(index)] if len(found) > int(index) else None
    return "" if found is None else str(found)


def width(body: Json) -> int:
    """Return the width of the row of `kubectl get -A`, or of its header where that is wider."""
    name = body["metadata"]["name"] if body["kind"] == "MasterToken" else NAME
    shown = [column for column in COLUMNS[body["kind"]] if column.priority == 0]
    cells = [("NAMESPACE", NAMESPACE), ("NAME", name), *((column.name, cell(body, column)) for column in shown)]
    return sum(max(len(header), len(text)) for header, text in cells) + GAP * (len(cells) - 1)


@pytest.mark.parametrize("name", STATES)
def test_w_a_row_of_kubectl_get_in_all_namespaces_fits_on_a_screen(name):
    body = STATES[name]

    assert width(body) <= SCREEN
    reason = next((column for column in COLUMNS[body["kind"]] if column.name == "Reason"), None)
    assert reason is None or cell(body, reason) == name.split()[1]


@pytest.mark.parametrize("kind", COLUMNS)
def test_w_no_column_counts_down_to_an_end_that_has_come(kind):
    assert "Expires In" not in {column.name for column in COLUMNS[kind]}
