"""Check-ins, rotations, aborts, lost answers, faults and restarts in any order: no device is ever locked out."""

import asyncio
from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick.errors import NotYetError
from tallystick.fleet.services.refused import DeviceRefusedError
from tests.worlds.faults import Fault
from tests.worlds.fleet_world import Agent, FleetWorld

NEWEST, OLDEST = 0, -1
CHECK_IN = st.tuples(
    st.just("check in"),
    st.integers(0, 1),  # which of two devices
    st.sampled_from([NEWEST, OLDEST]),  # with which of its copies
    st.integers(0, 2),  # at which replica
    st.sampled_from(["heard", "lost", "doubled"]),
    st.dictionaries(st.integers(1, 6), st.sampled_from(list(Fault)), max_size=2),
)
EVENT = st.one_of(
    CHECK_IN,
    CHECK_IN,
    CHECK_IN,
    st.tuples(st.sampled_from(["rotate", "finish", "abort", "pause", "restart", "enroll"])),
    st.tuples(st.just("wait"), st.sampled_from([0.5, 2.0, 400.0])),
)


class Story:
    """Two devices, three replicas, and one rotation after another."""

    def __init__(self) -> None:
        self.fleet = FleetWorld()
        self.fleet.project()
        self.agents = [Agent(self.fleet), Agent(self.fleet)]
        self.replicas = [self.fleet.replica() for _ in range(3)]
        self.generation, self.runs = 1, False

    async def begin(self) -> None:
        for agent in self.agents:
            await agent.enroll(self.replicas[0], self.fleet.value())

    async def play(self, event: tuple) -> None:
        kind, *facts = event
        if kind == "check in":
            await self.check_in(*facts)
        elif kind == "wait":
            self.fleet.clock.advance(*facts)
        else:
            await getattr(self, kind)()

    async def check_in(self, who: int, which: int, where: int, answer: str, plan: dict[int, Fault]) -> None:
        agent, replica = self.agents[who], self.replicas[where]
        copy = agent.copies[which]
        self.fleet.cluster.plan_from_now(plan)
        with suppress(NotYetError, DeviceRefusedError):
            if answer != "heard":
                await replica.check_ins.take(agent.request(copy))
        with suppress(NotYetError, DeviceRefusedError):
            if answer != "lost":
                await agent.check_in(replica, copy)
        self.fleet.cluster.plan_from_now({})

    async def rotate(self) -> None:
        if not self.runs:
            self.generation, self.runs = self.generation + 1, True
            self.fleet.rotate(name=f"rot-{self.generation}", generation=self.generation)

    async def finish(self) -> None:
        await self._end("Failed")

    async def abort(self) -> None:
        await self._end("Aborted")

    async def _end(self, state: str) -> None:
        if self.runs:
            self.fleet.finish(f"rot-{self.generation}", state)
            self.runs = False

    async def pause(self) -> None:
        """Close what was open: no further device starts."""
        if self.runs:
            self.fleet.cluster.edit(
                *self.fleet.rotation(f"rot-{self.generation}"), lambda body: body["status"].pop("open", 0)
            )

    async def restart(self) -> None:
        self.replicas = [self.fleet.replica() for _ in range(3)]

    async def enroll(self) -> None:
        """A device that lost nothing asks again by the present value: it may keep the copy or not."""
        with suppress(NotYetError, DeviceRefusedError):
            await self.agents[0].enroll(self.replicas[1], self.fleet.value(generation=self.generation))

    def assert_no_device_is_locked_out(self, event: tuple) -> None:
        for agent in self.agents:
            assert any(self.fleet.accepts(copy) for copy in agent.copies), event


@settings(max_examples=150, deadline=None)
@given(st.lists(EVENT, max_size=30))
def test_each_device_holds_an_accepted_copy_after_each_event(events):
    async def played() -> None:
        story = Story()
        await story.begin()
        for event in events:
            await story.play(event)
            story.assert_no_device_is_locked_out(event)
        # In the end, a rotation that is open moves both devices.
        await story.finish()
        await story.restart()
        await story.rotate()
        story.fleet.clock.advance(2)
        for _ in range(6):
            for number in range(2):
                await story.check_in(number, NEWEST, 0, "heard", {})
                await story.check_in(number, OLDEST, 1, "heard", {})
            story.fleet.clock.advance(2)
        assert [device.proved for device in story.fleet.devices()] == [story.generation] * 2

    asyncio.run(played())
