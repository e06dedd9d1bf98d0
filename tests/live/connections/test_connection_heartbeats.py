"""Instances are counted for a day, through crashes of all parts, and forged heartbeats take nothing from others (S19).

By a clock of its own, which jumps by a day; and the only controller is killed here.
"""

import itertools
import json
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from tallystick.cli.identities import Identity
from tallystick.cli.settings import DEFAULT_NAMESPACE
from tallystick.install.installation import CONTROLLER, EXCHANGE
from tallystick.localplane.children import Child
from tallystick.localplane.plane import ControlPlane
from tallystick.tokens.keyrings import REFRESH_SECONDS
from tests.harness.api import Api
from tests.harness.audit_trail import Trail
from tests.harness.connections import a_connection, connected, slots, token_in
from tests.harness.controllers import LEASE, ControllerProcess, Controllers
from tests.harness.exchange import Exchange, another_client, replica
from tests.harness.fleets import (
    EXCHANGE_USER,
    Fleet,
    History,
    counts,
    grades,
    instance_map,
    stored_instances,
    wait_for_counts,
    wait_for_grades,
)
from tests.harness.own_system import OwnSystem
from tests.harness.processes import poll
from tests.harness.proofs import Figure
from tests.harness.system import System, running

Json = dict[str, Any]

# The two replicas, by the names under which they store their instances.
NEAR, FAR = "near", "far"
SECOND = timedelta(seconds=1)
DAY = timedelta(hours=24)
MOST_KEPT = 1_000  # S19
BATCH = 100


@dataclass(frozen=True, slots=True)
class Yard:
    """The running whole, and its clients."""

    system: System
    api: Api
    near: Exchange
    folder: Path

    def connection(self, name: str, *names: str) -> Json:
        """Make a ConnectionConfiguration with these slots, and return it once it has tokens."""
        return connected(self.api, a_connection("default", name, tokens=slots(*names or ("default",))))

    @contextmanager
    def far(self) -> Iterator[tuple[Exchange, Child]]:
        """Run another replica, which has a name of its own."""
        folder = self.folder / FAR
        with replica(self.system, folder, flags={"--replica-name": FAR}) as other:
            yield self.near.at(other.url), other.child

    def kill(self, *parts: str) -> None:
        """End parts as a crash would, and start them again."""
        for part in parts:
            child = self.system.up.children[part]
            child.kill()
            assert child.exit_status == -signal.SIGKILL
        if CONTROLLER in parts:
            self.api.delete(LEASE)  # to save the wait until it is over
        self.start_again()

    def start_again(self) -> None:
        """Start what has ended, and return once it is ready to serve."""
        self.system.up.restart_what_ended(lambda _: None)
        poll(lambda: self.near.ready().status == HTTPStatus.OK)


@pytest.fixture(scope="module")
def yard(vacant_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yard]:
    folder = tmp_path_factory.mktemp("presence")
    with OwnSystem.of(running(vacant_plane, folder / "up", variables={"HOSTNAME": NEAR})) as whole:
        yield Yard(whole, whole.admin, whole.exchange, folder)


# Each age, and how many of two instances are good, silent and a problem then: one is of that age, one a second younger.
AGES = [
    (timedelta(minutes=2), (1, 1, 0)),
    (timedelta(minutes=2) + SECOND, (0, 2, 0)),
    (timedelta(minutes=10), (0, 1, 1)),
    (timedelta(minutes=10) + SECOND, (0, 0, 2)),
    (DAY, (0, 0, 1)),
    (DAY + SECOND, (0, 0, 0)),
]


def test_a_silent_instance_is_graded_to_the_second_and_forgotten_after_a_day(yard: Yard) -> None:
    """And the record of a replica goes with its last instance, also of a replica that will never come back."""
    api, time_of_all, body = yard.api, yard.system.clock, yard.connection("ages")
    token = token_in(api, body)
    near, far = (instance_map(name) for name in (NEAR, FAR))

    with History.of(api, body) as history:
        with yard.far() as (at_far, child):
            start = _next_second(yard)
            time_of_all.stand_at(start)
            assert _fleet(yard.near, body, token, "press-1").beat() == {}
            time_of_all.stand_at(start + SECOND)
            assert _fleet(at_far, body, token, "press-2").beat() == {}
            wait_for_grades(api, body, (2, 0, 0))
            child.kill()
        for age, expected in AGES:
            time_of_all.stand_at(start + age)
            wait_for_grades(api, body, expected)
            if age == DAY:
                poll(lambda: api.find(near) is None)
                assert stored_instances(api, FAR, body).keys() == {"press-2"}
        poll(lambda: api.find(far) is None)
        time_of_all.advance(timedelta(0))
        assert _fleet(yard.near, body, token, "press-3").beat() == {}
        wait_for_counts(api, body, {"default": 1})
        reported = history.versions()

    assert stored_instances(api, NEAR, body).keys() == {"press-3"}
    known = [grades(version) for version in reported]
    # The first one may be counted before the second one is stored.
    assert _each_once(known[known.index((2, 0, 0)) :]) == [(2, 0, 0), *(grade for _, grade in AGES), (1, 0, 0)]


