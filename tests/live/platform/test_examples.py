"""The examples' READMEs say what really happens: each command is run, and prints what stands there."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from tallystick.install.installation import CONTROLLER
from tallystick.localplane.plane import ControlPlane
from tallystick.localplane.probe import free_ports
from tests.harness.processes import poll
from tests.harness.system import REPOSITORY, System, running

READS = ("kubectl get", "kubectl describe", "curl")
ENDS_THE_CONTROLLER = "pkill "
# A reader waits as long as kubectl does by itself, half a minute; a busy machine may take longer.
PATIENCE_SECONDS = 240
EXAMPLES = REPOSITORY / "examples"
# It needs real Argo CD and Flux. tests/gitops/ checks its files in each run.
RUN_BY_MAKE_GITOPS = {"06-gitops"}

# What differs from run to run, by a name: ids, times, ages, keys, and the lengths of tokens that name all of them.
VARYING = (
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[45][0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}", "ID"),
    (r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z", "TIME"),
    (r'"(iat|exp)":\d+', r'"\1":SECONDS'),
    (r'"jkt":"[\w-]{43}"', '"jkt":"KEY"'),
    (r"\bd-[a-z2-7]{26}\b", "DEVICE"),
    (r"\b(?:\d+[dhms]){1,2} from now", "AGE from now"),
    (r"\b(?:\d+m\d+s|\d+[ms])(?=\s+(?:\d+m\d+s|\d+[ms])\s*$)", "AGE"),  # two ages in one line
    (r"\b(?:\d+m\d+s|\d+[ms])\s*$", "AGE"),
    (r"\d+ bytes", "SIZE"),
    (r"in the memory of \S+ alone", "in the memory of HOLDER alone"),
    (r"https://127\.0\.0\.1:\d+", "ISSUER"),
    (r"\s+", " "),
)


# Fingerprints of keys differ, too. Which of them are the same does not.
FINGERPRINT = re.compile(r"\b[jm]k-[0-9a-f]{24}\b")


@dataclass(slots=True)
class Fingerprints:
    """The fingerprints of one run, or of a README, each by its place in the order in which they appear."""

    names: dict[str, str] = field(default_factory=dict)

    def named(self, lines: list[str]) -> "tuple[list[str], Fingerprints]":
        """Return the lines with names in place of fingerprints, and all that have a name by then."""
        names = dict(self.names)

        def name(found: re.Match[str]) -> str:
            return names.setdefault(found[0], f"{found[0][:2]}-{len(names) + 1}")

        return [FINGERPRINT.sub(name, line) for line in lines], Fingerprints(names)


@dataclass(frozen=True, slots=True)
class Command:
    """One command of a README, and the lines that it says come out."""

    text: str
    output: tuple[str, ...]


def commands_of(readme: str) -> Iterator[Command]:
    """Read the console blocks."""
    for block in re.findall(r"```console\n(.*?)```", readme, flags=re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            text, *output = part.rstrip("\n").split("\n")
            yield Command(text, tuple(output))


def masked(line: str) -> str:
    for pattern, name in VARYING:
        line = re.sub(pattern, name, line)
    return line.strip()


@pytest.fixture(scope="module")
def address() -> str:
    """The address of the exchange in each example: tokens of an earlier one name it."""
    return f"127.0.0.1:{free_ports(1)[0]}"


@pytest.fixture
def system(vacant_plane: ControlPlane, address: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A system of its own for each example: its reader has the real time, and another one has moved the clock."""
    with running(vacant_plane, tmp_path_factory.mktemp("example-system") / "up", listen=address) as whole:
        yield whole


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Where the reader is. What a script has started there and left running is ended."""
    folder = tmp_path / "example"
    yield folder
    for file in folder.rglob("pid"):
        with suppress(OSError):  # it has ended
            pid = int(file.read_text())
            if Path(f"/proc/{pid}/cwd").readlink() == folder:
                os.kill(pid, signal.SIGKILL)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("example", sorted({path.name for path in EXAMPLES.iterdir()} - RUN_BY_MAKE_GITOPS))
def test_what_the_readme_of_an_example_shows_is_what_happens(
    example: str, system: System, make_namespace: Callable[[str], str], folder: Path, tmp_path: Path
):
    shutil.copytree(EXAMPLES / example, folder)
    namespace = make_namespace("example")
    environment = shell_of(system, namespace, tmp_path)
    commands = list(commands_of((folder / "README.md").read_text()))
    assert commands

    of_readme, of_run = Fingerprints(), Fingerprints()
    for command in commands:
        expected, of_readme = of_readme.named([masked(line) for line in command.output])
        if slept := re.fullmatch(r"sleep (\d+)", command.text):
            system.clock.advance(timedelta(seconds=int(slept[1])))  # the reader waits, and the controller's clock moves
            continue
        printed, known = of_run.named(run(command.text, system, folder, environment, namespace))
        # What is revoked is inactive within a second, and a record is written within moments: a reader looks again.
        deadline = time.monotonic() + PATIENCE_SECONDS
        while printed != expected and command.text.startswith(READS) and time.monotonic() < deadline:
            printed, known = of_run.named(run(command.text, system, folder, environment, namespace))

        assert printed == expected, command.text
        of_run = known
        if command.text.startswith(ENDS_THE_CONTROLLER):
            poll(lambda: not system.up.children[CONTROLLER].running)
            system.up.restart_what_ended(lambda _: None)  # as `tallystick up` does


def run(command: str, system: System, folder: Path, environment: dict[str, str], namespace: str) -> list[str]:
    """Run a command as it stands, but for the exchange's address and the patience; return what it printed, masked."""
    here = command.replace("127.0.0.1:8443", system.up.url.removeprefix("https://"))
    done = subprocess.run(
        ["bash", "-c", here.replace("kubectl wait ", f"kubectl wait --timeout={PATIENCE_SECONDS}s ")],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,  # as a terminal shows both
        text=True,
        timeout=PATIENCE_SECONDS + 60,
        check=False,
    )
    printed = re.sub(rf"\b{namespace}\b", "default", done.stdout)  # where a reader would be
    return [masked(line) for line in printed.strip("\n").splitlines()]


def shell_of(system: System, namespace: str, folder: Path) -> dict[str, str]:
    """Return the environment of a user's shell: kubectl and tallystick on the path, one namespace as the default."""
    # `up` writes the user's kubeconfig into its folder, too.
    kubeconfig = system.up.folder / f"{folder.name}.kubeconfig"
    shutil.copy(system.plane.kubeconfig, kubeconfig)
    kubectl = system.plane.binaries.kubectl
    path = os.pathsep.join((str(kubectl.parent), str(Path(sys.executable).parent), os.environ["PATH"]))
    environment = {**os.environ, "KUBECONFIG": str(kubeconfig), "PATH": path}
    subprocess.run(
        [kubectl, "config", "set-context", "--current", f"--namespace={namespace}"],
        env=environment,
        check=True,
        capture_output=True,
    )
    return environment
