"""At every moment a device holds a copy that is accepted: under every fault, and every two faults."""

import pytest

from tallystick.errors import NotYetError
from tallystick.fleet.services.refused import DeviceRefusedError
from tests.worlds.faults import Fault, double_faults, single_faults
from tests.worlds.fleet_world import Agent, FleetWorld

# get, get, get, swap of the hand-out; the same of the proof; and three more for what is retried.
CALLS = 11
# Two faults are tried at the hand-out and at what follows it.
CALLS_OF_TWO = 7


async def enrolled():
    fleet = FleetWorld()
    fleet.project()
    agent = Agent(fleet)
    await agent.enroll(fleet.replica(), fleet.value())
    fleet.rotate()
    return fleet, agent


def assert_not_locked_out(fleet, agent, plan):
    assert any(fleet.accepts(copy) for copy in agent.copies), plan


async def rotated(fleet, agent, plan):
    """Check in until the new copy is proved: the newest copy first, and the other one after a 401."""
    codes = set()
    for number in range(12):
        copy = agent.copies[number % len(agent.copies)] if agent.copies else ""
        try:
            await agent.check_in(fleet.replica(), copy)
        except NotYetError:
            pass
        except DeviceRefusedError as refused:
            codes.add(refused.code)
        assert_not_locked_out(fleet, agent, plan)
        if agent.proved and not agent.upcoming and fleet.device(agent.name).proved == 2:
            assert codes <= {"invalid_token"}, plan
            return
    raise AssertionError(f"the device is not rotated, although the faults have ended: {plan}")


@pytest.mark.parametrize("plan", single_faults(CALLS), ids=str)
async def test_no_single_fault_locks_a_device_out_or_keeps_it_back(plan):
    fleet, agent = await enrolled()
    fleet.cluster.plan_from_now(plan)

    await rotated(fleet, agent, plan)

    assert fleet.accepts(agent.proved)


async def test_no_two_faults_lock_a_device_out_or_keep_it_back():
    for plan in double_faults(CALLS_OF_TWO):
        fleet, agent = await enrolled()
        fleet.cluster.plan_from_now(dict(plan))

        await rotated(fleet, agent, plan)

        assert fleet.accepts(agent.proved), plan


@pytest.mark.parametrize("number", range(1, 9))
@pytest.mark.parametrize("state", ["Aborted", "Failed"])
async def test_an_end_of_the_rotation_before_any_call_locks_no_device_out(number, state):
    for plan in [{}, *single_faults(8)]:
        fleet, agent = await enrolled()
        fleet.cluster.plan_from_now(dict(plan))
        fleet.cluster.hooks = {number: lambda fleet=fleet: fleet.finish(state=state)}
        for attempt in range(6):
            copy = agent.copies[attempt % len(agent.copies)]
            try:
                await agent.check_in(fleet.replica(), copy)
            except (NotYetError, DeviceRefusedError):
                continue
            finally:
                assert_not_locked_out(fleet, agent, (plan, number))


@pytest.mark.parametrize("lost", [1, 2, 3])
async def test_answers_that_do_not_arrive_lock_no_device_out(lost):
    """The exchange has written, and the device has not heard of it: so often, and then it hears again."""
    fleet, agent = await enrolled()
    for _ in range(lost):
        await fleet.replica().check_ins.take(agent.request(agent.proved))
    await agent.check_in(fleet.replica())
    for _ in range(lost):
        await fleet.replica().check_ins.take(agent.request(agent.upcoming))
    assert fleet.accepts(agent.upcoming)

    await agent.check_in(fleet.replica(), agent.upcoming)

    assert fleet.accepts(agent.proved)
    assert agent.upcoming == ""


async def test_an_api_server_that_falls_silent_gives_503_at_each_call():
    for number in range(1, 5):
        fleet, agent = await enrolled()
        fleet.cluster.plan_from_now(dict.fromkeys(range(number, 60), Fault.NO_ANSWER))

        with pytest.raises(NotYetError):
            await agent.check_in(fleet.replica())

        assert_not_locked_out(fleet, agent, number)
