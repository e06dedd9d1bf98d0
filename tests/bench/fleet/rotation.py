"""W3: a rotation of a fleet of simulated devices by the real processes, beside what the same would cost at least.

1 % of the devices are slow, and 1 % never come. There are five batches, and 200 check-ins a second: the period grows
with the fleet. What is idle is measured before the rotation, with all check-ins at one replica.
"""

import math
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from tallystick.fleet.domain.batches import Batch
from tallystick.fleet.domain.copies import idle_reading_age
from tallystick.fleet.domain.facts import Strategy
from tallystick.fleet.domain.quantities import Quantity
from tallystick.install.installation import EXCHANGE, Installation
from tallystick.localplane.children import Child
from tests.bench.fleet.ground import Ground
from tests.bench.fleet.processes import Load, Server, bare_watch, least_handler, replicas
from tests.bench.fleet.virtual import VirtualFleet
from tests.bench.measure import calibrate, cpu_seconds, resident_bytes
from tests.bench.stage import ControllerProcess, Stage
from tests.bench.workloads import CONTROLLER_USER, SETTLE_SECONDS, Say, Size
from tests.harness.audit_trail import Trail
from tests.harness.processes import poll

Json = dict[str, Any]

EXCHANGE_USER = Installation().service_account(EXCHANGE)
CHECK_INS_PER_SECOND = 200
LEAST_PERIOD = 5  # seconds; the API accepts no shorter one
REPLICAS = 2
SHARE_SLOW, SHARE_NEVER, PACE_OF_SLOW = 0.01, 0.01, 4.0
BATCHES = 5
LIMIT_PERCENT = 100 // BATCHES
STRATEGY = {"batches": [{"name": f"batch-{number}", "limit": f"{LIMIT_PERCENT}%"} for number in range(1, BATCHES)]}
IDLE_SECONDS, LOOK_SECONDS = 15.0, 0.1
COUNTED_WITHIN = 60.0
LEAST_SHARE_OF_A_CORE = 0.1


@dataclass(frozen=True, slots=True)
class Idle:
    """Some seconds in which all devices check in at one replica, and as many at the least handler."""

    cpu: float
    least_cpu: float
    gets: float
    ours: Json
    least: Json

    @property
    def cpu_ratio(self) -> float:
        """The CPU of a check-in over that of the least handler."""
        return self.cpu / self.ours["check_ins"] / self.least_per_check_in

    @property
    def least_per_check_in(self) -> float:
        """The CPU of the least handler for one check-in, in seconds."""
        return self.least_cpu / float(self.least["check_ins"])


@dataclass(frozen=True, slots=True)
class Used:
    """What the processes have used so far: CPU in seconds, and the GETs of all replicas."""

    controller: float
    watch: float
    exchange: float
    gets: float

    @classmethod
    def now(cls, ground: Ground, watch_pid: int) -> "Used":
        cpu, gets = sum(server.cpu for server in ground.servers), sum(server.gets for server in ground.servers)
        return cls(cpu_seconds(ground.controller.pid), cpu_seconds(watch_pid), cpu, gets)

    def since(self, before: "Used") -> "Used":
        return Used(
            self.controller - before.controller,
            self.watch - before.watch,
            self.exchange - before.exchange,
            self.gets - before.gets,
        )


@dataclass(frozen=True, slots=True)
class Rotated:
    """One rotation of a fleet: until all devices that come have used the new copy.

    `longer_batch` are the seconds by which a batch takes longer than if it is served in no time, on average.
    """

    devices: int
    idle: list[Idle]
    seconds: float
    virtual_seconds: float
    longer_batch: float
    counted_after: float
    succeeded: int
    device_writes: int
    controller_writes: int
    used: Used
    seen: Json
    drift: float

    @property
    def wall_ratio(self) -> float:
        return self.seconds / self.virtual_seconds


def rotate_fleets(stage: Stage, size: Size, say: Say) -> tuple[list[Rotated], float]:
    """Rotate one fleet after the other, each in a namespace of its own.

    Returns:
        What each rotation has shown, and the bytes of a controller for each Device, at rest among all of them.
    """
    empty, rotated = _bytes_at_rest(stage), list[Rotated]()
    with stage.controller() as controller, replicas(stage, REPLICAS) as servers:
        controller.wait_until_at_rest()
        for count in size.fleets:
            rotated.append(_rotated(stage, controller, servers, count, size.pairs))
            one, idle = rotated[-1], ", ".join(f"{idle.cpu_ratio:.2f}x" for idle in rotated[-1].idle)
            say(f"W3 {count}: {one.seconds:.0f} s, {one.wall_ratio:.2f}x served in no time; check-ins {idle} CPU")
    return rotated, (_bytes_at_rest(stage) - empty) / sum(size.fleets)


