"""The programs of the node: the control plane's, those of two Go modules, and Debian's packages."""

import os
import shutil
import subprocess
from pathlib import Path

from tallystick.localplane.build import find_binaries
from tallystick.localplane.folders import Progress
from tallystick.localplane.gobuild import FLAGS
from tests.e2e.node.images import write_image
from tests.harness.go_tools import go_tool

HERE = Path(__file__).parent
PAUSE_IMAGE = "localhost/pause:1"
# Debian's runc works here, and crun does not, on cgroups of both versions. kube-proxy needs nftables and conntrack.
PACKAGES = {
    "containerd": "containerd",
    "runc": "runc",
    "nft": "nftables",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "socat": "socat",
    "openssl": "openssl",
    "nsenter": "util-linux",
    "ip": "iproute2",
}
PLUGIN = Path("/usr/lib/cni/ptp")


class NodeError(Exception):
    """The node cannot run on this machine. The text names what to do."""


def node_programs(folder: Path, report: Progress) -> Path:
    """Fill a folder with links to the programs of the node and the pause image, and return it.

    The first time takes some minutes: it builds kubelet, kube-proxy, kube-scheduler and CoreDNS from their Go modules.

    Raises:
        NodeError: This machine is not Linux with root and cgroup v1, or Debian's packages cannot be installed.
    """
    _require_machine()
    install_packages(report)
    folder.mkdir(parents=True, exist_ok=True)
    plane = find_binaries(report)
    report("Building the programs of the node, if the cache does not have them (some minutes the first time) ...")
    kubelet = go_tool(HERE / "tools", "kubelet", flags=FLAGS)
    programs = [plane.etcd, plane.kube_apiserver, plane.kube_controller_manager, plane.kubectl]
    programs += [kubelet.with_name(name) for name in ("kubelet", "kube-proxy", "kube-scheduler")]
    coredns = go_tool(HERE / "dns", "dns", flags=("-ldflags", "-s -w"))
    for name, program in [*((program.name, program) for program in programs), ("coredns", coredns)]:
        link = folder / name
        link.unlink(missing_ok=True)
        link.symlink_to(program)
    write_image(folder / "pause.tar", PAUSE_IMAGE, go_tool(HERE / "pause", "pause"))
    return folder


def install_packages(report: Progress) -> None:
    """Install the packages of Debian that are missing; raises NodeError."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    missing = sorted({package for program, package in PACKAGES.items() if not shutil.which(program, path=path)})
    if not PLUGIN.exists():
        missing.append("containernetworking-plugins")
    if not missing:
        return
    if not shutil.which("apt-get"):
        raise NodeError(f"The node needs {', '.join(missing)}. Install them, or run `make e2e-kind`.")
    report(f"Installing {', '.join(missing)} from Debian's packages ...")
    install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["apt-get", "update", "-qq"], install):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise NodeError(f"`{' '.join(command[:2])}` failed: {done.stderr.strip()[-300:]}. Try it by hand.")


def _require_machine() -> None:
    if os.uname().sysname != "Linux" or os.geteuid() != 0:
        raise NodeError("A node of our own needs Linux and root. With Docker or Podman, run `make e2e-kind`.")
    mounts = Path("/proc/self/mounts").read_text(encoding="utf-8")
    if " cgroup " not in mounts:
        raise NodeError("A node of our own needs cgroup v1. With Docker or Podman, run `make e2e-kind`.")
