"""The workloads of reference/performance.md, each beside its limit program, one pair after the other.

The numbers of a pair are taken in the same minute on the same machine; only their ratio is meant to be read.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tallystick.install.installation import CONTROLLER, EXCHANGE, Installation
from tests.bench.measure import Figure, Pair, calibrate, cpu_seconds, resident_bytes, slope
from tests.bench.stage import ControllerProcess, Stage, bare
from tests.harness.audit_trail import Trail

Say = Callable[[str], None]
Json = dict[str, Any]

CONTROLLER_USER = Installation().service_account(CONTROLLER)
# A controller that is at rest has done what it wanted to; memory is read a moment later, when the frees are done.
SETTLE_SECONDS = 3.0
# Enough to see whether anything is written for nothing.
FEW = 100


@dataclass(frozen=True, slots=True)
class Size:
    """How much is done.

    Attributes:
        pairs: How often a workload and its limit are run, in turn.
        tokens: PairingTokens of W1.
        redemptions: Redemptions of W4, by each side in each pair.
        stored: How many PairingTokens there are when a controller starts, for W7 and for its memory; rising.
        looks: PairingTokens that a controller looks at first, in wF.
        connections: ConnectionConfigurations of wC.
        instances: Those that send heartbeats in wH, to `CONFIGURATIONS` of them.
        periods: Heartbeats of each instance in wH, on each side and in each pair.
        shared: JoinKeys of wK.
        sealed: JoinKeys of W6.
        period_seconds: From one to the next. Instances send one every 15 seconds; here time is short.
        fleets: Devices of W3, one fleet after the other; rising.
    """

    pairs: int = 5
    tokens: int = 1000
    redemptions: int = 300
    stored: tuple[int, ...] = (1000, 3000, 10000)
    looks: int = 10_000
    connections: int = 1000
    instances: int = 2000
    periods: int = 10
    period_seconds: float = 3.0
    shared: int = 1000
    sealed: int = 10_000
    fleets: tuple[int, ...] = (1000, 3000, 10_000)


def w1_and_w8(stage: Stage, beside: Stage, size: Size, say: Say) -> list[Figure]:
    """All tokens from the first create to Active, and what each has cost the API server.

    The bare client works on a plane of its own: on ours the controller would react to what it writes.
    """
    pairs = []
    with stage.controller() as controller:
        controller.wait_until_at_rest()
        for number in range(1, size.pairs + 1):
            pairs.append(_issue_pair(stage, beside, controller, size.tokens))
            say(f"W1 {number}/{size.pairs}: {pairs[-1].wall_ratio:.2f}x wall, {pairs[-1].cpu_ratio:.2f}x CPU")
        gets = controller.metric('tallystick_api_calls_total{[^}]*verb="get"}')
    nothing = writes_for_nothing(stage, "create", "pairingtokens", min(size.tokens, FEW))
    return [
        Figure.at_most("W1", "wall over the bare client", [pair.wall_ratio for pair in pairs], 1.25),
        Figure.at_most("W1", "CPU over the bare client", [pair.cpu_ratio for pair in pairs], 2.0),
        Figure.reported("W1", "seconds", [pair.seconds for pair in pairs]),
        Figure.reported("W1", "seconds, bare", [pair.limit_seconds for pair in pairs]),
        Figure.reported("W1", "CPU ms per token", [pair.cpu / size.tokens * 1000 for pair in pairs]),
        Figure.reported("W1", "CPU ms per token, bare", [pair.limit_cpu / size.tokens * 1000 for pair in pairs]),
        Figure.reported("W1", "calibration, after over before", [pair.drift for pair in pairs]),
        Figure.at_most("W8", "writes per token", [pair.writes for pair in pairs], 2.0),
        Figure.reported("W8", "GETs per token (the keyring every 5 s)", [gets / size.tokens / size.pairs]),
        Figure.at_most("W8", "writes of a restart and of re-applying all", nothing, 0.0),
    ]


def _issue_pair(stage: Stage, beside: Stage, controller: ControllerProcess, tokens: int) -> Pair:
    namespace, trail, steady = stage.namespace(), Trail(stage.plane.audit_log), calibrate()
    mark, before = trail.mark(), cpu_seconds(controller.pid)
    ours = bare("create", kubeconfig=stage.kubeconfig, namespace=namespace, count=tokens)
    controller.wait_until_at_rest()
    cpu = cpu_seconds(controller.pid) - before
    limit = bare(
        "issue",
        kubeconfig=beside.kubeconfig,
        controller=beside.kubeconfig_of(CONTROLLER),
        namespace=beside.namespace(),
        count=tokens,
    )
    return Pair(
        seconds=ours["seconds"],
        limit_seconds=limit["seconds"],
        cpu=cpu,
        limit_cpu=limit["cpu"],
        writes=len(trail.writes(namespace, since=mark, user=CONTROLLER_USER)) / tokens,
        drift=calibrate() / steady,
    )


def writes_for_nothing(stage: Stage, load: str, plural: str, count: int) -> list[float]:
    """Count what the controller writes when it is started anew, and when every object is edited to what it is.

    Args:
        stage: where no controller runs.
        load: the bare program that creates objects and waits for the operator.
        plural: their kind.
        count: how many.
    """
    namespace, trail = stage.namespace(), Trail(stage.plane.audit_log)
    with stage.controller() as controller:
        controller.wait_until_at_rest()
        bare(load, kubeconfig=stage.kubeconfig, namespace=namespace, count=count)
        controller.wait_until_at_rest()
    mark = trail.mark()
    with stage.controller() as controller:
        controller.wait_until_at_rest()
        found = stage.kubectl("--namespace", namespace, "get", plural, "-o", "json")
        stage.kubectl("--namespace", namespace, "replace", "-f", "-", given=found)
        # Another manager of the same fields: a change of each object, and of nothing that it says.
        stage.kubectl("--namespace", namespace, "apply", "--server-side", "--force-conflicts", "-f", "-", given=found)
        # What was written before this one is seen before it: when it is issued, nothing else is to come.
        bare(load, kubeconfig=stage.kubeconfig, namespace=stage.namespace(), count=1)
    return [float(len(trail.writes(namespace, since=mark, user=CONTROLLER_USER)))]


def w4(stage: Stage, size: Size, say: Say) -> list[Figure]:
    """Redemptions over TLS, beside a client that only swaps and creates; the controller rests meanwhile."""
    bare_pairs, reading_pairs = [], []
    with stage.operator() as up:
        namespace, count = stage.namespace(), size.redemptions
        bare("create", kubeconfig=stage.kubeconfig, namespace=namespace, count=3 * count * size.pairs)
        up.children[CONTROLLER].stop(grace=15.0)
        issued: dict[str, str] = bare("collect", kubeconfig=stage.kubeconfig, namespace=namespace)["tokens"]
        names, pid = iter(list(issued)), up.children[EXCHANGE].pid

        def some() -> list[str]:
            return [next(names) for _ in range(count)]

        def swap_and_create(*, reads: bool) -> Json:
            accounts = {"admin": stage.kubeconfig, "kubeconfig": stage.kubeconfig_of(EXCHANGE)}
            return bare("redeem", **accounts, namespace=namespace, names=some(), reads=reads)

        for number in range(1, size.pairs + 1):
            before = cpu_seconds(pid)
            ours = bare("post", url=up.url, ca_file=str(up.ca_file), tokens=[issued[name] for name in some()])
            cpu = cpu_seconds(pid) - before
            limit, reading = swap_and_create(reads=False), swap_and_create(reads=True)
            bare_pairs.append(Pair(ours["seconds"], limit["seconds"], cpu, limit["cpu"]))
            reading_pairs.append(Pair(ours["seconds"], reading["seconds"], cpu, reading["cpu"]))
            say(f"W4 {number}/{size.pairs}: {1 / bare_pairs[-1].wall_ratio:.2f}x the rate of swap and create")
    rates = [1 / pair.wall_ratio for pair in bare_pairs]
    reading_rates = [1 / pair.wall_ratio for pair in reading_pairs]
    return [
        Figure.at_least("W4", "rate over bare swap + create", rates, 0.9),
        Figure.reported("W4", "rate over a bare client that reads as often", reading_rates),
        Figure.reported("W4", "redemptions per second", [count / pair.seconds for pair in bare_pairs]),
        Figure.reported("W4", "CPU ms per redemption", [pair.cpu / count * 1000 for pair in bare_pairs]),
        Figure.reported(
            "W4", "CPU ms, bare, reading as often", [pair.limit_cpu / count * 1000 for pair in reading_pairs]
        ),
        Figure.reported("W4", "CPU ms, bare swap + create", [pair.limit_cpu / count * 1000 for pair in bare_pairs]),
    ]


def w7_and_memory(stage: Stage, size: Size, say: Say) -> list[Figure]:
    """Start a controller among more and more tokens: how long it takes, and what it weighs at rest."""
    namespace, stored, starts = stage.namespace(), 0, []
    for count in (0, *size.stored):
        if count > stored:
            with stage.controller() as controller:
                controller.wait_until_at_rest()
                name = stage.namespace() if stored else namespace
                bare("create", kubeconfig=stage.kubeconfig, namespace=name, count=count - stored)
            stored = count
        starts.append(_start_up(stage, stored))
        say(
            f"W7 {stored} tokens: {starts[-1].seconds:.1f} s, {starts[-1].cpu:.1f} s CPU, {starts[-1].rss / 1e6:.0f} MB"
        )
    empty, full = starts[0], starts[-1]
    counts, loaded = [float(start.count) for start in starts[1:]], starts[1:]
    return [
        Figure.reported("W7", f"seconds to rest among {full.count} tokens", [full.seconds]),
        Figure.reported("W7", "seconds to rest among none", [empty.seconds]),
        Figure.reported("W7", "start over LIST + parse, without the empty start", [_over_reading(empty, full)]),
        Figure.at_most(
            "W7", "exponent of CPU in tokens", [slope(counts, [start.cpu - empty.cpu for start in loaded])], 1.05
        ),
        Figure.at_most("idle", "empty operator, MB", [empty.rss / 1e6], 80.0),
        Figure.at_most("idle", f"kB per token among {full.count}", [(full.rss - empty.rss) / full.count / 1e3], 2.0),
    ]


@dataclass(frozen=True, slots=True)
class StartUp:
    """One start of a controller, and a bare client that reads the same objects."""

    count: int
    seconds: float
    cpu: float
    rss: float
    reading: float

    def __str__(self) -> str:
        return f"{self.count} tokens: {self.seconds:.1f} s, {self.cpu:.1f} s CPU, {self.rss / 1e6:.0f} MB"


def _over_reading(empty: StartUp, full: StartUp) -> float:
    return (full.seconds - empty.seconds) / (full.reading - empty.reading)


def _start_up(stage: Stage, count: int) -> StartUp:
    begun = time.monotonic()
    with stage.controller() as controller:
        controller.wait_until_at_rest()
        seconds, cpu = time.monotonic() - begun, cpu_seconds(controller.pid)
        time.sleep(SETTLE_SECONDS)  # the measurement itself: memory at rest
        rss = float(resident_bytes(controller.pid))
    reading = bare("read", kubeconfig=stage.kubeconfig)
    return StartUp(count, seconds, cpu, rss, reading["seconds"])
