"""The API server dies in the middle of the work and comes back: nothing is lost, nothing is written twice (F13)."""

import collections
import inspect
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import pytest
import urllib3

from tallystick.controller.controller import ControllerSettings
from tallystick.crypto.keys import SigningKey
from tallystick.install.installation import CONTROLLER, EXCHANGE, Installation
from tests.harness.audit_trail import Mark, Trail
from tests.harness.objects import condition, secret_of, value_of
from tests.harness.own_system import OwnSystem, breakable_system
from tests.harness.pairing_site import Site
from tests.harness.plane import own_plane
from tests.harness.processes import poll
from tests.harness.proofs import Figure
from tests.harness.system import System

__all__ = ["breakable_system", "own_plane"]

Json = dict[str, Any]
Reported = TypeVar("Reported")

NAMES = [f"site-{number:03}" for number in range(200)]
REDEEMED = NAMES[::4]
ISSUED_BEFORE, REDEEMED_BEFORE = 60, 8
# So many writes may be under way when the API server dies: they may be stored without a line in its audit log.
IN_FLIGHT = int(inspect.signature(ControllerSettings).parameters["workers"].default)
# The backoff doubles from a quarter of a second, so that an outage of half a minute costs no more tries.
MOST_TRIES = 8
PATIENCE = 120.0


@dataclass
class Crowd:
    """Users who create tokens and clients who redeem them, each of whom asks again where there is no answer."""

    site: Site
    created: list[str] = field(default_factory=list)
    redeemed: dict[str, Json] = field(default_factory=dict)
    statuses: collections.Counter[int] = field(default_factory=collections.Counter)
    gone_home: threading.Event = field(default_factory=threading.Event)

    def create(self, names: Sequence[str]) -> None:
        for name in names:
            self._until(self._is_created, name)
            self.created.append(name)

    def redeem(self, names: Sequence[str]) -> None:
        for name in names:
            paired = partial(self._paired, key=SigningKey.generate("ES256"))
            self.redeemed[name] = self._until(paired, self._until(self._token_of, name))

    def _is_created(self, name: str) -> bool:
        answer = self.site.api.create(self.site.pairing_token(name))
        # It exists already if an earlier try was stored and its answer lost.
        return answer.succeeded or "already exists" in answer.message

    def _token_of(self, name: str) -> str:
        body = self.site.pairing_token(name)
        active = self.site.state_of(name) == ("Active", 1)
        return value_of(self.site.api.get(secret_of(body)), "token") if active else ""

    def _paired(self, token: str, key: SigningKey) -> Json:
        answer = self.site.exchange.redeem(token, key=key)
        self.statuses[answer.status] += 1
        return answer.body if answer.status == 200 else {}

    def _until(self, ask: Callable[[str], Reported], about: str) -> Reported:
        def reported() -> Reported | None:
            assert not self.gone_home.is_set(), "the test has ended"
            # No answer, or one of an API server that does not serve all of its kinds yet.
            with suppress(urllib3.exceptions.HTTPError, AssertionError, KeyError):
                return ask(about)
            return None

        found = poll(reported, seconds=PATIENCE)
        assert found is not None
        return found


@contextmanager
def at_work(crowd: Crowd) -> Iterator[None]:
    """Let the crowd work beside the block; both have ended at its end."""
    with ThreadPoolExecutor(8) as threads:
        try:
            work = [threads.submit(crowd.create, NAMES[number::4]) for number in range(4)]
            work += [threads.submit(crowd.redeem, REDEEMED[number::4]) for number in range(4)]
            yield
            for one in work:
                one.result()
        finally:
            crowd.gone_home.set()


def issued(site: Site) -> set[str]:
    """The names of the tokens that are on record."""
    found = site.api.find_all("PairingToken", site.namespace)
    return {one["metadata"]["name"] for one in found if one.get("status", {}).get("serial")}


def look_after(system: System, *, until: Callable[[], bool]) -> int:
    """Start again what ends, as a kubelet does; return how often that was.

    A leader that cannot renew its Lease for ten seconds ends, and on a busy machine the API server is away for longer.
    """
    restarted: list[str] = []

    def done() -> bool:
        system.up.restart_what_ended(restarted.append)
        return until()

    poll(done, seconds=PATIENCE)
    return len(restarted)


def tries_of(system: System, namespace: str) -> dict[str, int]:
    """How often the controller's work on a token has failed and was tried again, by its own log."""
    lines = (system.up.folder / f"{CONTROLLER}.log").read_text().splitlines()
    reported = [json.loads(line) for line in lines if '"reconciliation failed"' in line and f"'{namespace}'" in line]
    return collections.Counter(line["key"] for line in reported)


