"""Each part of the controller that can end: whichever ends in whatever way, the controller ends, with its name."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace

import pytest

from tallystick.controller.controller import Controller, ControllerSettings, Engine
from tallystick.controller.expiry import ExpiryHeap
from tallystick.controller.kinds import MissingKinds
from tallystick.controller.lease import LeaderElector, LeaseName
from tallystick.controller.list_watch import ListWatch
from tallystick.controller.part import ControllerPart
from tallystick.controller.relist import Relister
from tallystick.controller.work_queue import WorkQueue
from tallystick.controller.worklist import Worklist
from tallystick.objects.kind import Kind
from tallystick.objects.ports import UnavailableError
from tallystick.objects.result import Result
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS
from tallystick.registry import KINDS
from tallystick.runtime import chores
from tallystick.runtime.chores import Chore
from tallystick.runtime.events import EventRecorder
from tallystick.runtime.metrics import make_metrics
from tallystick.schema.builtin import LEASES
from tests.builders import NOON
from tests.fakes import FakeClock, FakeCluster, FakeFeed
from tests.virtual_time import LoopClock, in_virtual_time

MEMBERS = {
    "the events": (EventRecorder, "run"),
    "the re-list": (Controller, "_sync"),
    "the comparison of kinds that are back": (MissingKinds, "next_returned"),
    "the re-list of a kind": (Relister, "run"),
    "the watch of a paged kind": (ListWatch, "run"),
    "the Lease": (LeaderElector, "_acquire"),
    "the renewal of the Lease": (LeaderElector, "_renew_until_lost"),
    "the work of the leader": (Controller, "_lead"),
    "the work queue": (Worklist, "run"),
    "the workers": (WorkQueue, "run"),
    "the expiry heap": (ExpiryHeap, "run"),
    "a chore": (chores, "attempt"),
}


async def returns(*_: object) -> None:
    return None


async def is_canceled(*_: object) -> None:
    raise asyncio.CancelledError


async def fails(*_: object) -> None:
    raise ValueError("a bug")


# These are functions that a part calls: that they return is no end of the part.
NO_PARTS = {"the comparison of kinds that are back", "the Lease", "a chore"}
WAYS = {"it returns": returns, "another cancels it": is_canceled, "it fails": fails}
CASES = [
    pytest.param(member, way, id=f"{member}: {how}")
    for member in MEMBERS
    for how, way in WAYS.items()
    if not (way is returns and member in NO_PARTS)
]


# PairingTokens, as if they were many.
PAGED = (replace(KINDS[0], paged=True), *KINDS[1:])


def a_controller(cluster: FakeCluster, feed: FakeFeed | None = None, kinds: Sequence[Kind] = PAGED) -> Controller:
    metrics = make_metrics(kinds)
    engine = Engine(
        cluster=cluster,
        feed=feed or FakeFeed(),
        worklist=Worklist(kinds, FakeClock(NOON), metrics),
        events=EventRecorder(cluster, FakeClock(NOON), "tallystick-controller"),
        elector=LeaderElector(cluster, LoopClock(), LeaseName("tallystick-system", "tallystick-controller", "one")),
        make_keyring=returns,
    )
    part = ControllerPart(reconcilers={}, chores=(Chore(every=1.0, run=returns, what="rest"),))
    return Controller(engine, ControllerSettings(), parts=[part])


@pytest.mark.parametrize(("member", "way"), CASES)
def test_the_end_of_a_part_is_the_end_of_the_controller_and_the_lease_is_free(
    member: str, way: Callable[..., Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(*MEMBERS[member], way)
    cluster = FakeCluster()

    @in_virtual_time
    async def run() -> None:
        async with asyncio.timeout(30):
            await a_controller(cluster).run()

    with pytest.raises(Exception) as raised:  # noqa: PT011 - each member has its own
        run()

    assert not isinstance(raised.value, TimeoutError)
    lease = cluster.peek(LEASES, "tallystick-system", "tallystick-controller")
    assert lease is None or lease["spec"]["holderIdentity"] == ""


@in_virtual_time
async def test_a_kind_that_is_back_is_compared_with_the_cache_and_its_objects_are_looked_at() -> None:
    cluster = FakeCluster()
    controller = a_controller(cluster, kinds=KINDS)
    body = cluster.put(PAIRING_TOKENS, {"metadata": {"namespace": "edge", "name": "gone"}, "spec": {}})
    controller.observe(PAIRING_TOKENS, "ADDED", body)
    cluster.remove(PAIRING_TOKENS, "edge", "gone")
    task = asyncio.create_task(controller._read_returned())

    controller._engine.missing.update({PAIRING_TOKENS})
    controller._engine.missing.update({})
    await asyncio.sleep(1)
    task.cancel()

    assert controller._engine.missing._returned == set()
    assert controller.is_news(PAIRING_TOKENS, "MODIFIED", body)


async def canceled(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


@in_virtual_time
async def test_a_controller_is_ready_when_its_own_watch_has_listed_all_pages() -> None:
    cluster, feed, loop = FakeCluster(), FakeFeed(), asyncio.get_running_loop()
    feed.put("a")
    feed.fail("list", UnavailableError("busy", retry_after=50.0))
    controller = a_controller(cluster, feed)
    running = asyncio.create_task(controller.run())
    await asyncio.sleep(49)
    before = controller.why_not_ready
    await asyncio.sleep(2)
    after = controller.why_not_ready
    await canceled(running)

    assert (before, after) == ("the first listing is not complete", None)
    assert controller._worklist.cache.keys(PAIRING_TOKENS) == [("edge", "a")]
    # kopf's kinds are compared with a listing. This one is not listed for that.
    assert "pairingtokens" not in {call.plural for call in cluster.calls}
    assert loop.time() < 120


@in_virtual_time
async def test_a_change_that_its_own_watch_delivers_is_reconciled() -> None:
    feed, done = FakeFeed(), list[str]()

    class Noting:
        async def reconcile(self, namespace: str, name: str) -> Result:
            done.append(name)
            return Result()

    controller = a_controller(FakeCluster(), feed)
    controller._reconcilers[PAIRING_TOKENS] = Noting()
    running = asyncio.create_task(controller.run())
    feed.put("a")
    await asyncio.sleep(10)
    feed.put("b")
    await asyncio.sleep(1)
    feed.remove("a")
    await asyncio.sleep(1)
    await canceled(running)

    assert done == ["a", "b", "a"]


@in_virtual_time
async def test_a_paged_kind_that_is_back_is_read_when_its_own_watch_has_listed_it() -> None:
    feed = FakeFeed()
    controller = a_controller(FakeCluster(), feed)
    missing = controller._engine.missing
    missing.update({PAIRING_TOKENS})
    running = asyncio.create_task(controller.run())
    await asyncio.sleep(5)
    ready = controller.why_not_ready
    feed.fail("list", UnavailableError("busy", retry_after=50.0))
    missing.update({})
    await asyncio.sleep(40)
    during = set(missing._returned)
    await asyncio.sleep(20)
    await canceled(running)

    assert (ready, during, missing._returned) == (None, {PAIRING_TOKENS}, set())


def test_each_watched_namespace_has_a_watch_of_its_own() -> None:
    engine = a_controller(FakeCluster())._engine
    controller = Controller(engine, ControllerSettings(watch_namespaces=("edge", "core")), parts=[])

    assert {one.name for one in controller._list_watches} == {
        f"the watch of {plural} in {namespace}"
        for plural in ("secrets", "pairingtokens", "joinkeys", "devices")
        for namespace in ("edge", "core")
    }
