"""Fixtures and hooks of all tests. Unit tests use no fixture of these, so they need no control plane."""

import pytest

from tests.harness import proofs
from tests.harness.exchange import exchange, second_replica
from tests.harness.installed import admin, installed, make_namespace
from tests.harness.pairing_site import site
from tests.harness.plane import plane, pytest_collection_finish
from tests.harness.proofs import figure, pytest_addoption, pytest_configure, pytest_terminal_summary, rounds
from tests.harness.system import system

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
    "pytest_terminal_summary",
    "rounds",
    "second_replica",
    "site",
    "system",
]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run what tries the API server's rules before the controller runs on the same plane.

    Those tests write statuses by hand, as every writer may try to; a controller at work would write between.
    """
    proofs.select(items, config)
    items.sort(key=lambda item: "system" in getattr(item, "fixturenames", ()))
