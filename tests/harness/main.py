"""The composition root of the harness: the same processes, with a clock that tests move and with failpoints.

    python -m tests.harness.main controller --flag value ...

Nothing of this is in the wheel.
"""

import itertools
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tallystick.cli.lifetime import run_process
from tallystick.cli.run_controller import run_controller
from tallystick.cli.run_exchange import run_exchange
from tallystick.cli.settings import load_settings
from tallystick.feature import Feature
from tallystick.registry import FEATURES
from tallystick.runtime.logs import configure_logging
from tests.harness import clock as moved
from tests.harness import failpoints


def main(process: str, *flags: str, features: Sequence[Feature[Any]] = FEATURES) -> int:
    settings = load_settings(features, **given(flags))
    configure_logging(level=settings.log_level)
    clock = moved.MovedClock(
        Path(os.environ[moved.VARIABLE]),
        durations_stand=moved.STANDING in os.environ,
        durations_follow=moved.FOLLOWING in os.environ,
    )
    run = partial(run_controller if process == "controller" else run_exchange, features=features)
    # The API server's time is moved as ours is: the test moves the world, not one replica.
    return run_process(
        run(settings, clock=clock, wrap=failpoints.stepping, server_time=lambda time: time + clock.ahead)
    )


def given(flags: Sequence[str]) -> dict[str, str | bool]:
    """Read `--flag value`, and the switches `--flag` and `--no-flag`."""
    found: dict[str, str | bool] = {}
    for flag, following in itertools.pairwise((*flags, "--")):
        name = flag.removeprefix("--").replace("-", "_")
        if flag.startswith("--") and following.startswith("--"):
            found[name.removeprefix("no_")] = not name.startswith("no_")
        elif flag.startswith("--"):
            found[name] = following
    return found


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
