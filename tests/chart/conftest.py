"""Fixtures of the tests of the chart."""

import pytest

from tests.chart.helms import Helm, Wheel, helm_of


@pytest.fixture
def helm(wheel: Wheel, tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """The Helm that the test is parametrized with (`BOTH`)."""
    return helm_of(wheel, tmp_path_factory.mktemp("helm"))
