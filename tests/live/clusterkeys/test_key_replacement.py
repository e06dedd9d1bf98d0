"""A key is replaced by a real controller while services in three namespaces sign and verify all the time.

Kubelet's part is a small reader that writes each copy into a folder, as late as it may. The clock stands, except where
the test moves it. It waits for the controller at each point of time at which something is due, so no overlap is longer
than it has to be, however busy the machine is.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.harness.api import Api
from tests.harness.clock import MovedClock
from tests.harness.cluster_keys import a_secret, raise_serial, wait_for_ready
from tests.harness.controllers import Controllers, controllers
from tests.harness.join_key_copies import OWN, places, shared
from tests.harness.objects import must
from tests.harness.processes import poll
from tests.harness.proofs import Figure
from tests.worlds.service_traffic import LIFETIME, LONGEST_DELAY, LONGEST_STEP, OVERLAP, ServiceTraffic

__all__ = ["controllers", "places"]

Json = dict[str, Any]

SERVICES = ("artifactory", "access", "xray")
TURNS_AFTER = 40
# Both phases, and the steps of the clock that go past the end of each.
LONGEST_REPLACEMENT = timedelta(seconds=2 * (OVERLAP + LONGEST_STEP))


@pytest.fixture
def clock(controllers: Controllers) -> Iterator[MovedClock]:
    clock = MovedClock(controllers.folder / "clock")
    clock.stand_at(clock.now() + timedelta(seconds=1))
    yield clock
    clock.go_on()


@dataclass
class Cluster:
    """A JoinKey that is shared, and its services."""

    api: Api
    clock: MovedClock
    body: Json
    traffic: ServiceTraffic

    @classmethod
    def begin(
        cls, api: Api, clock: MovedClock, where: tuple[str, str, str], folder: Path, *, overlap: str
    ) -> "Cluster":
        api.create(body := shared(where, services=list(SERVICES), overlap=overlap)).must_succeed()
        wait_for_ready(api, body, "Shared")
        traffic = ServiceTraffic(
            dict(zip(SERVICES, where, strict=True)),
            folder,
            lambda namespace: api.get(a_secret(namespace, OWN)),
            lambda: clock.now().timestamp(),
            random.Random(7),  # noqa: S311 - the delays of a test, the same each time
        )
        traffic.kubelets_read(at_once=True)
        return cls(api, clock, body, traffic)

    def live(self) -> None:
        """Let a little time pass: the controller, the kubelets and the services do what is due."""
        self.clock.stand_at(self.clock.now() + timedelta(seconds=self.traffic.step()))
        poll(self._is_up_to_date)
        self.traffic.turn()

    def ask_for_another_key(self) -> int:
        """Raise the serial, and return it once the controller has begun."""
        raise_serial(self.api, self.body)
        generation = self.api.get(self.body)["metadata"]["generation"]
        poll(lambda: self.status()["observedGeneration"] == generation)
        serial: int = self.api.get(self.body)["spec"]["serial"]
        return serial

    def is_replaced(self, version: int) -> bool:
        status = self.status()
        return (status["state"], status["keyVersion"]) == ("Active", version)

    def status(self) -> Json:
        status: Json = self.api.get(self.body)["status"]
        return status

    def _is_up_to_date(self) -> bool:
        """Return whether the controller has done what is due by now."""
        until = self.status().get("replacement", {}).get("until")
        return until is None or datetime.fromisoformat(until) > self.clock.now()


@pytest.mark.proof(gate=1_000, soak=10_000)
def test_no_token_is_refused_while_the_key_is_replaced(
    controllers: Controllers,
    places: tuple[str, str, str],
    clock: MovedClock,
    tmp_path: Path,
    rounds: int,
    figure: Figure,
) -> None:
    replaced = 0
    with controllers.leading():
        cluster = Cluster.begin(controllers.admin, clock, places, tmp_path, overlap=f"{OVERLAP}s")
        traffic = cluster.traffic
        while traffic.accepted < rounds:
            before, version = clock.now(), cluster.ask_for_another_key()
            while not cluster.is_replaced(version):
                cluster.live()
            assert clock.now() - before <= LONGEST_REPLACEMENT, "a phase is not longer than it has to be"
            replaced += 1

    figure(f"{traffic.accepted} tokens in {replaced} replacements, {len(traffic.refused)} refused")
    assert traffic.refused == []
    assert LONGEST_DELAY + LIFETIME <= OVERLAP


@pytest.mark.proof(gate=1, soak=20)
def test_a_replacement_at_once_refuses_nothing_after_the_last_service_has_read(
    controllers: Controllers,
    places: tuple[str, str, str],
    clock: MovedClock,
    tmp_path: Path,
    rounds: int,
    figure: Figure,
) -> None:
    counted, after = 0, 0
    with controllers.leading():
        cluster = Cluster.begin(controllers.admin, clock, places, tmp_path, overlap="0s")
        traffic = cluster.traffic
        for _ in range(rounds):
            version = cluster.ask_for_another_key()
            must(poll(lambda version=version: cluster.is_replaced(version)))
            newest = cluster.status()["fingerprint"]
            while not traffic.all_sign_with(newest):
                cluster.live()
            last_read = traffic.now()
            for _ in range(TURNS_AFTER):
                cluster.live()
            after += sum(one.signed_at >= last_read for one in traffic.refused)
            counted += len(traffic.refused)
            traffic.refused.clear()

    figure(f"{rounds} replacements at once: {counted} tokens refused, {after} signed after the last service has read")
    assert after == 0
    assert counted > 0, "the services were met by the replacement"
