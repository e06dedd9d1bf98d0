"""A plugin of pytest that takes one permission away from every installation of a run, and shortens the waits.

pytest -p tests.permissions.plugin --without-permission="exchange served tokenrotations.tallystick.dev get" TEST
"""

from typing import Any

import pytest

from tallystick.install import rbac
from tests.chart.live.permissions import Permission, is_in, without
from tests.harness import processes

Json = dict[str, Any]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--without-permission", default="", help="the permission; nothing: all are granted")
    parser.addoption("--patience", type=float, default=20.0, help="seconds that a test waits for a fact at most")


def pytest_configure(config: pytest.Config) -> None:
    """Change what the code installs. The tests of the chart change what Helm has installed."""
    processes.patience = config.getoption("--patience")
    taken = config.getoption("--without-permission")
    if taken:
        rbac._granted = _less(Permission.parse(taken), rbac._granted)


def _less(permission: Permission, granted: Any) -> Any:
    def less(kind: str, metadata: Json, rules: list[Json], *more: Any) -> list[Json]:
        left = without(rules, permission) if is_in(metadata["name"], permission) else rules
        result: list[Json] = granted(kind, metadata, left, *more)
        return result

    return less
