"""The help texts of the metrics of both processes."""

import re
from collections.abc import Iterator
from pathlib import Path

from tests.unit.prose import Text

GOLDENS = Path(__file__).parents[1] / "golden"


def texts_of_metrics() -> Iterator[Text]:
    """Yield the help text of each metric of the operator."""
    for path in sorted(GOLDENS.glob("metrics-*.txt")):
        for name, text in re.findall(r"^# HELP (tallystick_\w+) (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE):
            yield Text(f"{path.name} {name}", text)
