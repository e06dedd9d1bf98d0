"""The controller makes up for what its watch has missed, ranks what it sees, and ignores an echo of its own writes."""

import asyncio
import itertools
from typing import Any

import pytest

from tallystick.controller.controller import Controller, ControllerSettings, Engine
from tallystick.controller.lease import LeaderElector, LeaseName
from tallystick.controller.part import ControllerPart
from tallystick.controller.relist import Listing
from tallystick.controller.worklist import Worklist
from tallystick.crypto.keyring import KeyringError
from tallystick.objects.ports import UnavailableError
from tallystick.objects.result import Result
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS
from tallystick.registry import KINDS
from tallystick.runtime.chores import Chore, FirstRun, Run
from tallystick.runtime.events import EventRecorder
from tallystick.runtime.metrics import Metrics, make_metrics
from tallystick.schema.builtin import SECRETS
from tests.builders import NOON
from tests.fakes import FakeClock, FakeCluster, FakeFeed
from tests.virtual_time import in_virtual_time

KEY = ("edge", "site-a")


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


@pytest.fixture
def metrics() -> Metrics:
    return make_metrics(KINDS)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOON)


@pytest.fixture
def worklist(clock: FakeClock, metrics: Metrics) -> Worklist:
    return Worklist(KINDS, clock, metrics)


async def already_done() -> None:
    """Make a keyring that is there."""


def an_engine(cluster: FakeCluster, clock: FakeClock, worklist: Worklist, make_keyring: Run = already_done) -> Engine:
    return Engine(
        cluster=cluster,
        feed=FakeFeed(),
        worklist=worklist,
        events=EventRecorder(cluster, clock, "tallystick-controller", on_suppressed=lambda: None),
        elector=LeaderElector(cluster, clock, LeaseName("tallystick-system", "tallystick-controller", "one")),
        make_keyring=make_keyring,
    )


@pytest.fixture
def controller(cluster: FakeCluster, clock: FakeClock, worklist: Worklist) -> Controller:
    return Controller(an_engine(cluster, clock, worklist), ControllerSettings(), parts=[])


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
    worklist: Worklist, cluster: FakeCluster, metrics: Metrics, event_type: str | None, expected: tuple[int, int]
) -> None:
    worklist.start_leading()

    worklist.observe(PAIRING_TOKENS, event_type, a_token(cluster, "site-a"))

    assert waiting(metrics) == expected


async def test_what_changes_during_the_first_looks_goes_before_them(
    worklist: Worklist, cluster: FakeCluster, metrics: Metrics
) -> None:
    bodies = [a_token(cluster, f"site-{number}") for number in range(3)]
    for body in bodies:
        worklist.observe(PAIRING_TOKENS, None, body)
    assert waiting(metrics) == (0, 0)  # it does not lead yet
    worklist.start_leading()
    assert waiting(metrics) == (0, 3)

    worklist.observe(PAIRING_TOKENS, "ADDED", a_token(cluster, "fresh"))
    worklist.observe(PAIRING_TOKENS, "DELETED", bodies[0])
    worklist.look_at_all_again()

    assert waiting(metrics) == (2, 2)


async def test_a_secret_that_another_client_deletes_is_urgent_for_its_owner(
    worklist: Worklist, cluster: FakeCluster, metrics: Metrics
) -> None:
    worklist.observe(PAIRING_TOKENS, None, a_token(cluster, "site-a"))
    secret = cluster.put(SECRETS, {"metadata": {"namespace": "edge", "name": "site-a-pairing-token"}})
    worklist.observe(SECRETS, None, secret)
    worklist.start_leading()

    worklist.observe(SECRETS, "DELETED", secret)

    assert waiting(metrics) == (1, 0)


async def test_a_replica_that_does_not_lead_queues_nothing(
    worklist: Worklist, cluster: FakeCluster, metrics: Metrics
) -> None:
    worklist.observe(PAIRING_TOKENS, "ADDED", a_token(cluster, "site-a"))

    worklist.look_again(PAIRING_TOKENS, "edge", "site-a")
    worklist.look_at_all_again()

    assert waiting(metrics) == (0, 0)


class Story:
    """Records the steps of a leader, in their order."""

    def __init__(self) -> None:
        self.steps: list[str] = []

    def does(self, what: str, *failures: Exception) -> Run:
        pending = list(failures)

        async def run() -> None:
            self.steps.append(what)
            if pending:
                raise pending.pop(0)

        return run

    async def reconcile(self, namespace: str, name: str) -> Result:
        self.steps.append(f"reconcile {namespace}/{name}")
        return Result()


