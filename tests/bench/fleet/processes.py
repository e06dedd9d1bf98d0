"""Where W3 runs: the replicas of the exchange, the program with the devices, and the limit programs beside them."""

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import urllib3

from tallystick.cli.settings import DEFAULT_NAMESPACE
from tallystick.install.installation import EXCHANGE
from tallystick.localplane.children import Child
from tallystick.localplane.pki import prepare_serving
from tallystick.localplane.probe import free_ports
from tests.bench.measure import cpu_seconds
from tests.bench.stage import REPOSITORY, Stage, metric
from tests.harness.processes import poll

Json = dict[str, Any]

GETS = 'tallystick_api_calls_total{[^}]*verb="get"}'


@dataclass(frozen=True, slots=True)
class Server:
    """A process that answers check-ins."""

    child: Child
    url: str
    ca_file: Path
    health: str = ""

    @property
    def cpu(self) -> float:
        return cpu_seconds(self.child.pid)

    @property
    def gets(self) -> float:
        """The GETs that it has sent to the API server."""
        return metric(f"{self.health}/metrics", GETS)

    def jwks(self) -> Json:
        found: Json = self._read("/.well-known/jwks.json").json()
        return found

    def is_ready(self) -> bool:
        assert self.child.running, self.child.exit_text()
        try:
            return urllib3.request("GET", f"{self.health}/readyz", timeout=5.0, retries=False).status == 200
        except urllib3.exceptions.HTTPError:
            return False

    def _read(self, path: str) -> urllib3.BaseHTTPResponse:
        with urllib3.PoolManager(ca_certs=str(self.ca_file)) as pool:
            return pool.request("GET", f"{self.url}{path}", timeout=5.0, retries=False)


@dataclass(frozen=True, slots=True)
class Certificate:
    """The certificate of all servers here, and its CA."""

    certificate: Path
    key: Path
    ca_file: Path

    @classmethod
    def of(cls, stage: Stage) -> "Certificate":
        authority, serving = prepare_serving(stage.folder / "replicas", "exchange", now=datetime.now(UTC))
        return cls(serving.certificate, serving.key, authority.certificate)


@contextmanager
def replicas(stage: Stage, count: int) -> Iterator[list[Server]]:
    """Run replicas of the exchange, each at an address of its own and all of one public URL."""
    with ExitStack() as stack:
        found = [stack.enter_context(_replica(stage, number)) for number in range(1, count + 1)]
        for one in found:
            poll(one.is_ready, seconds=60.0)
        yield found


@contextmanager
def _replica(stage: Stage, number: int) -> Iterator[Server]:
    files, (port, health) = Certificate.of(stage), free_ports(2)
    flags = {
        "--kubeconfig": stage.kubeconfig_of(EXCHANGE),
        "--namespace": DEFAULT_NAMESPACE,
        "--public-urls": f"https://{stage.listen}",
        "--audit-log": str(stage.folder / f"audit-exchange-{number}.jsonl"),
        "--listen": f"127.0.0.1:{port}",
        "--health-listen": f"127.0.0.1:{health}",
        "--tls-cert": str(files.certificate),
        "--tls-key": str(files.key),
    }
    command = [sys.executable, "-m", "tallystick", EXCHANGE, *itertools.chain.from_iterable(flags.items())]
    log = stage.folder / f"exchange-{number}.log"
    child = Child.spawn(f"exchange-{number}", command, log=log, environment={**os.environ, **stage.environment()})
    try:
        yield Server(child, f"https://127.0.0.1:{port}", files.ca_file, f"http://127.0.0.1:{health}")
    finally:
        child.stop(grace=15.0)


@contextmanager
def least_handler(stage: Stage, *, jwks: Json, period: int) -> Iterator[Server]:
    """Run the handler that verifies copy and proof, and does nothing else."""
    files, port = Certificate.of(stage), free_ports(1)[0]
    pair = {"certificate": str(files.certificate), "key": str(files.key)}
    given = {"port": port, "issuer": f"https://{stage.listen}", "jwks": jwks, "period": period, **pair}
    command = [sys.executable, "-m", "tests.bench.fleet.least", json.dumps(given)]
    child = Child.spawn("least-handler", command, log=stage.folder / "least-handler.log", folder=REPOSITORY)
    try:
        yield Server(child, f"https://127.0.0.1:{port}", files.ca_file)
    finally:
        child.stop(grace=5.0)


@contextmanager
def bare_watch(stage: Stage) -> Iterator[Child]:
    """Run kopf with the same watches, and handlers that do nothing."""
    command = [sys.executable, "-m", "tests.bench.fleet.watch"]
    environment = {**os.environ, "KUBECONFIG": stage.kubeconfig}
    log = stage.folder / "bare-watch.log"
    child = Child.spawn("bare-watch", command, log=log, environment=environment, folder=REPOSITORY)
    try:
        yield child
    finally:
        child.stop(grace=5.0)


@dataclass(frozen=True, slots=True)
class Load:
    """The program with the devices."""

    process: "subprocess.Popen[bytes]"

    @classmethod
    @contextmanager
    def start(cls, stage: Stage) -> Iterator["Load"]:
        command = [sys.executable, "-m", "tests.bench.fleet.load"]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=REPOSITORY)
        load = cls(process)
        try:
            ca_file = str(Certificate.of(stage).ca_file)
            load._write({"public_url": f"https://{stage.listen}", "ca_file": ca_file})
            yield load
        finally:
            process.kill()
            process.communicate()

    def do(self, command: str, **arguments: Any) -> Json:
        """Give a command, and return its answer."""
        self._write({"do": command, **arguments})
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"the load has ended at command {command}"
        answer: Json = json.loads(line)
        return answer

    def _write(self, given: Json) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(given).encode() + b"\n")
        self.process.stdin.flush()
