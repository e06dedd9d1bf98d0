"""Compare the rules in `port.py` with the Go code of kstatus, for every row of docs/status.md: `make kstatus`."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

from tests.kstatus.port import kstatus
from tests.kstatus.states import states

HERE = Path(__file__).parent


def main() -> int:
    """Print each row, and return 1 if a result differs."""
    go = shutil.which("go")
    if go is None:
        sys.stderr.write("error: go is not in PATH; install Go 1.22 or newer\n")
        return 1
    objects = states()
    unseen = {name: {**body, "metadata": {**body["metadata"], "generation": 9}} for name, body in objects.items()}
    objects |= {f"{name}, not reconciled": body for name, body in unseen.items()}
    done = subprocess.run(
        [go, "run", "."], cwd=HERE, input=json.dumps(objects), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        sys.stderr.write(done.stderr)
        return 1
    computed = json.loads(done.stdout)
    differ = [name for name, body in objects.items() if computed[name] != kstatus(body)]
    for name in objects:
        sys.stdout.write(f"{computed[name]:12} {name}" + ("  DIFFERS\n" if name in differ else "\n"))
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
