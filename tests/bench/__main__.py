"""`make bench`: how close the operator is to a bare client that makes the same calls. A program, not a test.

    python -m tests.bench --pairs 5 --only w1 --json bench.json

Prints a table and writes the same figures as JSON. With --profile, the controller during W1 and wC and
the exchange during W4 run once more under cProfile, and what costs most is printed.
"""

import argparse
import functools
import json
import os
import platform
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.bench.cluster_keys import resealed_keys, shared_keys
from tests.bench.connections import connections
from tests.bench.exchange_memory import exchange_memory
from tests.bench.first_looks import first_looks
from tests.bench.fleet.figures import w3
from tests.bench.heartbeats import heartbeats
from tests.bench.measure import Figure
from tests.bench.profiles import profile
from tests.bench.requests import requests
from tests.bench.stage import Stage
from tests.bench.workloads import Say, Size, w1_and_w8, w4, w7_and_memory

WORKLOADS = ("w1", "w4", "w7", "wF", "wC", "wH", "wK", "w6", "w3", "wP", "wM")


def main() -> None:
    reported, console = _arguments(), Console()
    size = Size(
        pairs=reported.pairs,
        tokens=reported.tokens,
        redemptions=reported.redemptions,
        stored=tuple(reported.stored),
        looks=reported.looks,
        connections=reported.connections,
        instances=reported.instances,
        periods=reported.periods,
        period_seconds=reported.period_seconds,
        shared=reported.shared,
        sealed=reported.sealed,
        fleets=tuple(reported.fleets),
    )
    figures: list[Figure] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))

        @functools.cache
        def stage(name: str) -> Stage:
            return stack.enter_context(Stage.set_up(folder / name))

        for name in reported.only:
            figures += _measure(name, stage, size, console.print)
        if reported.profile:
            console.print(profile(stage("profiled"), size, reported.only or WORKLOADS))
    if figures:
        console.print(_table(figures))
        machine = {"cpus": _cpus(), "python": platform.python_version(), "pairs": size.pairs}
        reported.json.parent.mkdir(parents=True, exist_ok=True)
        reported.json.write_text(
            json.dumps({"machine": machine, "figures": [one.to_json() for one in figures]}, indent=2)
        )
        console.print(f"written to {reported.json}")


def _measure(name: str, stage: Callable[[str], Stage], size: Size, say: Say) -> list[Figure]:
    """Run one workload on its stages. A stage is set up when it is first asked for."""
    alone: dict[str, tuple[Callable[[Stage, Size, Say], list[Figure]], str]] = {
        "w4": (w4, "ours"),
        "w7": (w7_and_memory, "idle"),
        "wF": (first_looks, "first-looks"),
        "wH": (heartbeats, "heartbeats"),
        "w3": (w3, "fleet"),
        "wP": (requests, "requests"),
        "wM": (exchange_memory, "exchange-memory"),
    }
    if name in alone:
        workload, where = alone[name]
        return workload(stage(where), size, say)
    in_pairs: dict[str, tuple[Callable[[Stage, Stage, Size, Say], list[Figure]], str]] = {
        "w1": (w1_and_w8, "ours"),
        "wC": (connections, "connections"),
        "wK": (shared_keys, "keys"),
        "w6": (resealed_keys, "keys"),
    }
    pair, where = in_pairs[name]
    return pair(stage(where), stage("beside"), size, say)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description="Measure the operator beside bare clients.")
    parser.add_argument("--only", nargs="*", choices=WORKLOADS, default=list(WORKLOADS))
    parser.add_argument("--pairs", type=int, default=Size().pairs)
    parser.add_argument("--tokens", type=int, default=Size().tokens)
    parser.add_argument("--redemptions", type=int, default=Size().redemptions)
    parser.add_argument("--stored", type=int, nargs="+", default=list(Size().stored))
    parser.add_argument("--looks", type=int, default=Size().looks)
    parser.add_argument("--connections", type=int, default=Size().connections)
    parser.add_argument("--instances", type=int, default=Size().instances)
    parser.add_argument("--periods", type=int, default=Size().periods)
    parser.add_argument("--period-seconds", type=float, default=Size().period_seconds)
    parser.add_argument("--shared", type=int, default=Size().shared)
    parser.add_argument("--sealed", type=int, default=Size().sealed)
    parser.add_argument("--fleets", type=int, nargs="+", default=list(Size().fleets))
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--json", type=Path, default=Path("build/bench.json"))
    return parser.parse_args()


def _cpus() -> int:
    return len(os.sched_getaffinity(0))


def _table(figures: list[Figure]) -> Table:
    table = Table("workload", "figure", "median (least-most)", "goal", "holds")
    for one in figures:
        holds = {True: "yes", False: "NO", None: ""}[one.holds]
        table.add_row(one.workload, one.name, str(one.found), one.goal, holds)
    return table


if __name__ == "__main__":
    main()
