import pytest

from tests.fakes import FakeClock, FakeCluster
from tests.worlds.instance_logs import a_log
from tests.worlds.world import World


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def cluster(clock):
    return FakeCluster(clock=clock)


@pytest.fixture
def instances(cluster, clock):
    return a_log(cluster, clock)
