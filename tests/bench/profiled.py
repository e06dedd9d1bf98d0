"""The composition root of the operator under cProfile: where `make bench` finds out what costs most.

    python -m tests.bench.profiled controller --flag value ...

Writes `PROFILE_FOLDER/<process>.pstats` when the process ends in good order.
"""

import cProfile
import os
import sys
from pathlib import Path

from tallystick.cli.main import main

FOLDER = "TALLYSTICK_BENCH_PROFILE_FOLDER"


def run() -> None:
    profile = cProfile.Profile()
    profile.enable()
    try:
        main()
    finally:
        profile.disable()
        profile.dump_stats(Path(os.environ[FOLDER]) / f"{sys.argv[1]}.pstats")


if __name__ == "__main__":
    run()
