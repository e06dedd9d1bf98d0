"""The commands of the READMEs for Argo CD and Flux, as a reader would run them."""

import itertools
import re
import shlex
from pathlib import Path

from tests.gitops.customizations import EXAMPLE
from tests.unit.test_house import REPOSITORY

# Each page with the folder that a reader is in.
PAGES = {REPOSITORY / "README.md": REPOSITORY, EXAMPLE / "README.md": EXAMPLE}
ARGO, FLUX = "Argo CD", "Flux"


def commands(page: Path, title: str) -> list[list[str]]:
    """Return the commands of the first block below a heading: the title, or `With` and the title."""
    text = page.read_text(encoding="utf-8")
    found = re.search(rf"^##+ (?:With )?{title}\n(?:(?!^#).*\n)*?```\n((?:.*\n)*?)```", text, flags=re.MULTILINE)
    assert found, f"{page.name} has no commands for {title}"
    return [shlex.split(line) for line in found[1].splitlines()]


def paths_in(command: list[str]) -> list[tuple[str, str]]:
    """Return each path of a command with the flag before it."""
    return [pair for pair in itertools.pairwise(command) if pair[0] in ("--filename", "--kustomize")]
