"""Fixtures of all tests. Unit tests use none of them, so they need no control plane."""

from tests.harness.exchange import exchange, second_replica
from tests.harness.installed import admin, installed, make_namespace
from tests.harness.pairing_site import site
from tests.harness.plane import plane, pytest_collection_finish
from tests.harness.system import pytest_collection_modifyitems, system

__all__ = [
    "admin",
    "exchange",
    "installed",
    "make_namespace",
    "plane",
    "pytest_collection_finish",
    "pytest_collection_modifyitems",
    "second_replica",
    "site",
    "system",
]
