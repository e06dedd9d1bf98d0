"""The key of a build of the control plane, and the SHA-256 of the programs of those builds that this tree trusts.

A program from outside the cache, such as that of an installed wheel, runs only if `binaries/digests.json` has its
SHA-256. `tallystick build-plane --verify` shows that a build from the sources has the same bytes.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from tallystick.localplane.gobuild import BUILT_AS, FLAGS, module_files
from tallystick.localplane.toolchain import platform_name

NAMES = tuple(BUILT_AS)


@dataclass(frozen=True, slots=True)
class KnownBuild:
    """The programs of one build: its key, its Go and platform, and the SHA-256 of each program by name."""

    key: str
    go: str
    platform: str
    programs: Mapping[str, str]

    def differing(self, folder: Path) -> list[str]:
        """Return the names of the programs in a folder that are missing or have other bytes."""
        return [name for name in NAMES if digest_or_none(folder / name) != self.programs[name]]


def cache_key(go: str, platform: str | None = None) -> str:
    """Return a digest of all inputs of a build: the module, the flags, the version of Go and the platform.

    Args:
        go: The version of Go, such as `1.26.8`. Another Go compiles other bytes.
        platform: The platform, such as `linux-x86_64`. None for that of this machine.
    """
    digest = hashlib.sha256()
    for part in (
        *module_files().values(),
        "\0".join(FLAGS).encode(),
        go.encode(),
        (platform or platform_name()).encode(),
    ):
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()[:24]


def stored_builds() -> tuple[KnownBuild, ...]:
    """Return all builds of `binaries/digests.json`."""
    text = (resources.files("tallystick.localplane") / "binaries" / "digests.json").read_text(encoding="utf-8")
    entries: dict[str, dict[str, Any]] = json.loads(text)
    return tuple(KnownBuild(key, entry["go"], entry["platform"], entry["programs"]) for key, entry in entries.items())


def known_builds() -> tuple[KnownBuild, ...]:
    """Return the builds of `binaries/digests.json` that are of our sources and flags, for this machine."""
    return tuple(build for build in stored_builds() if build.key == cache_key(build.go))


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    # 290 MB take 0.2 s with the SHA instructions of current processors: cheap enough for every start.
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def digest_or_none(path: Path) -> str | None:
    """Return the SHA-256 of a file, or None if it cannot be read."""
    try:
        return digest_of(path)
    except OSError:
        return None
