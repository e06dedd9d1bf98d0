"""The controller makes up for what its watch has missed, ranks what it sees, and ignores an echo of its own writes."""

from typing import Any

import pytest

from tallystick.controller.controller import Controller, ControllerSettings
from tallystick.controller.relist import Listing
from tallystick.objects.server_clock import ServerClock
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS
from tallystick.registry import KINDS
from tallystick.runtime.metrics import Metrics, make_metrics
from tallystick.schema.builtin import SECRETS
from tests.builders import NOON, a_policy
from tests.fakes import FakeClock, FakeCluster, MemoryAudit

KEY = ("edge", "site-a")


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


@pytest.fixture
def metrics() -> Metrics:
    return make_metrics()


@pytest.fixture
def controller(cluster: FakeCluster, metrics: Metrics) -> Controller:
    clock = FakeClock(NOON)
    settings = ControllerSettings(namespace="tallystick-system", identity="one", policy=a_policy())
    return Controller(
        cluster,
        settings,
        kinds=KINDS,
        clock=clock,
        server_clock=ServerClock(clock),
        audit=MemoryAudit(),
        metrics=metrics,
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


def waiting(metrics: Metrics) -> tuple[float | None, float | None]:
    """How many keys wait on each level: urgent, routine."""
    urgent, routine = (
        metrics.registry.get_sample_value("tallystick_queue_level_depth", {"level": level})
        for level in ("urgent", "routine")
    )
    return urgent, routine


def a_token(cluster: FakeCluster, name: str) -> dict[str, Any]:
    return cluster.put(PAIRING_TOKENS, {"metadata": {"namespace": "edge", "name": name}, "spec": {}})


@pytest.mark.parametrize(
    ("event_type", "expected"),
    [
        pytest.param(None, (0, 1), id="an object of a listing is looked at"),
        pytest.param("ADDED", (1, 0), id="a new object is a change"),
        pytest.param("MODIFIED", (1, 0), id="an edit is a change"),
    ],
)
async def test_a_change_is_urgent_and_a_listing_is_routine(
    controller: Controller, cluster: FakeCluster, metrics: Metrics, event_type: str | None, expected: tuple[int, int]
) -> None:
    controller._leading = True

    controller.observe(PAIRING_TOKENS, event_type, a_token(cluster, "site-a"))

    assert waiting(metrics) == expected


async def test_what_changes_during_the_first_looks_goes_before_them(
    controller: Controller, cluster: FakeCluster, metrics: Metrics
) -> None:
    bodies = [a_token(cluster, f"site-{number}") for number in range(3)]
    for body in bodies:
        controller.observe(PAIRING_TOKENS, None, body)
    assert waiting(metrics) == (0, 0)  # it does not lead yet
    controller._leading = True
    controller._look_at_all()
    assert waiting(metrics) == (0, 3)

    controller.observe(PAIRING_TOKENS, "ADDED", a_token(cluster, "fresh"))
    controller.observe(PAIRING_TOKENS, "DELETED", bodies[0])
    controller._look_at_all()

    assert waiting(metrics) == (2, 2)


async def test_a_secret_that_somebody_deletes_is_urgent_for_its_owner(
    controller: Controller, cluster: FakeCluster, metrics: Metrics
) -> None:
    controller.observe(PAIRING_TOKENS, None, a_token(cluster, "site-a"))
    secret = cluster.put(SECRETS, {"metadata": {"namespace": "edge", "name": "site-a-pairing-token"}})
    controller.observe(SECRETS, None, secret)
    controller._leading = True
    controller._look_at_all()

    controller.observe(SECRETS, "DELETED", secret)

    assert waiting(metrics) == (1, 0)
