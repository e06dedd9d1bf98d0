"""Gauges that a feature adds to the metrics of a process."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from prometheus_client import CollectorRegistry
from prometheus_client import Gauge as PrometheusGauge

Reading = Callable[[str], float]
"""Returns the figure for one value of the label; '' is the argument for a gauge without a label."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauge:
    """A figure that is read when the metrics are scraped.

    Attributes:
        name: The metric's name, with its unit as the suffix, such as `_seconds`.
        help: The text of its `# HELP` line.
        label: The name of its label; '' for none.
        values: All values of the label. No other one makes a series.
    """

    name: str
    help: str
    label: str = ""
    values: tuple[str, ...] = ()


def publish(gauge: Gauge, registry: CollectorRegistry) -> Callable[[Reading], None]:
    """Add a gauge to a registry. Return a function that names the reading of its figures."""
    published = PrometheusGauge(gauge.name, gauge.help, (gauge.label,) if gauge.label else (), registry=registry)

    def read_by(reading: Reading) -> None:
        if not gauge.label:
            published.set_function(partial(reading, ""))
        for value in gauge.values:
            published.labels(value).set_function(partial(reading, value))

    return read_by
