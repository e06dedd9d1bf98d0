"""The rules of Device protect a device from being locked out, whatever is written, and by however old a writer.

The table of its rules is tried by tests/live/platform/test_rules_of_kinds.py.
"""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import seed as seeded

from tests.harness.api import Api
from tests.harness.proofs import Figure
from tests.harness.rule_cases import (
    objects_of,
)
from tests.live.fleet.fleet_plane import exchange
from tests.live.fleet.rules_device import (
    CHANGED,
    LEAST,
    OFFERED,
    offer,
)
from tests.live.fleet.stale_writers import STEPS, Accepted, StaleWriters, Step, Unguarded

__all__ = ["exchange"]

Json = dict[str, Any]


@pytest.fixture(scope="module")
def device(make_namespace: Callable[[str], str]) -> Callable[[Json], Json]:
    return objects_of("Device", make_namespace("device-rules"))


def test_a_status_that_is_emptied_cuts_no_device_off(exchange: Api, device: Any) -> None:
    body = device(LEAST)
    exchange.create(body).must_succeed()
    for status in (offer(2), {"generation": 2, "offer": None}):
        exchange.merge(body, {"status": status}, subresource="status").must_succeed()

    emptied = exchange.merge(body, {"status": None}, subresource="status")

    assert "a device's generation changes only to the one that it was offered" in emptied.message


# What a Device accepts: the generation that it has proved, and the one that it was offered.
PROVED, OFFERS = (None, 1, 2, 3, 4), (None, 1, 2, 3, 4, 5)
REACHABLE = [
    (proved, offered)
    for proved, offered in itertools.product(PROVED, OFFERS)
    if offered is None or offered > (proved or 1)
]


def keeps_the_promise(before: tuple[int | None, int | None], after: tuple[int | None, int | None]) -> bool:
    """Return whether each copy that a device can hold after the write before is accepted after this one."""
    (proved, offered), (now_proved, now_offered) = before, after
    same = (now_proved or 1) == (proved or 1)
    if offered is not None:
        return (same and now_offered == offered) or (now_offered is None and now_proved == offered)
    return same and (now_offered is None or now_offered > (now_proved or 1))


@pytest.mark.parametrize("before", REACHABLE, ids=str)
def test_the_schema_allows_exactly_the_writes_that_cut_no_device_off(
    exchange: Api, device: Any, before: tuple[int | None, int | None]
) -> None:
    """From each state, each write of a status, without a version. By induction no sequence of them cuts one off."""
    body = device(LEAST)
    exchange.create(body).must_succeed()
    for step in steps_to(before):
        exchange.merge(body, {"status": step}, subresource="status").must_succeed()

    allowed = {
        after
        for after in itertools.product(PROVED, OFFERS)
        if exchange.merge(body, {"status": members(after)}, subresource="status", dry_run=True).succeeded
    }

    assert allowed == {after for after in itertools.product(PROVED, OFFERS) if keeps_the_promise(before, after)}
    assert before in allowed


def members(state: tuple[int | None, int | None]) -> Json:
    """Write both members of a status; None removes one."""
    proved, offered = state
    return {"generation": proved, "offer": None} | (offer(offered) if offered is not None else {})


def steps_to(state: tuple[int | None, int | None]) -> list[Json]:
    """Return the writes that lead from a new Device to a state, by an offer and its proof."""
    proved, _ = state
    through_an_offer = [members((None, proved)), members((proved, None))] if proved is not None and proved > 1 else []
    return [*through_an_offer, members(state)]


class Guarded:
    """A Device on the API server. Each write replaces its status and names no version."""

    def __init__(self, exchange: Api, body: Json) -> None:
        self._exchange, self._body = exchange, body
        exchange.create(body).must_succeed()

    def read(self) -> Accepted:
        status = self._exchange.get(self._body)["status"]
        return Accepted(status.get("generation", 1), status.get("offer", {}).get("generation", 0))

    def write(self, wanted: Accepted) -> bool:
        status = {"generation": wanted.proved} | (offer(wanted.offered) if wanted.offered else {})
        answer = self._exchange.replace(self._body | {"status": status}, subresource="status")
        # Nothing else than the rules of the promise may reject such a write.
        assert answer.succeeded or OFFERED in answer.message or CHANGED in answer.message, answer.message
        return answer.succeeded


def locks_out(writers: StaleWriters, steps: list[Step]) -> bool:
    """Take steps until the device is locked out, and return whether it is."""
    for step in steps:
        writers.take(step)
        if writers.is_locked_out:
            return True
    return False


@pytest.mark.proof(gate=40, soak=1000)
def test_stale_writes_without_a_version_cut_no_device_off(
    exchange: Api, device: Any, rounds: int, figure: Figure
) -> None:
    totals = {"histories": 0, "writes rejected": 0, "proofs": 0, "lockouts without the rules": 0}

    @seeded(0)
    @settings(max_examples=rounds, deadline=None, database=None, phases=[Phase.generate, Phase.shrink])
    @given(STEPS)
    def run(steps: list[Step]) -> None:
        guarded, unguarded = StaleWriters(Guarded(exchange, device(LEAST))), StaleWriters(Unguarded())
        for step in steps:
            guarded.take(step)
            assert not guarded.is_locked_out, (steps, guarded)
        totals["lockouts without the rules"] += locks_out(unguarded, steps)
        totals["histories"] += 1
        totals["writes rejected"] += guarded.rejected
        totals["proofs"] += guarded.proofs

    run()

    figure(", ".join(f"{count} {what}" for what, count in totals.items()))
    assert all(totals.values()), totals
