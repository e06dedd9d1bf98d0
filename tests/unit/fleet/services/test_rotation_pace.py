"""How long a rotation takes by its own rules, where each request is answered in no time: by the virtual clock alone.

The controller looks at most once a second, and a replica reads a rotation at most once a second. So a batch opens on
each replica within two seconds of the proof that completes the batch before it. More than that is the machine.
"""

import heapq
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tallystick.fleet.domain.batches import batch_of
from tallystick.fleet.domain.readings import rotation_facts
from tests.worlds.fleet_world import Agent, FleetReplica, FleetWorld
from tests.worlds.rotation_world import RotationWorld

DEVICES, PERIOD = 50, 15
STRATEGY = {"batches": [{"name": f"batch-{number}", "limit": "20%"} for number in range(1, 5)]}
LOOK = READING = timedelta(seconds=1)
ENOUGH = 9  # 90 % of a batch of ten


@dataclass
class Pace:
    """A fleet with its controller and two replicas, and the times of what has happened."""

    world: RotationWorld = field(default_factory=RotationWorld)
    opened: dict[int, datetime] = field(default_factory=dict)
    proofs: dict[int, list[datetime]] = field(default_factory=dict)
    held_back: list[tuple[int, datetime]] = field(default_factory=list)

    def __post_init__(self) -> None:
        world = self.world
        self.fleet = FleetWorld(world.clock, world.audit, world.events, world.keys)
        self.fleet.cluster = world.cluster
        self.replicas = [self.fleet.replica(), self.fleet.replica()]
        self.timetable: list[tuple[datetime, int, Agent]] = []

    async def enroll(self) -> None:
        """Enroll the devices, and spread their check-ins over a period."""
        self.world.project(checkInPeriod=f"{PERIOD}s")
        await self.world.work()
        agents = [Agent(self.fleet) for _ in range(DEVICES)]
        for number, agent in enumerate(agents):
            await agent.enroll(self.replicas[0], self.fleet.value())
            await self.world.run(int(number % 10 == 9))  # a replica takes ten a second
        for number, agent in enumerate(agents):
            self._plan(number, agent, PERIOD * number / DEVICES)

    async def rotate(self) -> None:
        """Start a rotation, and let time pass until it is over."""
        self.world.rotate(strategy=STRATEGY)
        await self._work()
        while self.world.rotation().status.state != "Succeeded":
            await self._next()

    async def _next(self) -> None:
        """Go to the time of the next check-in, or of the next look of the controller."""
        clock, due = self.world.clock, self.world.due
        at = min([self.timetable[0][0], *due.values()])
        clock.advance(max(0.0, (at - clock.now()).total_seconds()))
        if self.timetable[0][0] <= clock.now():
            _, number, agent = heapq.heappop(self.timetable)
            wait = await self._check_in(agent, self.replicas[number % 2])
            self._plan(number, agent, wait)
        self.world.queue.update(dict.fromkeys(key for key, time in due.items() if time <= clock.now()))
        await self._work()

    async def _check_in(self, agent: Agent, replica: FleetReplica) -> int:
        """Check in as the contract says, and note a proof, or that nothing was handed out."""
        facts = rotation_facts(self.world.rotation())
        device, now = self.world.device(agent.name), self.world.clock.now()
        batch = batch_of(device, facts.strategy.batches, facts.cuts)
        answer = await agent.check_in(replica)
        if answer.handed_out is not None:
            answer = await agent.check_in(replica)
            self.proofs.setdefault(batch, []).append(now)
        elif device.proved == 1:
            self.held_back.append((batch, now))
        return answer.wait

    async def _work(self) -> None:
        await self.world.work()
        opening = self.world.rotation().status.open
        if opening is not None:
            self.opened.setdefault(opening.batch, self.world.clock.now())

    def _plan(self, number: int, agent: Agent, wait: float) -> None:
        heapq.heappush(self.timetable, (self.world.clock.now() + timedelta(seconds=wait), number, agent))


async def test_a_batch_opens_on_each_replica_within_two_seconds_of_the_proof_that_completes_the_one_before():
    pace = Pace()
    await pace.enroll()
    await pace.rotate()

    assert sorted(pace.opened) == sorted(pace.proofs) == [1, 2, 3, 4, 5]
    completed = {batch + 1: times[ENOUGH - 1] for batch, times in pace.proofs.items()}
    looks = [pace.opened[batch] - completed[batch] for batch in range(2, 6)]
    readings = [time - pace.opened[batch] for batch, time in pace.held_back if batch in pace.opened]
    assert timedelta(0) <= max(looks) <= LOOK
    assert max(readings, default=READING) <= READING
    status = pace.world.rotation().status
    assert pace.opened[1] - status.start_time <= LOOK
    assert pace.world.clock.now() - max(map(max, pace.proofs.values())) <= 2 * LOOK  # to count, and to list