# What dies in a round, one after the other: the gate has the first round alone, in which both die.
DEATHS = ((EXCHANGE, CONTROLLER), (EXCHANGE,), (CONTROLLER,))


@pytest.mark.proof(gate=1, soak=15)
def test_no_crash_and_no_change_of_leader_lowers_a_count(yard: Yard, rounds: int, figure: Figure) -> None:
    """What a crash has taken from memory is stored: no count says that an old token is free while it is not."""
    api, seen = yard.api, 0
    for number in range(rounds):
        body = yard.connection(f"crashes-{number}", "old", "new")
        old, new = token_in(api, body, "old"), token_in(api, body, "new")
        fleet = _fleet(yard.near, body, old, "press-1", "press-2", "press-3")
        assert fleet.beat() == {}
        wait_for_counts(api, body, {"old": 3, "new": 0})

        with History.of(api, body) as history:
            yard.kill(*DEATHS[number % len(DEATHS)])
            fleet.register(new, "press-1")
            assert fleet.beat("press-1") == {}
            wait_for_counts(api, body, {"old": 2, "new": 1})
            with _standby(yard) as other:
                yard.system.up.children[CONTROLLER].stop(grace=60.0)
                poll(lambda other=other: other.leads)
                fleet.register(new, "press-2")
                assert fleet.beat("press-2") == {}
                wait_for_counts(api, body, {"old": 1, "new": 2})
                yard.start_again()
            reported = history.versions()

        assert {sum(grades(version)) for version in reported} == {3}
        assert _each_once([counts(version) for version in reported]) == [{"old": 2, "new": 1}, {"old": 1, "new": 2}]
        seen += len(reported)
    figure(
        f"{rounds} rounds of crashes and a change of leader, {seen} versions seen, none of which had lost an instance"
    )


def test_a_replica_that_stops_in_good_order_stores_the_heartbeats_of_the_last_seconds(yard: Yard) -> None:
    body = yard.connection("last-seconds")
    token = token_in(yard.api, body)
    with yard.far() as (at_far, child):
        fleet = _fleet(at_far, body, token, "press-1")
        assert fleet.beat() == {}
        poll(lambda: stored_instances(yard.api, FAR, body))
        fleet.register(token, "press-2")
        assert fleet.beat() == {}
        stored = stored_instances(yard.api, FAR, body).keys()

        assert child.stop(grace=60.0) == 0

    assert stored == {"press-1"}  # a change waits for seconds, so the other one was in memory alone
    assert stored_instances(yard.api, FAR, body).keys() == {"press-1", "press-2"}


def test_a_record_that_another_client_has_deleted_or_overwritten_comes_back(yard: Yard) -> None:
    """A ConfigMap can be written by whoever administers the namespace. It is self-reported, and ends no process."""
    api, body = yard.api, yard.connection("scribbles")
    near, elsewhere = instance_map(NEAR), instance_map("elsewhere")
    fleet = _fleet(yard.near, body, token_in(api, body), "press-1", "press-2")
    assert fleet.beat() == {}
    poll(lambda: len(stored_instances(api, NEAR, body)) == 2)
    stored, before = api.get(near), _processes(yard)

    labels = stored["metadata"]["labels"]
    scribbled = {**elsewhere, "metadata": {**elsewhere["metadata"], "labels": labels}, "data": _scribbles(body)}
    api.create(scribbled).must_succeed()
    try:
        api.replace({**stored, "data": _scribbles(body)}).must_succeed()
        fleet.register(token_in(api, body), "press-3")
        assert fleet.beat("press-3") == {}
        wait_for_counts(api, body, {"default": 3})

        api.delete(near).must_succeed()
        fleet.register(token_in(api, body), "press-4")
        assert fleet.beat("press-4") == {}
        wait_for_counts(api, body, {"default": 4})
        assert stored_instances(api, NEAR, body).keys() == {"press-1", "press-2", "press-3", "press-4"}
        assert _processes(yard) == before
    finally:
        api.delete(elsewhere)
        yard.start_again()


