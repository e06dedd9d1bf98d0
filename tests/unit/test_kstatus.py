"""What GitOps tools and `kubectl wait` make of each state: the table in docs/status.md is computed from the code."""

import pytest

from tests.kstatus.port import kstatus, wait_succeeds
from tests.kstatus.states import states
from tests.unit.test_docs import DOCS, rows, section

STATES = states()
TABLE = {
    f"{kind} {reason.strip('`')}": tuple(cells)
    for kind, reason, *cells in rows(section((DOCS / "status.md").read_text(), "Table"), "kind")
}


def test_the_table_has_a_row_for_each_state():
    assert set(TABLE) == set(STATES)


@pytest.mark.parametrize("name", STATES)
def test_v_a_state_has_the_result_that_the_table_promises(name):
    body = STATES[name]
    status = body["status"]
    said = {one["type"]: one["status"] for one in status["conditions"] if one["type"] != "LicenseValid"}
    said = {kind: value for kind, value in said.items() if kind == "Ready" or value == "True"}
    state = status["tokens"][0]["state"] if "tokens" in status else status["state"]
    ready = said.pop("Ready", "absent")

    also = ", ".join(said)
    wait = "succeeds" if wait_succeeds(body) else "waits"
    assert (state, ready, also, kstatus(body), wait) == TABLE[name]


def test_v_an_end_as_planned_fails_no_deployment_and_is_not_ready():
    ended = {name: body for name, body in STATES.items() if body["status"]["conditions"][0]["type"] == "Ended"}

    assert {kstatus(body) for body in ended.values()} == {"Current"}
    assert not any(wait_succeeds(body) for body in ended.values())
    assert len(ended) == 8


def test_v_an_object_that_is_not_reconciled_yet_is_in_progress():
    body = STATES["PairingToken Expired"]

    assert kstatus({**body, "metadata": {**body["metadata"], "generation": 2}}) == "InProgress"
