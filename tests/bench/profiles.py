"""What costs most: the controller while it issues, connects or seals, the exchange while it redeems, under cProfile."""

import pstats
from collections.abc import Collection
from pathlib import Path

from rich.table import Table

from tallystick.install.installation import CONTROLLER, EXCHANGE
from tests.bench.cluster_keys import CREATE as CREATE_JOIN_KEYS
from tests.bench.cluster_keys import with_master_key
from tests.bench.connections import CREATE
from tests.bench.stage import Stage, bare
from tests.bench.workloads import Size

SHOWN = 25
# More join keys take longer and show the same.
MOST_JOIN_KEYS = 1000


def profile(stage: Stage, size: Size, workloads: Collection[str]) -> Table:
    """Run W1 and W4, wC or W6 once more, and list the functions that took most of the time by themselves."""
    table = Table("process", "own %", "with callees %", "calls", "function")
    if "wC" in workloads:
        _add_rows(table, "wC", _while_connecting(stage, size))
    if "w6" in workloads:
        _add_rows(table, "W6", _while_sealing(stage, size))
    if {"w1", "w4"} & set(workloads):
        controller, exchange = _while_issuing_and_redeeming(stage, size)
        _add_rows(table, CONTROLLER, controller)
        _add_rows(table, EXCHANGE, exchange)
    return table


def _while_connecting(stage: Stage, size: Size) -> Path:
    with stage.controller(profile=True) as controller:
        controller.wait_until_at_rest()
        bare(CREATE, kubeconfig=stage.kubeconfig, namespace=stage.namespace(), count=size.connections)
        controller.wait_until_at_rest()
    return stage.folder / f"{CONTROLLER}.pstats"


def _while_sealing(stage: Stage, size: Size) -> Path:
    with stage.controller() as controller:
        controller.wait_until_at_rest()
        namespace = with_master_key(stage)
        bare(
            CREATE_JOIN_KEYS,
            kubeconfig=stage.kubeconfig,
            namespace=namespace,
            count=min(size.sealed, MOST_JOIN_KEYS),
            target=None,
        )
    with stage.controller(profile=True) as controller:
        controller.wait_until_at_rest()
        for _ in range(size.pairs):
            bare("rotate", kubeconfig=stage.kubeconfig, namespace=namespace)
        controller.wait_until_at_rest()
    return stage.folder / f"{CONTROLLER}.pstats"


def _while_issuing_and_redeeming(stage: Stage, size: Size) -> tuple[Path, Path]:
    with stage.operator(profile=True) as up:
        namespace = stage.namespace()
        bare("create", kubeconfig=stage.kubeconfig, namespace=namespace, count=size.tokens)
        issued = bare("collect", kubeconfig=stage.kubeconfig, namespace=namespace)["tokens"]
        up.children[CONTROLLER].stop(grace=30.0)
        bare("post", url=up.url, ca_file=str(up.ca_file), tokens=list(issued.values())[: size.redemptions])
    return stage.folder / f"{CONTROLLER}.pstats", stage.folder / f"{EXCHANGE}.pstats"


def _add_rows(table: Table, what: str, file: Path) -> None:
    for row in _costliest(file):
        table.add_row(what, *row)


def _costliest(file: Path) -> list[tuple[str, str, str, str]]:
    found = pstats.Stats(str(file)).stats
    waiting = ("select.epoll", "select.poll")
    rows = [
        (own, everything, calls, f"{'/'.join(Path(path).parts[-3:])}:{line} {name}")
        for (path, line, name), (_, calls, own, everything, _callers) in found.items()
        if not any(word in name for word in waiting)
    ]
    total = sum(row[0] for row in rows)
    rows.sort(reverse=True)
    return [
        (f"{own / total:.1%}", f"{everything / total:.1%}", str(calls), name)
        for own, everything, calls, name in rows[:SHOWN]
    ]
