"""What costs most: the controller while it issues, the exchange while it redeems, under cProfile."""

import pstats
from pathlib import Path

from rich.table import Table

from tallystick.install.installation import CONTROLLER, EXCHANGE
from tests.bench.stage import Stage, bare
from tests.bench.workloads import Size

SHOWN = 25


def profile(stage: Stage, size: Size) -> Table:
    """Run W1 and W4 once, and list the functions that took most of the time by themselves."""
    with stage.operator(profile=True) as up:
        namespace = stage.namespace()
        bare("create", kubeconfig=stage.kubeconfig, namespace=namespace, count=size.tokens)
        issued = bare("collect", kubeconfig=stage.kubeconfig, namespace=namespace)["tokens"]
        up.children[CONTROLLER].stop(grace=30.0)
        bare("post", url=up.url, ca_file=str(up.ca_file), tokens=list(issued.values())[: size.redemptions])
    table = Table("process", "own %", "with callees %", "calls", "function")
    for process in (CONTROLLER, EXCHANGE):
        for row in _costliest(stage.folder / f"{process}.pstats"):
            table.add_row(process, *row)
    return table


def _costliest(file: Path) -> list[tuple[str, str, str, str]]:
    found = pstats.Stats(str(file)).stats  # type: ignore[attr-defined]
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
