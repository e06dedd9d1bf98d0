"""Fixtures and hooks of all tests. Unit tests use no fixture of these, so they need no control plane."""

from pathlib import Path

import pytest

from tests.harness import proofs
from tests.harness.exchange import exchange, second_replica
from tests.harness.installed import admin, installed, make_namespace
from tests.harness.pairing_site import site
from tests.harness.plane import plane, pytest_collection_finish
from tests.harness.proofs import (
    figure,
    pytest_addoption,
    pytest_configure,
    pytest_generate_tests,
    pytest_pycollect_makeitem,
    pytest_terminal_summary,
    rounds,
)
from tests.harness.system import system
from tests.harness.turns import vacant_plane

__all__ = [
    "admin",
    "exchange",
    "figure",
    "installed",
    "make_namespace",
    "plane",
    "pytest_addoption",
    "pytest_collection_finish",
    "pytest_collection_modifyitems",
    "pytest_configure",
    "pytest_generate_tests",
    "pytest_pycollect_makeitem",
    "pytest_terminal_summary",
    "rounds",
    "second_replica",
    "site",
    "system",
    "vacant_plane",
]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Order the tests by their files; of several processes each takes the next file, and has a plane of its own.

    First come the files with processes of their own: they take turns on the plane before its system starts, and they
    wait the longest. What tries the API server's rules runs before the system, too: those tests write statuses by hand,
    as every writer may try to; a controller at work would write between. The examples come before whatever moves the
    clock of the running system, for their readers have none to move. What is short comes last.
    """
    proofs.select(items, config)
    with_system, on_their_own = _files_with(items, "system"), _files_with(items, "vacant_plane", "own_plane")

    def rank(item: pytest.Item) -> int:
        if not {"live", "localplane"} & set(item.path.parts):
            return 4
        if item.path in on_their_own:
            return 0
        if item.path.name == "test_examples.py":
            return 2
        return 3 if item.path in with_system else 1

    items.sort(key=rank)


def _files_with(items: list[pytest.Item], *fixtures: str) -> set[Path]:
    return {item.path for item in items if set(fixtures) & set(getattr(item, "fixturenames", ()))}
