"""The cluster of the end-to-end tests: a node of our own, kind, or a context of your kubeconfig."""

import ipaddress
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from tallystick.localplane.folders import Progress
from tallystick.localplane.probe import free_ports
from tests.e2e.node.programs import node_programs
from tests.harness.go_tools import go_tool

HERE = Path(__file__).parent
NODE_SCRIPT = HERE / "node" / "node.sh"
# The images of nodes by minor version, for KUBERNETES= of `make e2e-kind`. 1.36 is the default of the pinned kind.
KIND_IMAGES = {"1.36": "", "1.34": "kindest/node:v1.34.3", "1.32": "kindest/node:v1.32.5"}
# The versions of IP in a cluster by the name that kind has for them, for IP_FAMILY= of `make e2e` and `make e2e-kind`.
IP_FAMILIES = {"ipv4": (4,), "ipv6": (6,), "dual": (4, 6)}


class ClusterError(Exception):
    """There is no such cluster. The text names what to do."""


def chosen_family() -> str:
    """Return the IP family of the cluster by the environment variable IP_FAMILY; raises ClusterError."""
    chosen = os.environ.get("IP_FAMILY", "ipv4")
    if chosen not in IP_FAMILIES:
        raise ClusterError(f"IP_FAMILY={chosen} is unknown. Use one of {', '.join(IP_FAMILIES)}.")
    return chosen


def versions_of(addresses: list[str]) -> list[int]:
    """Return the version of IP of each address."""
    return [ipaddress.ip_address(address).version for address in addresses]


class KubectlError(Exception):
    """kubectl failed. The text is its standard error."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster with nodes that run pods."""

    name: str
    kubectl_program: Path
    kubeconfig: Path
    context: str
    load_archive: Callable[[Path], None]

    def kubectl(self, *arguments: str, given: str | None = None, timeout: float = 180) -> str:
        """Run kubectl, which must succeed, and return what it prints; raises KubectlError."""
        where = [f"--kubeconfig={self.kubeconfig}", *([f"--context={self.context}"] if self.context else [])]
        done = subprocess.run(
            [self.kubectl_program, *where, *arguments],
            input=given,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
        )
        if done.returncode:
            raise KubectlError(f"kubectl {' '.join(arguments)}: {done.stderr}{done.stdout}")
        return done.stdout

    def minor_version(self) -> int:
        """Return the minor version of the API server: 36 for Kubernetes 1.36."""
        version = json.loads(self.kubectl("version", "--output=json"))["serverVersion"]
        return int("".join(digit for digit in version["minor"] if digit.isdigit()))


@contextmanager
def cluster_of(which: str, folder: Path, report: Progress) -> Iterator[Cluster]:
    """Start the cluster that `--cluster` names, and end it again; a cluster of a context stays.

    Args:
        which: `node`, `kind` or `context:NAME`.
        folder: An empty folder for its state.
        report: Receives the lines of progress.

    Raises:
        ClusterError: There is no such cluster.
        NodeError: A node of our own cannot run on this machine.
    """
    if which == "node":
        with _node(folder, report) as cluster:
            yield cluster
    elif which == "kind":
        kubernetes = os.environ.get("KUBERNETES", "1.36")
        with kind_cluster("tallystick-e2e", folder / "kubeconfig", report, kubernetes=kubernetes) as cluster:
            yield cluster
    elif which.startswith("context:"):
        yield _of_context(which.removeprefix("context:"))
    else:
        raise ClusterError(f"--cluster {which} is unknown. Use node, kind or context:NAME.")


@contextmanager
def _node(folder: Path, report: Progress) -> Iterator[Cluster]:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    programs = node_programs(cache / "tallystick-node" / "bin", report)
    environment = {
        **os.environ,
        "NODE_BIN": str(programs),
        "NODE_RUN": str(folder),
        "NODE_API_PORT": str(free_ports(1)[0]),
        "NODE_STATE": "tmpfs",
        "NODE_FAMILY": chosen_family(),
    }

    def node(*arguments: str) -> None:
        done = subprocess.run(
            [NODE_SCRIPT, *arguments], env=environment, capture_output=True, text=True, check=False, timeout=500
        )
        if done.returncode:
            raise ClusterError(f"node.sh {arguments[0]} failed:\n{done.stderr[-3000:]}")

    report("Starting the node ...")
    try:
        node("up")
        yield Cluster(
            "node",
            programs / "kubectl",
            folder / "host.kubeconfig",
            "",
            lambda archive: node("import", str(archive)),
        )
    finally:
        node("down", "--wipe")


@contextmanager
def kind_cluster(
    name: str, kubeconfig: Path, report: Progress, *, kubernetes: str, keep: bool = False
) -> Iterator[Cluster]:
    """Create a cluster by kind, and delete it again unless `keep`; raises ClusterError."""
    require_engine()
    if kubernetes not in KIND_IMAGES:
        raise ClusterError(f"KUBERNETES={kubernetes} is unknown. Use one of {', '.join(KIND_IMAGES)}.")
    kind = Path(shutil.which("kind") or go_tool(HERE / "kind", "kind"))
    image = [f"--image={KIND_IMAGES[kubernetes]}"] if KIND_IMAGES[kubernetes] else []
    config = kind_config(chosen_family())

    def run(*arguments: str, given: str | None = None) -> None:
        command = [kind, *arguments, f"--name={name}"]
        done = subprocess.run(command, input=given, capture_output=True, text=True, check=False, timeout=900)
        if done.returncode:
            raise ClusterError(f"kind {' '.join(arguments[:2])} failed:\n{done.stderr[-3000:]}")

    report(f"Creating the kind cluster {name} ...")
    try:
        where = ("--config=-", f"--kubeconfig={kubeconfig}", "--wait=5m")
        run("create", "cluster", *where, *image, given=config)
        kubectl = shutil.which("kubectl")
        if kubectl is None:
            raise ClusterError("kubectl is not on PATH. Install it (https://kubernetes.io/docs/tasks/tools).")
        yield Cluster("kind", Path(kubectl), kubeconfig, "", lambda archive: run("load", "image-archive", str(archive)))
    finally:
        if not keep:
            run("delete", "cluster", f"--kubeconfig={kubeconfig}")


def kind_config(family: str) -> str:
    """Return the configuration of kind for a cluster of this IP family."""
    config = yaml.safe_load((HERE / "kind.yaml").read_text(encoding="utf-8"))
    return yaml.safe_dump({**config, "networking": {"ipFamily": family}}, sort_keys=False)


def require_engine() -> None:
    """Raise ClusterError if neither Docker nor Podman runs here."""
    for engine in ("docker", "podman"):
        program = shutil.which(engine)
        if program is None:
            continue
        done = subprocess.run([program, "info"], capture_output=True, check=False, timeout=60)
        if done.returncode == 0:
            return
    raise ClusterError(
        "kind needs Docker or Podman, and neither runs here. Start one of them, or run `make e2e`, which needs none: "
        "it runs the same tests on a node of our own."
    )


def _of_context(context: str) -> Cluster:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        raise ClusterError("kubectl is not on PATH. Install it (https://kubernetes.io/docs/tasks/tools).")
    kubeconfig = os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")

    def load(archive: Path) -> None:
        raise ClusterError(
            f"Images cannot be loaded into context {context}. Push {archive} to a registry that its nodes reach, and "
            "run again with --image REPOSITORY:TAG."
        )

    return Cluster(context, Path(kubectl), Path(kubeconfig), context, load)