@dataclass(frozen=True, slots=True)
class Written:
    """What one process wrote about the tokens of a namespace, by the audit log of the API server."""

    done: collections.Counter[str]
    refused: int

    @classmethod
    def by(cls, account: str, trail: Trail, site: Site, since: Mark) -> "Written":
        writes = trail.writes(site.namespace, since=since, user=Installation().service_account(account))
        done = collections.Counter(write for write in writes if not write.endswith(")"))
        return cls(done, len(writes) - done.total())

    def count(self, kind: str) -> int:
        return sum(number for write, number in self.done.items() if write.startswith(kind))


CREATES, RECORDS, REMOVALS = "create secrets", "update pairingtokens/status", "delete secrets"
CLAIMS, MASTERS = "update pairingtokens/status", "create mastertokens"


@pytest.mark.proof(gate=1, soak=5)
def test_what_a_killed_api_server_left_undone_is_done_once(
    breakable_system: OwnSystem, rounds: int, figure: Figure
) -> None:
    for _ in range(rounds):
        survive_a_kill(breakable_system, breakable_system.site("killed"), figure)


def survive_a_kill(system: System, site: Site, figure: Figure) -> None:
    trail, crowd = Trail(system.plane.audit_log), Crowd(site)
    since = trail.mark()
    with at_work(crowd):
        poll(lambda: len(issued(site)) >= ISSUED_BEFORE and len(crowd.redeemed) >= REDEEMED_BEFORE)
        before = (len(issued(site)), len(crowd.created), len(crowd.redeemed))
        system.plane.kill_apiserver()
        system.plane.restart_apiserver()
        restarts = look_after(system, until=lambda: len(crowd.redeemed) == len(REDEEMED))
    restarts += look_after(system, until=lambda: len(issued(site)) == len(NAMES))
    trail.settled(site.api, site.namespace, since=since)

    controller, exchange = (Written.by(name, trail, site, since) for name in (CONTROLLER, EXCHANGE))
    tries = tries_of(system, site.namespace)
    figure(
        f"killed when {before[0]} of {len(NAMES)} were issued, {before[1]} created and {before[2]} of "
        f"{len(REDEEMED)} redeemed; controller: {controller.count(CREATES)} + {controller.count(RECORDS)} writes, "
        f"{controller.refused} refused in {sum(tries.values())} tries of {len(tries)} tokens; "
        f"exchange: {exchange.count(CLAIMS)} + {exchange.count(MASTERS)} writes, {exchange.refused} refused; "
        f"clients were told {dict(crowd.statuses)}; {restarts} restarts of a process"
    )
    # It died in the middle: some before, some after.
    assert before[0] < len(NAMES)
    assert before[1] < len(NAMES)
    assert before[2] < len(REDEEMED)
    assert_each_token_is_as_it_should(site)
    assert_one_master_token_for_each(site, crowd)
    # Nothing was written twice. A write that the dying API server stored may lack its line.
    assert set(controller.done.values()) | set(exchange.done.values()) == {1}
    for kind in (CREATES, RECORDS):
        assert len(NAMES) + 1 - IN_FLIGHT <= controller.count(kind) <= len(NAMES) + 1  # and the sentinel's
    for kind in (CLAIMS, MASTERS):
        assert len(REDEEMED) - 4 <= exchange.count(kind) <= len(REDEEMED)
    # What was refused was tried again, each after a pause: a Secret that is there already, the status, its report.
    assert controller.refused <= 3 * sum(tries.values())
    assert max(tries.values(), default=0) <= MOST_TRIES


def assert_each_token_is_as_it_should(site: Site) -> None:
    found = {one["metadata"]["name"]: one for one in site.api.find_all("PairingToken", site.namespace)}
    secrets = {one["metadata"]["name"] for one in site.api.find_all("Secret", site.namespace)}
    for name in NAMES:
        used = name in REDEEMED
        assert found[name]["status"]["state"] == ("Used" if used else "Active")
        assert condition(found[name], "Ready")["status"] == "True"
        assert (f"{name}-pairing-token" in secrets) is not used


def assert_one_master_token_for_each(site: Site, crowd: Crowd) -> None:
    masters = site.api.find_all("MasterToken", site.namespace)
    delivered = {answer["token_id"] for answer in crowd.redeemed.values()}
    assert len(delivered) == len(REDEEMED)
    assert sorted(one["spec"]["tokenID"] for one in masters) == sorted(delivered)
    assert set(crowd.statuses) <= {200, 503}
    assert all(site.is_active(answer["access_token"]) for answer in crowd.redeemed.values())
