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


# These bring control planes of their own, so that they can run while others use the one of the test run.
ON_PLANES_OF_THEIR_OWN = (
    "test_connection_crashes",
    "test_connection_license",
    "test_connection_presence",
    "test_demo",
    "test_examples",
    "test_faults_",
    "test_foreign_verifier",
    "test_issue_secrecy",
    "test_keys_in_traffic",
    "test_two_releases",
    "test_up_",
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Order the tests, and say which may not run beside one another.

    What tries the API server's rules runs before the controller does on the same plane: those tests write statuses by
    hand, as every writer may try to; a controller at work would write between.
    """
    proofs.select(items, config)
    items.sort(key=lambda item: "system" in getattr(item, "fixturenames", ()))
    for item in items:
        if item.path.parent.name == "localplane" or item.path.name.startswith(ON_PLANES_OF_THEIR_OWN):
            item.add_marker(pytest.mark.xdist_group("planes"))
        elif item.path.parent.name == "live":
            item.add_marker(pytest.mark.xdist_group("plane"))
