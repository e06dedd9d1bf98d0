"""A composition root whose processes meet bugs and refusals that say too much: an error whose text is a token.

    python -m tests.harness.leaks controller --flag value ...

What goes wrong is ordered through files, while the process runs. Nothing of this is in the wheel.
"""

import asyncio
import json
import os
import sys
from collections.abc import Coroutine
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import prometheus_client
import structlog

from tallystick.cli import run_controller as controller_root
from tallystick.cli import run_exchange as exchange_root
from tallystick.cli.settings import load_settings
from tallystick.objects.ports import RefusedError, UnavailableError
from tallystick.runtime.logs import configure_logging
from tallystick.runtime.metrics import Metrics, make_metrics
from tests.harness import clock as moved
from tests.harness.failpoints import Call, SteppingCluster
from tests.harness.main import given
from tests.harness.processes import poll

ROOT = (sys.executable, "-m", "tests.harness.leaks")
ORDERS_VARIABLE = "TALLYSTICK_HARNESS_LEAKS"
PLANTED_VARIABLE = "TALLYSTICK_HARNESS_PLANTED"
ERRORS: dict[str, type[Exception]] = {
    "bug": RuntimeError,
    "unavailable": UnavailableError,
    "refused": RefusedError,
}
MAIN = "main"
POLL_SECONDS = 0.02

log = structlog.get_logger("tests.leaks")


@dataclass(frozen=True, slots=True)
class Order:
    """What goes wrong, as soon as a process comes to a call: every such call, until the order is taken back.

    Attributes:
        error: A key of ERRORS.
        verb: Of the call, such as `create`; `main` is the process itself, outside of all that it does.
        plural: The kind of the call.
        text: What the error says.
    """

    error: str
    verb: str
    plural: str
    text: str

    def fits(self, call: Call) -> bool:
        return (self.verb, self.plural) == (call.verb, call.plural)


@dataclass(frozen=True, slots=True)
class Orders:
    """The orders for one process, and what has become of them."""

    folder: Path
    process: str

    def give(self, order: Order) -> None:
        """Let it go wrong from now on, and return once it has."""
        self._done.unlink(missing_ok=True)
        draft = self._order.with_suffix(".new")
        draft.write_text(json.dumps(asdict(order)))
        draft.replace(self._order)

    def take_back(self) -> None:
        """Let all be well again, once it has gone wrong."""
        poll(self._done.exists)
        self._order.unlink()

    @property
    def carried_out(self) -> bool:
        """Whether it has gone wrong since the order was given."""
        return self._done.exists()

    def now(self) -> Order | None:
        try:
            return Order(**json.loads(self._order.read_text()))
        except FileNotFoundError:
            return None

    def carry_out(self, order: Order) -> None:
        self._done.touch()
        raise ERRORS[order.error](order.text)

    @property
    def _order(self) -> Path:
        return self.folder / f"{self.process}.order"

    @property
    def _done(self) -> Path:
        return self.folder / f"{self.process}.done"


class Leaking:
    """Raises at the calls that an order names."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders

    async def reach(self, moment: str, call: Call) -> None:
        order = self._orders.now()
        if moment == "before" and order is not None and order.fits(call):
            self._orders.carry_out(order)


def main(process: str, *flags: str) -> int:
    settings = load_settings(**given(flags))
    configure_logging(level=settings.log_level)
    # A control for those who search: it is found in the log of the lowest level, and on the page of the metrics.
    log.debug("planted", value=os.environ[PLANTED_VARIABLE])
    clock = moved.MovedClock(Path(os.environ[moved.VARIABLE]))
    orders = Orders(Path(os.environ[ORDERS_VARIABLE]), process)
    run = controller_root.run_controller if process == "controller" else exchange_root.run_exchange
    work = run(
        settings,
        clock=clock,
        wrap=lambda cluster: SteppingCluster(cluster, Leaking(orders)),
        server_time=lambda time: time + clock.ahead,
    )
    with (
        patch.object(controller_root, "make_metrics", _planted_metrics),
        patch.object(exchange_root, "make_metrics", _planted_metrics),
    ):
        return asyncio.run(_unless_ordered(work, orders))


async def _unless_ordered(work: Coroutine[Any, Any, int], orders: Orders) -> int:
    """Run the process, or die of an error that nothing in it catches."""
    running = asyncio.create_task(work)
    while not running.done():
        order = orders.now()
        if order is not None and order.verb == MAIN:
            orders.carry_out(order)
        await asyncio.wait((running,), timeout=POLL_SECONDS)
    return running.result()


def _planted_metrics(*known: Any, **labels: Any) -> Metrics:
    metrics = make_metrics(*known, **labels)
    prometheus_client.Gauge("planted", os.environ[PLANTED_VARIABLE], registry=metrics.registry)
    return metrics


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
