"""Run `tallystick` as a container does, with the files of the pod in a folder of its own instead of `/`.

    python -m tests.chart.live.in_root ROOT controller --health-listen=:8081 ...

Only the folder of the ServiceAccount is moved, and the variable SERVICES stands in for DNS and Services of the cluster.
All else is `tallystick` as its entry point runs it.
"""

import json
import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tallystick.cli import main, settings
from tallystick.kube import sources


def moved(path: Path, root: Path) -> Path:
    """Return the place of an absolute path below the root."""
    return root / path.relative_to("/")


def resolve_services(ports: Mapping[str, int]) -> None:
    """Resolve `host:port` of a Service to a port of this machine, as DNS and kube-proxy do in a cluster."""
    resolve = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *more: Any, **named: Any) -> Any:
        here = ports.get(f"{host}:{port}")
        return resolve(host, port, *more, **named) if here is None else resolve("127.0.0.1", here, *more, **named)

    socket.getaddrinfo = getaddrinfo


if __name__ == "__main__":
    folder = Path(sys.argv.pop(1))
    sources.POD = moved(sources.POD, folder)
    settings._POD_NAMESPACE = moved(settings._POD_NAMESPACE, folder)
    resolve_services(json.loads(os.environ.pop("SERVICES")))
    sys.argv[0] = "tallystick"
    main.main()
