#!/usr/bin/env python3
"""Print the section of a version in CHANGELOG.md: the notes of its release.

.github/scripts/notes.py 0.1.0
"""

import re
import sys
from pathlib import Path

CHANGELOG = Path(__file__).parents[2] / "CHANGELOG.md"


def notes_of(changelog: str, version: str) -> str:
    """Return the lines below `## [version]` or `## version`, up to the next section; '' if there is none."""
    heading = rf"^## \[?{re.escape(version)}\]?(?: [^\n]*)?$"
    found = re.search(rf"{heading}\n(.*?)(?=^## |\Z)", changelog, re.MULTILINE | re.DOTALL)
    return found[1].strip() if found else ""


if __name__ == "__main__":
    notes = notes_of(CHANGELOG.read_text(encoding="utf-8"), sys.argv[1])
    if not notes:
        sys.exit(f"CHANGELOG.md has no section for {sys.argv[1]}. Rename the section of unreleased changes first.")
    print(notes)  # noqa: T201
