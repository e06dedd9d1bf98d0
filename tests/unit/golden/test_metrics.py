"""Both processes publish the same metrics at start as before: names, types, help, labels, and closed label values.

The processes run as their user starts them, beside an API server that accepts connections and never answers.
"""

import http.client
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeGuard

import pytest
import yaml

from tests.harness.processes import poll
from tests.unit.golden import labeled_metrics
from tests.unit.golden.product import closed_label_values, free_ports
from tests.unit.golden.stored import assert_same

FLAGS = {
    "controller": ("--health-listen",),
    "exchange": ("--plain-http", "--listen", "127.0.0.1:0", "--health-listen"),
}
SECONDS_TO_START = 120.0
_SAMPLE = re.compile(r"(?P<series>\S+?(?P<labels>\{.*\})?) (?P<value>\S+)")
# The other families are those of the Prometheus client: they differ by platform, and by what was counted so far.
_OURS = re.compile(r"# \w+ tallystick_\w+(?<!_created) ")


@contextmanager
def silent_api_server(folder: Path) -> Iterator[Path]:
    """Accept connections and answer none; yield a kubeconfig. No call ends, so no process counts one."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        cluster = {"name": "silent", "cluster": {"server": f"http://127.0.0.1:{server.getsockname()[1]}"}}
        context = {"name": "silent", "context": {"cluster": "silent", "user": "nobody"}}
        kubeconfig = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [cluster],
            "users": [{"name": "nobody", "user": {}}],
            "contexts": [context],
            "current-context": "silent",
        }
        path = folder / "kubeconfig"
        path.write_text(yaml.safe_dump(kubeconfig), encoding="utf-8")
        yield path


@contextmanager
def running(command: str, port: int, kubeconfig: Path, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    arguments = [command, "--kubeconfig", str(kubeconfig), "--public-urls", "https://trust.example.com"]
    program = [sys.executable, str(Path(labeled_metrics.__file__)), *arguments]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TALLYSTICK_")}
    with (folder / f"{command}.log").open("wb") as log:
        process = subprocess.Popen(
            [*program, *FLAGS[command], f"127.0.0.1:{port}"], stdout=log, stderr=log, env=environment
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def page(process: subprocess.Popen[bytes], port: int, log: Path) -> str:
    """Return `/metrics`, or "" while the process does not listen yet."""
    assert process.poll() is None, log.read_text(encoding="utf-8")
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS_TO_START)
    try:
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
        assert answer.status == 200
        return answer.read().decode()
    except ConnectionError:
        return ""
    finally:
        connection.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The page of each process. Both start at the same time."""
    folder = tmp_path_factory.mktemp("metrics")
    ports = dict(zip(FLAGS, free_ports(len(FLAGS)), strict=True))
    with ExitStack() as stack:
        kubeconfig = stack.enter_context(silent_api_server(folder))
        processes = {
            command: stack.enter_context(running(command, port, kubeconfig, folder)) for command, port in ports.items()
        }

        def read(command: str) -> str:
            log = folder / f"{command}.log"
            return poll(lambda: page(processes[command], ports[command], log), seconds=SECONDS_TO_START)

        yield {command: read(command) for command in FLAGS}


def without_values(text: str) -> str:
    """Keep what does not depend on the moment, family by family: a series with labels stays if it counts nothing."""
    families = []
    for family in re.split(r"^(?=# (?:HELP|LABELS) )", text, flags=re.MULTILINE):
        head = [line for line in family.splitlines() if line.startswith("#")]
        series = [sample["series"] for sample in map(_SAMPLE.fullmatch, family.splitlines()) if _is_kept(sample)]
        families.append("".join(f"{line}\n" for line in (*head, *sorted(series))))
    return "".join(sorted(filter(_OURS.match, families)))


def _is_kept(sample: re.Match[str] | None) -> TypeGuard[re.Match[str]]:
    return sample is not None and (sample["labels"] is None or float(sample["value"]) == 0)


@pytest.mark.parametrize("command", FLAGS)
def test_metrics(command: str, pages: dict[str, str]) -> None:
    assert_same(f"metrics-{command}.txt", without_values(pages[command]))


def test_label_values() -> None:
    assert_same("metrics-label-values.yaml", yaml.safe_dump(closed_label_values()))
