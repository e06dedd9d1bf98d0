#!/usr/bin/env python3
"""Print `version=X` if the tag of a release, the package and the chart have the same version; else fail.

    .github/scripts/version.py v0.1.0

The image has this version as its tag, and the chart names the image by its appVersion.
"""

import re
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PLACES = {
    "operator/tallystick/__init__.py": r'^__version__ = "(.+)"$',
    "helm/tallystick/Chart.yaml": r'^version: "?([^"\s]+)"?$',
    "helm/tallystick/Chart.yaml (appVersion)": r'^appVersion: "?([^"\s]+)"?$',
}


def versions(repository: Path) -> dict[str, str]:
    """Return the version of each place; '' if a place has none."""
    found = {}
    for place, pattern in PLACES.items():
        path = repository / place.split()[0]
        match = re.search(pattern, path.read_text(encoding="utf-8"), re.MULTILINE) if path.is_file() else None
        found[place] = match[1] if match else ""
    return found


def main(tag: str) -> str:
    """Return the line for $GITHUB_OUTPUT, or exit with a sentence."""
    version = tag.removeprefix("v")
    wrong = {place: found for place, found in versions(REPOSITORY).items() if found != version}
    if wrong or tag != f"v{version}":
        places = ", ".join(f"{place}: {found or 'none'}" for place, found in wrong.items())
        sys.exit(f"Tag {tag} differs from the version in {places or 'its own form, vX.Y.Z'}. Use one version for all.")
    return f"version={version}"


if __name__ == "__main__":
    print(main(sys.argv[1]))  # noqa: T201
