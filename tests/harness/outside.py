"""`tallystick up` as its users have it: a process in a terminal, driven with kubectl and curl alone."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.harness.processes import ended, poll

Json = dict[str, Any]

TALLYSTICK = (sys.executable, "-m", "tallystick")
READY_SECONDS = 60.0
GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
JWT_TYPE = "urn:ietf:params:oauth:token-type:jwt"


@dataclass(frozen=True, slots=True)
class UpProcess:
    """One run of `tallystick up --data-dir`."""

    process: "subprocess.Popen[bytes]"
    folder: Path
    output: Path
    kubectl_binary: Path

    @classmethod
    def start(
        cls, folder: Path, listen: str, kubectl: Path, *flags: str, environment: Mapping[str, str] | None = None
    ) -> "UpProcess":
        """Start it, with more flags and variables if need be; nothing is waited for."""
        output = folder.with_name(f"{folder.name}.output")
        # A session of its own: a terminal's Ctrl-C would reach the tests, too.
        with output.open("ab") as stream:
            process = subprocess.Popen(
                [*TALLYSTICK, "up", "--data-dir", str(folder), "--listen", listen, *flags],
                env={**os.environ, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )
        return cls(process, folder, output, kubectl)

    def await_ready(self) -> "UpProcess":
        """Wait for the file that is written last."""
        poll(self._ready, seconds=READY_SECONDS)
        return self

    def _ready(self) -> bool:
        assert self.process.poll() is None, self.output.read_text()
        return (self.folder / "exchange-url").exists()

    @property
    def url(self) -> str:
        return (self.folder / "exchange-url").read_text().strip()

    def await_line(self, line: str) -> None:
        """Wait until it has printed something."""
        poll(lambda: line in self.output.read_text())

    def interrupt(self) -> int:
        """Press Ctrl-C and return the exit status."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=60.0)

    def kill(self) -> None:
        """End it with SIGKILL, if it still runs."""
        self.process.kill()
        self.process.wait(timeout=60.0)

    def descendants(self) -> list[tuple[int, str]]:
        """List all processes that it started, directly or not: pid and command line."""
        return _below(self.process.pid)

    def kubectl(self, *arguments: str, said: Json | None = None) -> str:
        """Run kubectl with the kubeconfig that it wrote; `said` goes to its standard input."""
        return _output(
            [str(self.kubectl_binary), "--kubeconfig", str(self.folder / "kubeconfig"), *arguments],
            json.dumps(said) if said else None,
        )

    def curl(self, path: str, *arguments: str) -> tuple[int, Json]:
        """Run curl against the exchange with the CA that it wrote; return the HTTP status and the JSON."""
        command = ["curl", "--silent", "--show-error", "--cacert", str(self.folder / "ca.crt"), self.url + path]
        answer, _, status = _output([*command, "--write-out", "\n%{http_code}", *arguments]).rpartition("\n")
        return int(status), json.loads(answer) if answer else {}

    def redeem(self, token_file: Path) -> tuple[int, Json]:
        form = ("grant_type=" + GRANT, "subject_token_type=" + JWT_TYPE, f"subject_token@{token_file}")
        return self.curl("/oauth2/token", *(part for field in form for part in ("--data-urlencode", field)))

    def introspect(self, token_file: Path, bearer: str) -> tuple[int, Json]:
        header = ("--header", f"Authorization: Bearer {bearer}")
        return self.curl("/oauth2/introspect", *header, "--data-urlencode", f"token@{token_file}")

    def apply(self, name: str) -> None:
        """Apply a PairingToken, and wait until kubectl says that it is ready."""
        body = {
            "apiVersion": "tallystick.dev/v1alpha1",
            "kind": "PairingToken",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"purpose": "Service", "useCase": "mission-control"},
        }
        self.kubectl("apply", "-f", "-", said=body)
        self.kubectl("wait", "--for=condition=Ready", f"ptok/{name}", "--timeout=120s")

    def token_into(self, file: Path, name: str) -> Path:
        """Fetch a pairing token into a file."""
        template = "--template={{.data.token|base64decode}}"
        file.write_text(self.kubectl("get", "secret", f"{name}-pairing-token", "--output=go-template", template))
        return file

    def bearer(self) -> str:
        """Make a ServiceAccount that may introspect in `default`, if there is none, and ask for its token."""
        if "verifier" not in self.kubectl("get", "serviceaccounts", "--output=name"):
            self.kubectl("create", "serviceaccount", "verifier")
            role = ("--clusterrole=tallystick-introspect", "--serviceaccount=default:verifier")
            self.kubectl("create", "rolebinding", "verifier", *role)
        return self.kubectl("create", "token", "verifier", f"--audience={self.url}").strip()


def still_running(processes: Sequence[tuple[int, str]]) -> list[tuple[int, str]]:
    """Return those that have not ended."""
    return [(pid, command) for pid, command in processes if not ended(pid)]


def _output(command: Sequence[str], said: str | None = None) -> str:
    done = subprocess.run(command, input=said, capture_output=True, text=True, check=False, timeout=180)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _below(parent: int) -> list[tuple[int, str]]:
    found: list[tuple[int, str]] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and _parent_of(entry) == parent:
            pid = int(entry.name)
            found += [(pid, _command_of(entry)), *_below(pid)]
    return found


def _parent_of(entry: Path) -> int:
    try:
        return int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _command_of(entry: Path) -> str:
    try:
        return (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""
