"""The story of an installation on real nodes. The tests run in their order, on one release."""

import pytest

from tests.e2e.releases import Release

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


def test_an_installation_that_waited_is_ready(release: Release) -> None:
    for component in ("controller", "exchange"):
        pods = release.pods(component)
        assert len(pods) == 2
        for pod in pods:
            assert all(status["ready"] and not status["restartCount"] for status in pod["status"]["containerStatuses"])


def test_helm_test_passes(release: Release) -> None:
    assert "Phase:          Succeeded" in release.test()
