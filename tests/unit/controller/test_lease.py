"""Leadership: one at a time, given up in time, taken over in time, whatever clocks and answers do."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

import pytest

from tallystick.controller.lease import LeaderElector, LeaseName
from tallystick.objects.ports import ConflictError, UnavailableError
from tallystick.schema.builtin import LEASES
from tests.fakes import FakeCluster
from tests.virtual_time import LoopClock, in_background, in_virtual_time


@dataclass
class Replica:
    """One process that competes, and what has happened to it: (what, when)."""

    identity: str
    cluster: FakeCluster
    clock: LoopClock = field(default_factory=LoopClock)
    log: list[tuple[str, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.elector = LeaderElector(
            self.cluster, self.clock, LeaseName("tallystick", "controller", self.identity), jitter=lambda: 0.0
        )

    def note(self, what: str) -> None:
        self.log.append((what, asyncio.get_running_loop().time()))

    async def work(self) -> None:
        self.note("started")
        try:
            await asyncio.Event().wait()
        finally:
            self.note("stopped")

    async def run(self) -> None:
        await self.elector.run(self.work, lambda: self.note("lost"))

    def running(self) -> AbstractAsyncContextManager["asyncio.Task[None]"]:
        return in_background(self.run())

    def lost_at(self) -> list[float]:
        return [when for what, when in self.log if what == "lost"]


def the_lease(cluster: FakeCluster) -> dict:
    return cluster.peek(LEASES, "tallystick", "controller")["spec"]


def give_to(cluster: FakeCluster, holder: str) -> None:
    """Let another process hold the Lease."""
    cluster.edit(LEASES, "tallystick", "controller", lambda body: body["spec"].update(holderIdentity=holder))


def a_lease(holder: str) -> dict:
    return {
        "metadata": {"name": "controller", "namespace": "tallystick"},
        "spec": {"holderIdentity": holder, "leaseDurationSeconds": 15},
    }


def fail_to_renew(cluster: FakeCluster, *, reads: int = 1000, writes: int = 1000) -> None:
    """Reject so many of the next writes, and of the reads that follow them."""
    cluster.fail_next("replace", "leases", UnavailableError("busy"), times=writes)
    cluster.fail_next("get", "leases", UnavailableError("busy"), times=reads)


async def led(cluster: FakeCluster, happens: Callable[[], None], seconds: float) -> tuple[Replica, bool]:
    """Let one replica lead; after a second something happens. Return the replica, and whether it leads at the end."""
    replica = Replica("a", cluster)
    async with replica.running():
        await asyncio.sleep(1)
        happens()
        await asyncio.sleep(seconds)
        return replica, replica.elector.is_leader


@in_virtual_time
async def test_the_first_replica_creates_the_lease_and_leads():
    replica = Replica("a", FakeCluster())
    async with replica.running():
        await asyncio.sleep(1)
        leads = replica.elector.is_leader

    assert leads
    assert replica.log[0] == ("started", 0.0)
    assert the_lease(replica.cluster) == {
        "holderIdentity": "a",
        "leaseDurationSeconds": 15,
        "acquireTime": "2030-01-01T12:00:00.000000Z",
        "renewTime": "2030-01-01T12:00:00.000000Z",
        "leaseTransitions": 0,
    }


@in_virtual_time
async def test_a_leader_renews_with_one_write_and_no_read_each_time():
    replica = Replica("a", FakeCluster())
    async with replica.running():
        await asyncio.sleep(21)

    assert [call.verb for call in replica.cluster.calls] == ["get", "create"] + ["replace"] * 10
    assert the_lease(replica.cluster)["renewTime"] == "2030-01-01T12:00:20.000000Z"
    assert the_lease(replica.cluster)["acquireTime"] == "2030-01-01T12:00:00.000000Z"


@in_virtual_time
async def test_of_two_replicas_one_leads_and_the_other_waits():
    cluster = FakeCluster()
    first, second = Replica("a", cluster), Replica("b", cluster)
    async with first.running(), second.running():
        await asyncio.sleep(300)
        leading = (first.elector.is_leader, second.elector.is_leader)

    assert leading == (True, False)
    assert second.log == []


@in_virtual_time
async def test_a_crashed_leaders_lease_is_taken_over_once_it_was_seen_unchanged_for_its_duration():
    cluster = FakeCluster()
    first, second = Replica("a", cluster), Replica("b", cluster)
    async with first.running():
        await asyncio.sleep(1)
        waiting = asyncio.create_task(second.run())
        await asyncio.sleep(2)
    await asyncio.sleep(30)
    waiting.cancel()

    # The last renewal was at 2 s and the other replica saw it at 3 s: it asks right when the 15 s are over.
    assert second.log[0] == ("started", pytest.approx(18, abs=0.1))
    assert the_lease(cluster)["holderIdentity"] == "b"
    assert the_lease(cluster)["leaseTransitions"] == 1


@pytest.mark.parametrize("skew", [-86_400, 86_400])
@in_virtual_time
async def test_a_skewed_wall_clock_neither_takes_a_renewed_lease_nor_delays_an_expired_one(skew):
    cluster = FakeCluster()
    first, second = Replica("a", cluster), Replica("b", cluster)
    second.clock.jump(skew)
    async with first.running():
        await asyncio.sleep(1)
        async with second.running():
            await asyncio.sleep(60)
            while_alive = list(second.log)
    async with second.running():
        await asyncio.sleep(20)

    assert while_alive == []
    assert ("started", pytest.approx(77, abs=3)) in second.log


@in_virtual_time
async def test_a_lease_that_was_given_back_changes_hands_within_one_attempt():
    cluster = FakeCluster()
    first, second = Replica("a", cluster), Replica("b", cluster)
    async with first.running():
        await asyncio.sleep(1)
        waiting = asyncio.create_task(second.run())
        await asyncio.sleep(9)
    await first.elector.release()

    released = the_lease(cluster)
    await asyncio.sleep(2.1)
    waiting.cancel()

    assert (released["holderIdentity"], released["leaseDurationSeconds"]) == ("", 1)
    assert not first.elector.is_leader
    assert second.log[0] == ("started", pytest.approx(11, abs=1.1))


@in_virtual_time
async def test_a_replica_that_does_not_lead_gives_nothing_back():
    cluster = FakeCluster()
    first, second = Replica("a", cluster), Replica("b", cluster)
    async with first.running():
        await asyncio.sleep(1)
        await second.elector.release()

    assert the_lease(cluster)["holderIdentity"] == "a"


@in_virtual_time
async def test_a_leader_that_cannot_renew_gives_up_after_its_deadline_and_before_another_may_lead():
    cluster = FakeCluster()
    replica = Replica("a", cluster)
    async with replica.running() as task:
        await asyncio.sleep(1)
        fail_to_renew(cluster)
        await asyncio.sleep(20)
        ended = task.done()

    assert ended
    assert replica.log == [
        ("started", 0.0),
        ("lost", pytest.approx(10.0, abs=0.1)),
        ("stopped", pytest.approx(10.0, abs=0.1)),
    ]


@pytest.mark.parametrize("rejected_reads", [2, 5])
@in_virtual_time
async def test_some_rejected_requests_in_a_row_do_not_end_leadership(rejected_reads):
    cluster = FakeCluster()
    replica, leads = await led(cluster, lambda: fail_to_renew(cluster, writes=1, reads=rejected_reads), seconds=60)

    assert leads
    assert [what for what, _ in replica.log] == ["started", "stopped"]
    assert the_lease(cluster)["leaseTransitions"] == 0


@in_virtual_time
async def test_a_renewal_whose_answer_was_lost_is_read_back_and_leadership_goes_on():
    cluster = FakeCluster()
    lost = UnavailableError("lost")
    _, leads = await led(cluster, lambda: cluster.fail_next("replace", "leases", lost, applied=True), seconds=60)

    assert leads
    assert the_lease(cluster)["leaseTransitions"] == 0


@in_virtual_time
async def test_a_leader_that_finds_another_holder_stops_at_once():
    cluster = FakeCluster()
    replica, leads = await led(cluster, lambda: give_to(cluster, "b"), seconds=5)

    assert not leads
    assert replica.lost_at() == [pytest.approx(3.0, abs=0.1)]


@in_virtual_time
async def test_a_request_that_hangs_does_not_hold_leadership_beyond_the_deadline():
    class HangingCluster(FakeCluster):
        async def replace(self, resource, body):
            await asyncio.sleep(3600)

    replica = Replica("a", HangingCluster())
    async with replica.running():
        await asyncio.sleep(20)

    assert replica.lost_at() == [pytest.approx(10.0, abs=0.1)]


@in_virtual_time
async def test_the_deadline_counts_from_when_the_renewal_was_sent_not_from_its_late_answer():
    class SlowCluster(FakeCluster):
        async def replace(self, resource, body):
            await asyncio.sleep(4)
            return await super().replace(resource, body)

    replica = Replica("a", SlowCluster())
    async with replica.running():
        await asyncio.sleep(7)
        fail_to_renew(replica.cluster)
        await asyncio.sleep(20)

    assert replica.lost_at() == [pytest.approx(12.0, abs=0.1)]


@in_virtual_time
async def test_a_process_that_slept_past_its_deadline_does_not_think_that_it_leads():
    class PausedClock(LoopClock):
        paused = 0.0

        def monotonic(self) -> float:
            return super().monotonic() + self.paused

    clock = PausedClock()
    replica = Replica("a", FakeCluster(), clock)
    async with replica.running():
        await asyncio.sleep(1)
        clock.paused = 30.0
        leads = replica.elector.is_leader

    assert not leads


@in_virtual_time
async def test_of_two_replicas_that_see_the_same_free_lease_one_gets_it():
    cluster = FakeCluster()
    cluster.put(LEASES, a_lease(""))
    cluster.before_next("replace", "leases", lambda: give_to(cluster, "b"))
    replica = Replica("a", cluster)
    async with replica.running():
        await asyncio.sleep(1)
        leads = replica.elector.is_leader

    assert not leads
    assert the_lease(cluster)["holderIdentity"] == "b"


@in_virtual_time
async def test_a_lease_that_another_creates_first_is_not_ours():
    cluster = FakeCluster()
    cluster.before_next("create", "leases", lambda: cluster.put(LEASES, a_lease("b")))
    replica = Replica("a", cluster)
    async with replica.running():
        await asyncio.sleep(10)

    assert replica.log == []


@in_virtual_time
async def test_work_that_fails_ends_the_run_with_its_error():
    async def work() -> None:
        raise ConflictError("no")

    replica = Replica("a", FakeCluster())
    with pytest.raises(ConflictError):
        await replica.elector.run(work, lambda: replica.note("lost"))


@in_virtual_time
async def test_a_lease_that_cannot_be_given_back_is_left_to_expire():
    cluster = FakeCluster()
    replica = Replica("a", cluster)
    async with replica.running():
        await asyncio.sleep(1)
    cluster.fail_next("replace", "leases", UnavailableError("busy"))

    await replica.elector.release()

    assert the_lease(cluster)["holderIdentity"] == "a"
    assert not replica.elector.is_leader
