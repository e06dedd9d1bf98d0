"""wH: heartbeats of many instances, beside a handler that verifies the same token and answers.

Time is short for those who send: a period takes 3 seconds instead of 15. What the exchange stores, it stores by real
time, so API writes are told for a real minute, whatever the heartbeats in it. Then all send once more as in life:
within 15 seconds, and each over a connection of its own, for the exchange hangs up on who says nothing for as long.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import urllib3

from tallystick.cli.settings import DEFAULT_NAMESPACE
from tallystick.cli.up import Up
from tallystick.connections.domain.heartbeat_records import HEARTBEAT_SECONDS
from tallystick.install.installation import CONTROLLER, EXCHANGE, Installation
from tests.bench.measure import Figure, Pair, cpu_seconds
from tests.bench.stage import LeastExchange, Stage, bare, metric
from tests.bench.workloads import CONTROLLER_USER, Say, Size
from tests.harness.audit_trail import Mark, Trail
from tests.harness.processes import poll

Json = dict[str, Any]

CONFIGURATIONS = 20
EXCHANGE_USER = Installation().service_account(EXCHANGE)
READS = 'tallystick_api_calls_total{[^}]*verb="(?:get|list)"}'
PATIENCE_SECONDS = 120.0
# What the last heartbeats have changed is stored and read by then.
REST_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Site:
    """The running whole with its configurations, whose instances send."""

    stage: Stage
    up: Up
    namespace: str
    trail: Trail
    tokens: dict[str, str] = field(repr=False)

    def beat(
        self, size: Size, *, periods: int = 1, at: LeastExchange | None = None, seconds: float = 0.0, keep: bool = True
    ) -> Json:
        """Let all instances send.

        Args:
            size: how many they are, and how long a period is.
            periods: how often.
            at: to whom; the exchange where it is None.
            seconds: another length of a period.
            keep: whether a connection serves more than one heartbeat.
        """
        return bare(
            "beat",
            url=at.url if at else self.up.url,
            ca_file=str(at.ca_file if at else self.up.ca_file),
            namespace=self.namespace,
            tokens=self.tokens,
            instances=size.instances,
            periods=periods,
            seconds=seconds or size.period_seconds,
            keep_alive=keep,
        )

    def writes(self, mark: Mark) -> "Writes":
        """What was written since a mark."""
        stored = self.trail.writes(DEFAULT_NAMESPACE, since=mark, user=EXCHANGE_USER)
        return Writes(len(stored), len(self.trail.writes(self.namespace, since=mark, user=CONTROLLER_USER)))

    def reads(self) -> float:
        """The requests of the exchange that read."""
        return metric(f"{self.up.health_url(EXCHANGE)}/metrics", READS)

    def known(self) -> int:
        """How many instances the statuses tell of as good."""
        path = "jsonpath={.items[*].status.instances.good}"
        found = self.stage.kubectl("--namespace", self.namespace, "get", "connectionconfigurations", "-o", path)
        return sum(int(number) for number in found.split())


@dataclass(frozen=True, slots=True)
class Writes:
    """ConfigMaps by the exchange, statuses by the controller."""

    maps: int
    statuses: int


@dataclass(frozen=True, slots=True)
class Round:
    """The same heartbeats to the exchange and to the least one; and then one of each instance as in life."""

    pair: Pair
    controller_cpu: float
    reads: float
    ours: Json
    least: Json
    life: Json
    life_cpu: float

    @property
    def failed(self) -> list[int]:
        return [answers["errors"] for answers in (self.ours, self.least, self.life)]


def heartbeats(stage: Stage, size: Size, say: Say) -> list[Figure]:
    """All instances come in, and then go on; what the operator does for it, and what a bare handler would."""
    with stage.operator() as up:
        site = _site(stage, up)
        mark = site.trail.mark()
        arrival = site.beat(size)
        poll(lambda: site.known() == size.instances, seconds=PATIENCE_SECONDS)
        came_in, mark, begun, rounds = site.writes(mark), site.trail.mark(), time.monotonic(), []
        with stage.least_exchange(issuer=up.url, jwks=_jwks(up)) as least:
            for number in range(1, size.pairs + 1):
                rounds.append(_round(site, least, size))
                ratio, failed = rounds[-1].pair.cpu_ratio, sum(rounds[-1].failed)
                say(f"wH {number}/{size.pairs}: {ratio:.2f}x CPU of a bare handler, {failed} failed")
        time.sleep(REST_SECONDS)  # the measurement itself: writes at rest
        minutes, went_on, known = (time.monotonic() - begun) / 60, site.writes(mark), site.known()
    failed = [arrival["errors"], *(number for one in rounds for number in one.failed)]
    return [
        *_costs(rounds),
        Figure.at_most("wH", "heartbeats without 204", failed, 0.0),
        Figure.at_least("wH", "share of the instances that the statuses tell of", [known / size.instances], 1.0),
        Figure.reported("wH", f"ConfigMap writes while {size.instances} instances come in", [came_in.maps]),
        Figure.reported("wH", "status writes meanwhile", [came_in.statuses]),
        Figure.at_most("wH", "ConfigMap writes per real minute, then", [went_on.maps / minutes], 2.0),
        Figure.at_most("wH", "status writes per real minute, then", [went_on.statuses / minutes], 0.0),
        Figure.reported("wH", "real minutes", [minutes]),
    ]


def _site(stage: Stage, up: Up) -> Site:
    namespace = stage.namespace()
    bare("create-connections", kubeconfig=stage.kubeconfig, namespace=namespace, count=CONFIGURATIONS)
    reported = {"kubeconfig": stage.kubeconfig, "namespace": namespace, "suffix": "-connection-token"}
    return Site(stage, up, namespace, Trail(stage.plane.audit_log), bare("collect", **reported)["tokens"])


def _jwks(up: Up) -> Json:
    with urllib3.PoolManager(ca_certs=str(up.ca_file)) as pool:
        found: Json = pool.request("GET", f"{up.url}/.well-known/jwks.json", timeout=5.0, retries=False).json()
        return found


def _round(site: Site, least: LeastExchange, size: Size) -> Round:
    ours_pid, controller_pid = (site.up.children[name].pid for name in (EXCHANGE, CONTROLLER))
    reads, cpu, controller_cpu = site.reads(), cpu_seconds(ours_pid), cpu_seconds(controller_pid)
    ours = site.beat(size, periods=size.periods)
    cpu, controller_cpu = cpu_seconds(ours_pid) - cpu, cpu_seconds(controller_pid) - controller_cpu
    reads = site.reads() - reads
    least_cpu = cpu_seconds(least.child.pid)
    limit = site.beat(size, periods=size.periods, at=least)
    least_cpu = cpu_seconds(least.child.pid) - least_cpu
    life_cpu = cpu_seconds(ours_pid)
    life = site.beat(size, seconds=HEARTBEAT_SECONDS, keep=False)
    return Round(
        Pair(ours["seconds"], limit["seconds"], cpu, least_cpu),
        controller_cpu,
        reads,
        ours,
        limit,
        life,
        cpu_seconds(ours_pid) - life_cpu,
    )


def _costs(rounds: Sequence[Round]) -> list[Figure]:
    def reported(name: str, of: Callable[[Round], float]) -> Figure:
        return Figure.reported("wH", name, [of(one) for one in rounds])

    def of_a_thousand(cpu: float, answers: Json) -> float:
        return cpu / answers["count"] * 1000

    return [
        reported("CPU over a bare handler", lambda one: one.pair.cpu_ratio),
        reported("exchange, CPU s per 1,000", lambda one: of_a_thousand(one.pair.cpu, one.ours)),
        reported("bare handler, CPU s per 1,000", lambda one: of_a_thousand(one.pair.limit_cpu, one.least)),
        reported("controller, CPU s per 1,000", lambda one: of_a_thousand(one.controller_cpu, one.ours)),
        reported("reads of the exchange per 1,000", lambda one: of_a_thousand(one.reads, one.ours)),
        reported("heartbeats per second", lambda one: one.ours["count"] / one.ours["seconds"]),
        reported("latency, ms, median", lambda one: one.ours["median_ms"]),
        reported("latency, ms, 99th percentile", lambda one: one.ours["p99_ms"]),
        reported("bare handler, ms, median", lambda one: one.least["median_ms"]),
        reported("bare handler, ms, 99th percentile", lambda one: one.least["p99_ms"]),
        reported("as in life, CPU s per 1,000", lambda one: of_a_thousand(one.life_cpu, one.life)),
        reported("as in life, latency, ms, median", lambda one: one.life["median_ms"]),
        reported("as in life, latency, ms, 99th percentile", lambda one: one.life["p99_ms"]),
    ]
