"""Run `tallystick` with a `/metrics` page that also names the labels of each family.

Prometheus' text shows labels by series, and a counter has none before something was counted. This program replaces the
renderer before the product imports it, so it needs no import of the product but the command itself.
"""

import sys
from importlib.metadata import entry_points

import prometheus_client
from prometheus_client import CollectorRegistry, exposition

render = exposition.generate_latest


def render_with_labels(registry: CollectorRegistry) -> bytes:
    """Render a registry, and say in comments which labels its families have."""
    labels = {
        collector._name: ",".join(collector._labelnames)
        for collector in registry._collector_to_names
        if getattr(collector, "_labelnames", ())
    }
    lines = [f"# LABELS {name} {names}\n" for name, names in sorted(labels.items())]
    return render(registry) + "".join(lines).encode()


if __name__ == "__main__":
    exposition.generate_latest = prometheus_client.generate_latest = render_with_labels
    (command,) = entry_points(group="console_scripts", name="tallystick")
    sys.exit(command.load()())
