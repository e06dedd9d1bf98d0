"""Who writes ConnectionConfigurations in the tests of their policies: fixtures for a module with a namespace."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from tallystick.install.installation import Installation
from tests.harness.api import Api
from tests.harness.connections import a_connection, slots
from tests.harness.grants import grant

Json = dict[str, Any]


@pytest.fixture(scope="module")
def build(namespace: str) -> Callable[..., Json]:
    """Build ConnectionConfigurations of names that nobody uses yet."""
    numbers = itertools.count(1)
    return lambda *names: a_connection(namespace, f"connection-{next(numbers)}", tokens=slots(*(names or ("a",))))


@pytest.fixture(scope="module")
def controller(admin: Api, installed: Installation) -> Api:
    """The controller with no more rights than it is given."""
    return admin.as_user(installed.service_account("controller"))


@pytest.fixture(scope="module")
def exchange(admin: Api, installed: Installation) -> Api:
    """The exchange with no more rights than it is given."""
    return admin.as_user(installed.service_account("exchange"))


@pytest.fixture(scope="module")
def people(admin: Api, namespace: str) -> dict[str, Api]:
    """One person for each of the ClusterRoles that an installation ships, by the role's name."""
    for role in ("view", "edit", "introspect"):
        grant(admin, namespace, f"connection-{role}", f"tallystick-{role}")
    return {role: admin.as_user(f"connection-{role}") for role in ("view", "edit", "introspect")}
