"""The controller makes up for what its watch has missed, and knows an echo of its own writes."""

import pytest

from tallystick.controller.controller import Controller, ControllerSettings
from tallystick.controller.relist import Listing
from tallystick.objects.server_clock import ServerClock
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS
from tallystick.registry import KINDS
from tallystick.runtime.metrics import make_metrics
from tests.builders import NOON, a_policy
from tests.fakes import FakeClock, FakeCluster, MemoryAudit

KEY = ("edge", "site-a")


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


@pytest.fixture
def controller(cluster: FakeCluster) -> Controller:
    clock = FakeClock(NOON)
    settings = ControllerSettings(namespace="tallystick-system", identity="one", policy=a_policy())
    return Controller(
        cluster,
        settings,
        kinds=KINDS,
        clock=clock,
        server_clock=ServerClock(clock),
        audit=MemoryAudit(),
        metrics=make_metrics(),
    )


async def test_an_object_that_the_watch_has_missed_is_read(controller: Controller, cluster: FakeCluster) -> None:
    body = cluster.put(PAIRING_TOKENS, {"metadata": {"namespace": "edge", "name": "site-a"}, "spec": {}})
    assert controller.is_news(PAIRING_TOKENS, "MODIFIED", body)

    await controller._on_listing(PAIRING_TOKENS, Listing(listed=1, gone=(), missing=(KEY,), outdated=()))

    assert not controller.is_news(PAIRING_TOKENS, "MODIFIED", body)


async def test_an_object_that_the_watch_shows_in_an_old_version_is_read_again(
    controller: Controller, cluster: FakeCluster
) -> None:
    old = cluster.put(PAIRING_TOKENS, {"metadata": {"namespace": "edge", "name": "site-a"}, "spec": {}})
    controller.observe(PAIRING_TOKENS, "ADDED", old)
    new = await cluster.replace(PAIRING_TOKENS, {**old, "spec": {"serial": 2}})

    await controller._on_listing(PAIRING_TOKENS, Listing(listed=1, gone=(), missing=(), outdated=(KEY,)))

    assert not controller.is_news(PAIRING_TOKENS, "MODIFIED", new)


async def test_a_missed_object_that_is_gone_by_now_is_no_fault(controller: Controller) -> None:
    await controller._on_listing(PAIRING_TOKENS, Listing(listed=1, gone=(), missing=(KEY,), outdated=()))


async def test_a_deletion_is_always_news(controller: Controller, cluster: FakeCluster) -> None:
    body = cluster.put(PAIRING_TOKENS, {"metadata": {"namespace": "edge", "name": "site-a"}, "spec": {}})
    controller.observe(PAIRING_TOKENS, "ADDED", body)

    news = [controller.is_news(PAIRING_TOKENS, kind, body) for kind in ("MODIFIED", "DELETED", None)]

    assert news == [False, True, False]
