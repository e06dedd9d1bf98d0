"""One control plane for a whole test run, and one for a test file that kills or stops its own.

`tests/conftest.py` imports the one of the run, and the hook that builds the binaries before any test's timeout runs.
"""

from collections.abc import Callable, Iterator

import pytest

from tallystick.localplane.build import find_binaries
from tallystick.localplane.plane import ControlPlane


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build the control plane now if a collected test needs it: the first time takes minutes, and says so."""
    if session.config.option.collectonly:
        return
    if any(needs_plane(item) for item in session.items):
        find_binaries(_terminal(session.config))


def needs_plane(item: pytest.Item) -> bool:
    """Return whether a test needs the control plane: by a fixture, or because its file starts one of its own."""
    fixtures = {"plane", "own_plane"} & set(getattr(item, "fixturenames", ()))
    return bool(fixtures) or "live" in item.path.parts or item.get_closest_marker("gitops") is not None


@pytest.fixture(scope="session")
def plane(pytestconfig: pytest.Config) -> Iterator[ControlPlane]:
    """A running control plane; its data is gone at the end."""
    with ControlPlane.start(report=_terminal(pytestconfig)) as running:
        yield running


@pytest.fixture(scope="module")
def own_plane() -> Iterator[ControlPlane]:
    """A control plane that only the tests of one file use. The file imports this name, and has it in its `__all__`."""
    with ControlPlane.start(report=lambda _: None) as running:
        yield running


def _terminal(config: pytest.Config) -> Callable[[str], None]:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    return print if reporter is None else reporter.write_line
