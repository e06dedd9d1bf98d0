"""Compare what the product prints with the file that was printed before, or write that file again."""

import difflib
import os
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
UPDATES = bool(os.environ.get("UPDATE_GOLDENS"))
HOW_TO_UPDATE = "a user sees this change; if it is meant, run `make goldens` and commit the files"


def assert_same(name: str, printed: str) -> None:
    """Compare a text with the stored one of that name."""
    path = FOLDER / name
    if UPDATES:
        path.parent.mkdir(exist_ok=True)
        path.write_text(printed, encoding="utf-8")
    stored = path.read_text(encoding="utf-8") if path.exists() else ""
    changes = difflib.unified_diff(
        stored.splitlines(keepends=True), printed.splitlines(keepends=True), f"stored {name}", f"printed {name}"
    )
    if printed != stored:
        pytest.fail(f"{HOW_TO_UPDATE}\n{''.join(changes)}", pytrace=False)


def assert_no_others(folder: str, names: set[str]) -> None:
    """Every stored file of a folder belongs to something that is still there."""
    others = {path.name for path in (FOLDER / folder).iterdir()} - names
    if UPDATES:
        for name in others:
            (FOLDER / folder / name).unlink()
        others = set()
    assert others == set(), f"{folder}: {HOW_TO_UPDATE}"
