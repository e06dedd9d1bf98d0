"""Build the control plane from the sources, and compare the bytes of its programs with our tree and the cache."""

import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tallystick.localplane.build import Build, build_key, cache_folder, digests_of, intact
from tallystick.localplane.digests import KnownBuild, known_builds
from tallystick.localplane.errors import BinariesError
from tallystick.localplane.folders import Progress
from tallystick.localplane.gobuild import build_with_go, needed_go
from tallystick.localplane.toolchain import go_version, platform_name

_TABLE = "localplane/binaries/digests.json"


def verify_build(
    report: Progress,
    *,
    environ: Mapping[str, str] = os.environ,
    build: Build = build_with_go,
    known: Sequence[KnownBuild] | None = None,
) -> None:
    """Build the four programs from the sources, without any result of an earlier build, and compare their SHA-256.

    It must run in the main thread. It changes neither the cache nor our tree, and reports the entry of
    `binaries/digests.json` for this build.

    Args:
        report: Receives the lines of progress.
        environ: The environment, as for `find_binaries`.
        build: Builds the programs below an empty folder, and returns the folder that contains them.
        known: The builds of our tree. None for those of `binaries/digests.json`.

    Raises:
        BinariesError: The build failed, a program differs, or there is no build to compare with.
        PlaneError: Other users can access the cache folder.
    """
    cache, key, go = cache_folder(environ), build_key(environ), go_version(needed_go(), environ)
    report(f"Building the control plane once more, with Go {go}. This takes 6 to 14 minutes on 2 cores.")
    staging = Path(tempfile.mkdtemp(prefix=f"{key}.verify-", dir=cache))
    try:
        anew = digests_of(build(staging, {**environ, "GOCACHE": str(staging / "go-build")}, report))
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    report(json.dumps({key: {"go": go, "platform": platform_name(), "programs": anew}}, indent=2))
    others = _others(cache / key, key, known_builds() if known is None else known)
    if not others:
        raise BinariesError(
            f"There is no build of Go {go} for {platform_name()} to compare with. Add the entry above to "
            f"{_TABLE} after a second build, on another machine, has printed the same entry."
        )
    differing = [f"{name} ({source})" for source, other in others.items() for name in anew if anew[name] != other[name]]
    if differing:
        raise BinariesError(
            f"The new build differs in {', '.join(differing)}. Do not use those programs until you have the reason."
        )
    report(f"The new build has the same bytes as {' and '.join(others)}.")


def _others(home: Path, key: str, known: Sequence[KnownBuild]) -> dict[str, Mapping[str, str]]:
    others: dict[str, Mapping[str, str]] = {}
    for build in known:
        if build.key == key:
            others[_TABLE] = build.programs
    if intact(home):
        others["the cache"] = digests_of(home)
    return others
