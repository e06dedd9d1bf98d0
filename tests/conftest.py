"""Fixtures and hooks of all tests. Unit tests use no fixture of these, so they need no control plane."""

import itertools
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

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

# An example may take 200 ms by default. On a busy machine any of them takes longer now and then.
settings.register_profile("at any speed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("at any speed")

NEEDS_NO_PLANE = 3
# The part of the files without a plane that come between those that wait. They need a minute of the processor.
SHARE_BETWEEN = 0.7


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Order the tests by their files; of several processes each takes the next file, and has a plane of its own.

    First come the files with processes of their own: they take turns on the plane before its system starts, and they
    wait the longest. What tries the API server's rules runs before the system, too: those tests write statuses by hand,
    as every writer may try to; a controller at work would write between.

    Tests without a plane may run at any time, and use the processor alone. Some of their files come between those that
    wait, so that the processor has work meanwhile. The others come last, so that the processes end together.
    """
    proofs.select(items, config)
    with_system, on_their_own = _files_with(items, "system"), _files_with(items, "vacant_plane", "own_plane")

    def rank(item: pytest.Item) -> int:
        if not {"live", "localplane"} & set(item.path.parts):
            return NEEDS_NO_PLANE
        if item.path in on_their_own:
            return 0
        return 2 if item.path in with_system else 1

    items.sort(key=rank)
    waiting = [file for file, of_file in _by_file(items).items() if rank(of_file[0]) == 0]
    fillers = [file for file, of_file in _by_file(items).items() if rank(of_file[0]) == NEEDS_NO_PLANE]
    items[:] = _interleaved(items, waiting, fillers[: round(SHARE_BETWEEN * len(fillers))])


def _interleaved(items: list[pytest.Item], waiting: list[Path], fillers: list[Path]) -> list[pytest.Item]:
    """Put the same number of fillers after each of the files that wait; all others keep their order."""
    by_file, order, left = _by_file(items), list[Path](), iter(fillers)
    for number, file in enumerate(waiting, start=1):
        order += [file, *itertools.islice(left, len(fillers) * number // len(waiting) - len(order) + number - 1)]
    rest = by_file.keys() - set(order)
    order += [file for file in by_file if file in rest]
    return [item for file in order for item in by_file[file]]


def _by_file(items: list[pytest.Item]) -> dict[Path, list[pytest.Item]]:
    found: dict[Path, list[pytest.Item]] = {}
    for item in items:
        found.setdefault(item.path, []).append(item)
    return found


def _files_with(items: list[pytest.Item], *fixtures: str) -> set[Path]:
    return {item.path for item in items if set(fixtures) & set(getattr(item, "fixturenames", ()))}
