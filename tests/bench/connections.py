"""wC: ConnectionConfigurations from the first create to all Ready, beside bare clients that write as much and less."""

import time
from dataclasses import dataclass

from tallystick.install.installation import CONTROLLER
from tests.bench.measure import Figure, Pair, calibrate, cpu_seconds, resident_bytes
from tests.bench.stage import ControllerProcess, Stage, bare
from tests.bench.workloads import CONTROLLER_USER, FEW, SETTLE_SECONDS, Say, Size, writes_for_nothing
from tests.harness.audit_trail import Trail

CREATE = "create-connections"
GETS = 'tallystick_api_calls_total{[^}]*verb="get"}'


@dataclass(frozen=True, slots=True)
class Round:
    """Our run beside two others: one that writes three times for each object, as we do, and one that writes twice."""

    same: Pair
    least: Pair
    gets: float


def connections(stage: Stage, beside: Stage, size: Size, say: Say) -> list[Figure]:
    """All objects from the first create to an Active token, and what each has cost the API server."""
    count, rounds = size.connections, []
    empty = _idle_bytes(stage)
    with stage.controller() as controller:
        controller.wait_until_at_rest()
        for number in range(1, size.pairs + 1):
            rounds.append(_round(stage, beside, controller, count))
            same, least = rounds[-1].same, rounds[-1].least
            say(f"wC {number}/{size.pairs}: {same.wall_ratio:.2f}x wall, {same.cpu_ratio:.2f}x CPU of three writes")
            say(f"wC {number}/{size.pairs}: {least.wall_ratio:.2f}x wall, {least.cpu_ratio:.2f}x CPU of two")
    weight = (_idle_bytes(stage) - empty) / count / size.pairs
    nothing = writes_for_nothing(stage, CREATE, "connectionconfigurations", min(count, FEW))
    same, least = [one.same for one in rounds], [one.least for one in rounds]
    return [
        Figure.at_most("wC", "wall over bare plan + Secret + status", [pair.wall_ratio for pair in same], 1.25),
        Figure.at_most("wC", "CPU over bare plan + Secret + status", [pair.cpu_ratio for pair in same], 2.0),
        Figure.reported("wC", "wall over bare Secret + status", [pair.wall_ratio for pair in least]),
        Figure.reported("wC", "CPU over bare Secret + status", [pair.cpu_ratio for pair in least]),
        Figure.reported("wC", "seconds", [pair.seconds for pair in same]),
        Figure.reported("wC", "seconds, bare, three writes", [pair.limit_seconds for pair in same]),
        Figure.reported("wC", "seconds, bare, two writes", [pair.limit_seconds for pair in least]),
        Figure.reported("wC", "CPU ms per object", [pair.cpu / count * 1000 for pair in same]),
        Figure.reported(
            "wC", "CPU ms per object, bare, three writes", [pair.limit_cpu / count * 1000 for pair in same]
        ),
        Figure.reported("wC", "CPU ms per object, bare, two writes", [pair.limit_cpu / count * 1000 for pair in least]),
        Figure.reported("wC", "calibration, after over before", [pair.drift for pair in same]),
        Figure.at_most("wC", "writes per object", [pair.writes for pair in same], 3.0),
        Figure.reported("wC", "GETs per object", [one.gets for one in rounds]),
        Figure.at_most("wC", "writes of a restart and of re-applying all", nothing, 0.0),
        Figure.reported("wC", f"kB per idle object among {count * size.pairs}", [weight / 1e3]),
    ]


def _round(stage: Stage, beside: Stage, controller: ControllerProcess, count: int) -> Round:
    namespace, trail, steady = stage.namespace(), Trail(stage.plane.audit_log), calibrate()
    mark, before, gets = trail.mark(), cpu_seconds(controller.pid), controller.metric(GETS)
    ours = bare(CREATE, kubeconfig=stage.kubeconfig, namespace=namespace, count=count)
    controller.wait_until_at_rest()
    cpu = cpu_seconds(controller.pid) - before
    gets = (controller.metric(GETS) - gets) / count
    writes = len(trail.writes(namespace, since=mark, user=CONTROLLER_USER)) / count
    accounts = {"kubeconfig": beside.kubeconfig, "controller": beside.kubeconfig_of(CONTROLLER)}
    same, least = (
        bare("connect", **accounts, namespace=beside.namespace(), count=count, plans=plans) for plans in (True, False)
    )
    drift = calibrate() / steady
    return Round(
        Pair(ours["seconds"], same["seconds"], cpu, same["cpu"], writes, drift),
        Pair(ours["seconds"], least["seconds"], cpu, least["cpu"], writes, drift),
        gets,
    )


def _idle_bytes(stage: Stage) -> float:
    """Start a controller among what is there, and weigh it at rest."""
    with stage.controller() as controller:
        controller.wait_until_at_rest()
        time.sleep(SETTLE_SECONDS)  # the measurement itself: memory at rest
        return float(resident_bytes(controller.pid))
