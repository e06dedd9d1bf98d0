"""Run `tallystick` as a container does, with the files of the pod in a folder of its own instead of `/`.

    python -m tests.chart.live.in_root ROOT controller --health-listen=:8081 ...

Only the folder of the ServiceAccount is moved. All else is `tallystick` as its entry point runs it.
"""

import sys
from pathlib import Path

from tallystick.cli import main, settings
from tallystick.kube import sources


def moved(path: Path, root: Path) -> Path:
    """Return the place of an absolute path below the root."""
    return root / path.relative_to("/")


if __name__ == "__main__":
    folder = Path(sys.argv.pop(1))
    sources.POD = moved(sources.POD, folder)
    settings._POD_NAMESPACE = moved(settings._POD_NAMESPACE, folder)
    sys.argv[0] = "tallystick"
    main.main()
