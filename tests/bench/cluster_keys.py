"""W6 and wK: 10,000 join keys sealed again after a rotation, and JoinKeys from their create to Ready."""

import secrets
import time

from tallystick.clusterkeys.domain.keys import ClusterKey, Purpose
from tallystick.clusterkeys.domain.sealing import SealedFor, open_sealed, seal
from tallystick.install.installation import CONTROLLER
from tests.bench.bare_keys import MASTER_KEY
from tests.bench.measure import Figure, Pair, calibrate, cpu_seconds
from tests.bench.stage import ControllerProcess, Json, Stage, bare
from tests.bench.workloads import CONTROLLER_USER, Say, Size
from tests.harness.audit_trail import Trail

CREATE = "create-join-keys"
GETS = 'tallystick_api_calls_total{[^}]*verb="get"}'
CRYPTO_ROUNDS = 500


def shared_keys(stage: Stage, beside: Stage, size: Size, say: Say) -> list[Figure]:
    """All JoinKeys from the first create to Ready, each with one target."""
    pairs, count = [], size.shared
    with stage.controller() as controller:
        controller.wait_until_at_rest()
        for number in range(1, size.pairs + 1):
            pairs.append(_share_pair(stage, beside, controller, count))
            say(f"wK {number}/{size.pairs}: {pairs[-1].wall_ratio:.2f}x wall, {pairs[-1].cpu_ratio:.2f}x CPU")
    return [
        Figure.at_most("wK", "wall over the bare client", [pair.wall_ratio for pair in pairs], 1.25),
        Figure.reported("wK", "CPU over the bare client", [pair.cpu_ratio for pair in pairs]),
        Figure.reported("wK", "seconds", [pair.seconds for pair in pairs]),
        Figure.reported("wK", "seconds, bare", [pair.limit_seconds for pair in pairs]),
        Figure.reported("wK", "CPU ms per JoinKey", [pair.cpu / count * 1000 for pair in pairs]),
        Figure.reported("wK", "CPU ms per JoinKey, bare", [pair.limit_cpu / count * 1000 for pair in pairs]),
        Figure.reported("wK", "calibration, after over before", [pair.drift for pair in pairs]),
        Figure.at_most("wK", "writes per JoinKey", [pair.writes for pair in pairs], 5.0),
    ]


def _share_pair(stage: Stage, beside: Stage, controller: ControllerProcess, count: int) -> Pair:
    namespace, target, trail, steady = (
        with_master_key(stage),
        stage.namespace(),
        Trail(stage.plane.audit_log),
        calibrate(),
    )
    mark, before = trail.mark(), cpu_seconds(controller.pid)
    ours = bare(CREATE, kubeconfig=stage.kubeconfig, namespace=namespace, count=count, target=target)
    controller.wait_until_at_rest()
    cpu = cpu_seconds(controller.pid) - before
    accounts = {"kubeconfig": beside.kubeconfig, "controller": beside.kubeconfig_of(CONTROLLER)}
    where = {"namespace": beside.namespace(), "target": beside.namespace()}
    limit = bare("share", **accounts, **where, count=count, master_key=secrets.token_hex(32))
    writes = sum(len(trail.writes(where, since=mark, user=CONTROLLER_USER)) for where in (namespace, target))
    return Pair(ours["seconds"], limit["seconds"], cpu, limit["cpu"], writes / count, calibrate() / steady)


