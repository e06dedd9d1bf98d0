"""Write the project of the wheel `tallystick-controlplane`: the four programs of one build, for machines without Go.

`make plane-wheel` runs this module and then `uv build`. The programs come from the cache. The wheel holds no code.
"""

import json
import os
import re
import shutil
import sys
from collections.abc import Sequence
from functools import partial
from importlib import resources
from pathlib import Path

from tallystick.errors import TallystickError
from tallystick.localplane.build import Binaries, cache_folder, find_binaries
from tallystick.localplane.digests import NAMES, KnownBuild, known_builds
from tallystick.localplane.errors import BinariesError
from tallystick.localplane.folders import Progress
from tallystick.localplane.gobuild import KUBERNETES_VERSION, needed_go
from tallystick.localplane.installed import BUILD_FILE, DISTRIBUTION, PACKAGE, PROGRAMS
from tallystick.localplane.notices import write_notices
from tallystick.localplane.toolchain import find_go

# Raise it when the programs change and Kubernetes' version does not: another etcd, other flags, another Go.
BUILD_NUMBER = 1
VERSION = f"{KUBERNETES_VERSION}.{BUILD_NUMBER}"

LICENSES = "THIRD-PARTY-LICENSES.txt"
_INIT = '"""The programs of a local Kubernetes control plane, for Tallystick. This package has no code."""\n'
_README = f"""\
The etcd, kube-apiserver, kube-controller-manager and kubectl {KUBERNETES_VERSION} that `tallystick up` and `tallystick
demo` run. Tallystick compares their SHA-256 with its own table before it runs them. `{LICENSES}` has the licenses and
notices of Go and of each Go module in the programs.
"""


def write_project(folder: Path, binaries: Binaries, build: KnownBuild) -> None:
    """Write the project of the wheel into a new folder: `pyproject.toml`, a package, and a hook that sets the platform.

    Args:
        folder: The folder. An earlier project there is deleted.
        binaries: The programs.
        build: The build that they are of, as `build_of` returns it.

    Raises:
        BinariesError: No wheel can be made for the platform.
    """
    tag = platform_tag(build.platform)
    shutil.rmtree(folder, ignore_errors=True)
    package = folder / PACKAGE
    (package / PROGRAMS).mkdir(parents=True)
    (package / "__init__.py").write_text(_INIT, encoding="utf-8")
    facts = {"key": build.key, "go": build.go, "platform": build.platform, "kubernetes": KUBERNETES_VERSION}
    (package / BUILD_FILE).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    for name in NAMES:
        shutil.copyfile(binaries.etcd.parent / name, package / PROGRAMS / name)
        (package / PROGRAMS / name).chmod(0o755)
    (folder / "README.md").write_text(_README, encoding="utf-8")
    words = {"NAME": DISTRIBUTION, "VERSION": VERSION, "LICENSES": LICENSES, "PACKAGE": PACKAGE, "TAG": tag}
    for name in ("pyproject.toml", "hatch_build.py"):
        text = (resources.files("tallystick.localplane") / "wheel_project" / f"{name}.in").read_text(encoding="utf-8")
        for word, value in words.items():
            text = text.replace(f"@{word}@", value)
        (folder / name).write_text(text, encoding="utf-8")


def platform_tag(platform: str) -> str:
    """Return the platform tag of the wheel for a platform of `sysconfig.get_platform()`.

    The programs are linked statically, so that on Linux they need no C library.

    Raises:
        BinariesError: There is no tag for the platform.
    """
    if linux := re.fullmatch(r"linux-(x86_64|aarch64)", platform):
        return f"manylinux_2_17_{linux[1]}.manylinux2014_{linux[1]}.musllinux_1_1_{linux[1]}"
    if mac := re.fullmatch(r"macosx-(\d+)\.(\d+)-(arm64|x86_64)", platform):
        return f"macosx_{mac[1]}_{mac[2]}_{mac[3]}"
    raise BinariesError(f"No wheel can be made for {platform}. Use Linux or macOS on x86_64, aarch64 or arm64.")


def build_of(binaries: Binaries, known: Sequence[KnownBuild]) -> KnownBuild:
    """Return the known build that the programs are of.

    Raises:
        BinariesError: There is none.
    """
    folder = binaries.etcd.parent
    found = next((build for build in known if not build.differing(folder)), None)
    if found is None:
        raise BinariesError(
            f"The programs in {folder} are of no build in localplane/binaries/digests.json, so that no one would use "
            "their wheel. Run `tallystick build-plane --verify`, and add the entry that it prints."
        )
    return found


def main(folder: Path, report: Progress) -> None:
    """Write the project of the wheel into a folder; build the programs first if the cache has none."""
    binaries = find_binaries(report)
    write_project(folder, binaries, build_of(binaries, known_builds()))
    go = find_go(needed_go(), cache_folder(os.environ), os.environ, report)
    modules = write_notices(folder / LICENSES, [binaries.etcd.parent / name for name in NAMES], go, os.environ)
    report(f"Licenses and notices of {len(modules)} Go modules: {folder / LICENSES}")
    report(f"{DISTRIBUTION} {VERSION}: {folder}")


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), partial(print, file=sys.stderr))
    except TallystickError as error:
        sys.exit(str(error))