@pytest.mark.proof(gate=6, soak=150)
def test_forged_heartbeats_take_nothing_from_others_and_their_cost_is_bounded(
    yard: Yard, rounds: int, figure: Figure
) -> None:
    """S19: thousands of invented instances, which change their tokens as fast as they can. Rounds are seconds."""
    api, forged, honest = yard.api, yard.connection("forged", "old", "new"), yard.connection("honest", "old", "new")
    tokens = [token_in(api, forged, slot) for slot in ("old", "new")]
    fleet = _fleet(yard.near, honest, token_in(api, honest, "old"), "press-1", "press-2")
    fleet.register(token_in(api, honest, "new"), "press-3")
    trail, before = Trail(yard.system.plane.audit_log), _processes(yard)

    invented = [f"ghost-{number}" for number in range(1_500)]
    # Another replica has room for more, and so all of them together have more than are kept.
    more = [f"phantom-{number}" for number in range(20)]
    with yard.far() as (at_far, _), another_client(yard.system) as forger:
        assert fleet.beat() == {}
        assert _forge(forger, forged, invented, tokens[0]) == {HTTPStatus.NO_CONTENT}
        assert _forge(forger.at(at_far.url), forged, more, tokens[0]) == {HTTPStatus.NO_CONTENT}
        poll(lambda: _unlisted(api.get(forged)) >= len(more))
        assert len(stored_instances(api, NEAR, forged)) == MOST_KEPT
        wait_for_counts(api, honest, {"old": 2, "new": 1})

        with History.of(api, forged) as history, History.of(api, honest) as others:
            mark, began = trail.mark(), time.monotonic()
            sent = _alternate(forger, fleet, forged, invented, tokens, seconds=rounds)
            span = time.monotonic() - began
            stored = trail.writes(DEFAULT_NAMESPACE, since=mark, user=EXCHANGE_USER)
            # Of these two alone: what other tests have left behind grows old meanwhile, and is told of.
            names = {body["metadata"]["name"] for body in (forged, honest)}
            written = [write for write in trail.writes("default", since=mark) if write.split()[2] in names]
            reported, reported_of_others = history.versions(), others.versions()
        ready = [client.ready().status for client in (yard.near, at_far)]

    figure(
        f"{sent:,} forged heartbeats in {span:.0f} s: {len(stored)} writes of the exchange, "
        f"{len(written)} of the controller, "
        f"at most {max(sum(grades(version)) for version in reported):,} instances kept and about "
        f"{max(_unlisted(version) for version in reported):,} more counted"
    )
    assert sent > 10 * len(stored)
    assert {write.split()[1] for write in stored} == {"configmaps"}
    assert len(stored) <= 21 * span / 60 + 3
    assert len(written) <= span / REFRESH_SECONDS + 3
    assert {sum(grades(version)) for version in reported} == {MOST_KEPT}
    assert all(_unlisted(version) > 0 for version in reported)
    assert {tuple(sorted(counts(version).items())) for version in reported_of_others} == {(("new", 1), ("old", 2))}
    assert {grades(version) for version in reported_of_others} == {(3, 0, 0)}
    assert {_unlisted(version) for version in reported_of_others} == {0}
    assert (ready, _processes(yard)) == ([HTTPStatus.OK] * 2, before)


def _fleet(client: Exchange, body: Json, token: str, *names: str) -> Fleet:
    fleet = Fleet(client, body)
    fleet.register(token, *names)
    return fleet


def _next_second(yard: Yard) -> datetime:
    return yard.system.clock.now().replace(microsecond=0) + SECOND


def _each_once(values: list[Any]) -> list[Any]:
    """Leave out what is the same as the one before."""
    return [value for value, _ in itertools.groupby(values)]


def _unlisted(body: Json) -> int:
    found: int = body["status"].get("instances", {}).get("unlisted", 0)
    return found


def _processes(yard: Yard) -> dict[str, tuple[int, bool]]:
    return {name: (child.pid, child.running) for name, child in yard.system.up.children.items()}


def _standby(yard: Yard) -> AbstractContextManager[ControllerProcess]:
    """Run one more controller, as the system's own is run; it leads when that one ends."""
    identity = Identity(DEFAULT_NAMESPACE, CONTROLLER, yard.system.up.folder / "run")
    return Controllers.beside(yard.system, yard.api, identity).running()


def _scribbles(body: Json) -> dict[str, str]:
    """What is no line of ours: of the object itself, and of objects that are not there."""
    place = {"namespace": "default", "name": "scribbles"}
    lines: list[Any] = [
        {**place, "instances": {"press-9": [1, 10**18]}, "unlisted": -(10**30)},  # a time that no calendar has
        {**place, "instances": {"press-9": [1]}},
        {**place, "instances": {"press-9": ["1", None]}},
        {**place, "instances": ["press-9"]},
        {**place, "instances": {"press-9\x1b" + "9" * 40_000: [1, 1]}},
        [[[]]],
        None,
    ]
    texts = [*map(json.dumps, lines), "", "{", "9" * 5_000]
    return dict(zip((body["metadata"]["uid"], *(f"line-{number}" for number in range(1, 10))), texts, strict=True))


def _forge(client: Exchange, body: Json, invented: list[str], token: str) -> set[int]:
    """Send a heartbeat of each of these instances; return what the answers were."""
    connection = f"{body['metadata']['namespace']}/{body['metadata']['name']}"
    with ThreadPoolExecutor(8) as threads:
        return {
            answer.status for answer in threads.map(lambda name: client.heartbeat(token, connection, name), invented)
        }


def _alternate(
    forger: Exchange, honest: Fleet, forged: Json, invented: list[str], tokens: list[str], *, seconds: float
) -> int:
    """Change the tokens of all invented instances, again and again; the honest ones go on meanwhile."""
    until, sent = time.monotonic() + seconds, 0
    for token in itertools.cycle(reversed(tokens)):
        for start in range(0, len(invented), BATCH):
            batch = invented[start : start + BATCH]
            assert _forge(forger, forged, batch, token) == {HTTPStatus.NO_CONTENT}
            assert honest.beat() == {}
            sent += len(batch)
            if time.monotonic() > until:
                return sent
    raise AssertionError