def resealed_keys(stage: Stage, beside: Stage, size: Size, say: Say) -> list[Figure]:
    """All join keys of a MasterKey, from the edit that rotates it until each is sealed with the new key."""
    count, crypto, pairs, gets = size.sealed, _crypto_seconds(), list[Pair](), list[float]()
    master_key, other = secrets.token_hex(32), beside.namespace()
    accounts = {"kubeconfig": beside.kubeconfig, "controller": beside.kubeconfig_of(CONTROLLER)}
    with stage.controller() as controller:
        controller.wait_until_at_rest()
        namespace = with_master_key(stage)
        bare(CREATE, kubeconfig=stage.kubeconfig, namespace=namespace, count=count, target=None)
        bare("share", **accounts, namespace=other, target=None, count=count, master_key=master_key)
        controller.wait_until_at_rest()
        say(f"W6: {count} JoinKeys are Ready")
        for number in range(1, size.pairs + 1):
            steady, newest = calibrate(), secrets.token_hex(32)
            ours = _rotate(stage, controller, namespace, count)
            limit = bare("reseal", **accounts, namespace=other, before=master_key, after=newest)
            master_key = newest
            seconds, cpu = (ours["seconds"], limit["seconds"]), (ours["cpu"], limit["round_cpu"])
            pairs.append(Pair(*seconds, *cpu, ours["writes"], calibrate() / steady))
            gets.append(ours["gets"])
            say(f"W6 {number}/{size.pairs}: {pairs[-1].wall_ratio:.2f}x wall, {pairs[-1].cpu_ratio:.2f}x CPU")
    return [
        Figure.at_most("W6", "wall over the bare client", [pair.wall_ratio for pair in pairs], 1.25),
        Figure.at_most("W6", "CPU over the bare client", [pair.cpu_ratio for pair in pairs], 2.5),
        Figure.reported("W6", "seconds", [pair.seconds for pair in pairs]),
        Figure.reported("W6", "seconds, bare", [pair.limit_seconds for pair in pairs]),
        Figure.reported("W6", "CPU ms per join key", [pair.cpu / count * 1000 for pair in pairs]),
        Figure.reported("W6", "CPU ms per join key, bare", [pair.limit_cpu / count * 1000 for pair in pairs]),
        Figure.reported("W6", "CPU ms of opening and sealing one", [crypto * 1000]),
        Figure.reported(
            "W6", "part of the CPU that is opening and sealing", [crypto * count / pair.cpu for pair in pairs]
        ),
        Figure.reported("W6", "calibration, after over before", [pair.drift for pair in pairs]),
        Figure.at_most("W6", "writes per join key", [pair.writes for pair in pairs], 2.1),
        Figure.reported("W6", "GETs per join key", gets),
    ]


def _rotate(stage: Stage, controller: ControllerProcess, namespace: str, count: int) -> Json:
    trail = Trail(stage.plane.audit_log)
    mark, before, gets = trail.mark(), cpu_seconds(controller.pid), controller.metric(GETS)
    ours = bare("rotate", kubeconfig=stage.kubeconfig, namespace=namespace)
    controller.wait_until_at_rest()
    return {
        "seconds": ours["seconds"],
        "cpu": cpu_seconds(controller.pid) - before,
        "gets": (controller.metric(GETS) - gets) / count,
        "writes": len(trail.writes(namespace, since=mark, user=CONTROLLER_USER)) / count,
    }


def with_master_key(stage: Stage) -> str:
    """Make a namespace with a MasterKey that is Ready."""
    namespace = stage.namespace()
    body = f"apiVersion: tallystick.dev/v1alpha1\nkind: MasterKey\nmetadata: {{name: {MASTER_KEY}}}\nspec: {{}}\n"
    stage.kubectl("--namespace", namespace, "apply", "-f", "-", given=body.encode())
    stage.kubectl(
        "--namespace", namespace, "wait", "--for=condition=Ready", f"masterkey/{MASTER_KEY}", "--timeout=120s"
    )
    return namespace


def _crypto_seconds() -> float:
    """Return the CPU seconds of what W6 computes for each join key: open, seal, and open again."""
    old, new = (ClusterKey.generate(Purpose.MASTER, 256, secrets.token_bytes) for _ in range(2))
    join_key = ClusterKey.generate(Purpose.JOIN, 256, secrets.token_bytes)
    about = SealedFor("JoinKey", "bench-1", "k1", "00000000-0000-4000-8000-000000000000", 1)
    sealed = seal(join_key, old, about, secrets.token_bytes)
    begun = time.process_time()
    for _ in range(CRYPTO_ROUNDS):
        opened = open_sealed(sealed, (new, old), about)
        if not isinstance(opened, ClusterKey):
            raise TypeError(opened.text)
        seal(opened, new, about, secrets.token_bytes)
    return (time.process_time() - begun) / CRYPTO_ROUNDS