def _rotated(stage: Stage, controller: ControllerProcess, servers: Sequence[Server], count: int, pairs: int) -> Rotated:
    period = max(LEAST_PERIOD, count // CHECK_INS_PER_SECOND)
    ground = Ground(stage, controller, servers, stage.namespace(), count, period)
    ground.apply_project()
    with ExitStack() as stack:
        watch = stack.enter_context(bare_watch(stage))
        poll(lambda: _is_idle(watch))
        load = stack.enter_context(Load.start(stage))
        load.do("aim", urls=ground.urls)
        ground.create_devices(load)
        ground.wait_until_counted()
        with least_handler(stage, jwks=servers[0].jwks(), period=period) as least:
            idle = [_idle(load, servers[0], least, _idle_seconds(count)) for _ in range(pairs)]
        load.do("aim", urls=ground.urls)
        found = _rotate(ground, load, watch.pid, idle)
    ground.abort()
    return found


def _idle_seconds(devices: int) -> float:
    """As long as readings of Devices may be used, or a multiple: a part of it has as many GETs as were before it."""
    age = idle_reading_age(devices).total_seconds()
    return age * math.ceil(IDLE_SECONDS / age)


def _idle(load: Load, server: Server, least: Server, seconds: float) -> Idle:
    """Let all devices check in for some seconds at the exchange, and as long at the least handler."""
    load.do("aim", urls=[server.url])
    gets, begun = server.gets, time.monotonic()
    cpu, ours = _some_seconds(load, server, seconds)
    gets = (server.gets - gets) / (time.monotonic() - begun)
    load.do("aim", urls=[least.url])
    least_cpu, limit = _some_seconds(load, least, seconds)
    return Idle(cpu, least_cpu, gets, ours, limit)


def _some_seconds(load: Load, server: Server, seconds: float) -> tuple[float, Json]:
    load.do("report")
    cpu = server.cpu
    time.sleep(seconds)  # the measurement itself
    return server.cpu - cpu, load.do("report")


def _rotate(ground: Ground, load: Load, watch_pid: int, idle: list[Idle]) -> Rotated:
    slow, never = math.ceil(ground.devices * SHARE_SLOW), math.ceil(ground.devices * SHARE_NEVER)
    come, trail, steady = ground.devices - never, Trail(ground.stage.plane.audit_log), calibrate()
    load.do("report")
    timetable = load.do("lag", slow=slow, never=never, pace=PACE_OF_SLOW, period=ground.period)["timetable"]
    mark, before, begun = trail.mark(), Used.now(ground, watch_pid), time.monotonic()
    ground.rotate(STRATEGY)
    while load.do("proved", generation=2)["count"] < come:
        time.sleep(LOOK_SECONDS)  # how exact the measurement is
    ended = time.monotonic()
    used, seen, drift = Used.now(ground, watch_pid).since(before), load.do("report"), calibrate() / steady
    poll(lambda: ground.counts().get("succeeded") == come, seconds=COUNTED_WITHIN)
    counted_after = time.monotonic() - ended
    by_exchange = trail.writes(ground.namespace, since=mark, user=EXCHANGE_USER)
    fleet = VirtualFleet([tuple(row) for row in timetable], _strategy(), timedelta(seconds=ground.period))
    virtual_seconds, last = fleet.seconds_until(come), BATCHES - 1  # the batch after it waits for the slow devices
    longer = (ground.seconds_until_done()[last - 1] - fleet.seconds_until_done[last - 1]) / last
    return Rotated(
        devices=ground.devices,
        idle=idle,
        seconds=ended - begun,
        virtual_seconds=virtual_seconds,
        longer_batch=longer,
        counted_after=counted_after,
        succeeded=come,
        device_writes=sum("devices/status" in one and "(" not in one for one in by_exchange),
        controller_writes=len(trail.writes(ground.namespace, since=mark, user=CONTROLLER_USER)),
        used=used,
        seen=seen,
        drift=drift,
    )


def _strategy() -> Strategy:
    limit = Quantity.percent(LIMIT_PERCENT)
    return Strategy(batches=tuple(Batch(one["name"], limit=limit) for one in STRATEGY["batches"]))


def _bytes_at_rest(stage: Stage) -> float:
    with stage.controller() as controller:
        controller.wait_until_at_rest()
        time.sleep(SETTLE_SECONDS)  # the measurement itself: memory at rest
        return float(resident_bytes(controller.pid))


def _is_idle(child: Child) -> bool:
    """Whether a process has begun, and has used little of a core in the last second."""
    before = cpu_seconds(child.pid)
    time.sleep(1.0)  # the measurement itself
    assert child.running, child.exit_text()
    return before > LEAST_SHARE_OF_A_CORE and cpu_seconds(child.pid) - before < LEAST_SHARE_OF_A_CORE