def a_chore(story: Story, what: str, first_run: FirstRun, *failures: Exception) -> Chore:
    return Chore(every=60.0, run=story.does(what, *failures), what=what, first_run=first_run)


async def lead(controller: Controller, seconds: float) -> None:
    """Lead for so long."""
    controller._synced.set()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(seconds):
            await controller._lead()


@in_virtual_time
async def test_a_leader_makes_the_keyring_then_prepares_then_reconciles_then_cares_for_the_keys() -> None:
    story, cluster, clock = Story(), FakeCluster(), FakeClock(NOON)
    worklist = Worklist(KINDS, clock, make_metrics(KINDS))
    worklist.observe(PAIRING_TOKENS, None, a_token(cluster, "site-a"))
    engine = an_engine(cluster, clock, worklist, make_keyring=story.does("make keyring", UnavailableError("down")))
    part = ControllerPart(
        reconcilers={PAIRING_TOKENS: story},
        chores=(
            a_chore(story, "after one interval", FirstRun.AFTER_ONE_INTERVAL),
            a_chore(story, "after first looks", FirstRun.AFTER_FIRST_LOOKS),
            a_chore(story, "before leading", FirstRun.BEFORE_LEADING, UnavailableError("down")),
        ),
    )

    await lead(Controller(engine, ControllerSettings(), parts=[part]), seconds=90.0)

    first, later = story.steps[:5], story.steps[5:]
    assert first == ["make keyring", "make keyring", "before leading", "reconcile edge/site-a", "after first looks"]
    assert sorted(later) == ["after first looks", "after one interval", "before leading"]


@in_virtual_time
async def test_an_object_that_is_never_at_rest_delays_the_care_by_one_interval_at_most() -> None:
    story, cluster, clock = Story(), FakeCluster(), FakeClock(NOON)
    worklist = Worklist(KINDS, clock, make_metrics(KINDS))
    worklist.observe(PAIRING_TOKENS, None, a_token(cluster, "site-a"))

    class Endless(Story):
        async def reconcile(self, namespace: str, name: str) -> Result:
            await asyncio.Event().wait()
            return Result()

    chore = a_chore(story, "care", FirstRun.AFTER_FIRST_LOOKS)
    part = ControllerPart(reconcilers={PAIRING_TOKENS: Endless()}, chores=(chore,))
    controller = Controller(an_engine(cluster, clock, worklist), ControllerSettings(), parts=[part])

    await lead(controller, seconds=59.0)
    assert story.steps == []
    await lead(controller, seconds=61.0)
    assert story.steps == ["care"]


@in_virtual_time
async def test_an_error_that_no_later_attempt_can_mend_ends_the_leader() -> None:
    story, cluster, clock = Story(), FakeCluster(), FakeClock(NOON)
    worklist = Worklist(KINDS, clock, make_metrics(KINDS))
    chore = a_chore(story, "read the keyring", FirstRun.AFTER_ONE_INTERVAL, KeyringError("damaged"))
    part = ControllerPart(reconcilers={}, chores=(chore,))
    controller = Controller(an_engine(cluster, clock, worklist), ControllerSettings(), parts=[part])
    controller._synced.set()

    with pytest.raises(KeyringError):
        await controller._lead()


@in_virtual_time
async def test_an_object_whose_next_step_cannot_be_taken_is_tried_ever_more_slowly_and_its_expiry_stays_planned(
    clock: FakeClock, metrics: Metrics
) -> None:
    worklist = Worklist(KINDS, clock, metrics)
    tried: list[float] = []

    class Failing:
        async def reconcile(self, namespace: str, name: str) -> Result:
            tried.append(asyncio.get_running_loop().time())
            return Result(requeue_at=NOON, failed=True) if len(tried) < 5 else Result()

    worklist.observe(PAIRING_TOKENS, "ADDED", a_token(FakeCluster(), "site-a"))
    planned: list[object] = []
    worklist._heap.set = lambda key, when: planned.append(when)
    worklist.start_leading()
    running = asyncio.create_task(worklist.run({PAIRING_TOKENS: Failing()}, 1))
    await asyncio.sleep(120)
    running.cancel()

    pauses = [after - before for before, after in itertools.pairwise(tried)]
    assert len(tried) == 5
    assert all(0.25 * 2**number <= pause <= 0.5 * 2**number for number, pause in enumerate(pauses))
    assert planned == [NOON] * 4
    failed = {"kind": "PairingToken", "result": "failed"}
    assert metrics.registry.get_sample_value("tallystick_reconciles_total", failed) == 4
