"""One key, one device, one place: under every fault, every two faults, and when replicas are killed."""

import asyncio

import pytest

from tallystick.errors import NotYetError
from tallystick.fleet.domain.enrolling import settled
from tallystick.fleet.domain.readings import target_of, target_status
from tallystick.fleet.services.refused import DeviceRefusedError
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS, PairingToken
from tests.worlds.faults import Fault, double_faults, single_faults
from tests.worlds.fleet_world import NAMESPACE, TOKEN, Agent, FleetWorld, GuardedCluster

# get, get, get, swap, create; and two more for what is retried.
CALLS_OF_ONE = 5
CALLS = 7
KEYS = pytest.mark.parametrize("has_key", [True, False], ids=["with a key", "without a key"])


class Killed(BaseException):
    """The process of a replica has ended."""


def a_fleet(**spec):
    fleet = FleetWorld()
    fleet.project(proofOfPossession="Optional", **spec)
    return fleet


def keep_place_counts(fleet):
    """What the leader does with the places: count those with a Device, give up those that are ten minutes old."""
    raw = fleet.cluster.peek(PAIRING_TOKENS, NAMESPACE, TOKEN)
    token = PairingToken.model_validate(raw)
    target, names = target_of(token), {device.name for device in fleet.devices()}
    taken = {entry.name for entry in target.enrolling}
    after = settled(target, names & taken, taken - names, fleet.clock.now())
    status = target_status(token.status, target, after).to_json()
    fleet.cluster.edit(PAIRING_TOKENS, NAMESPACE, TOKEN, lambda body: body.update(status=status))


async def ask_until_answered(fleet, agent, value):
    """Ask again after each 503, each time another replica."""
    for _ in range(6):
        try:
            return await agent.enroll(fleet.replica(), value)
        except NotYetError:
            continue
    raise AssertionError("no answer, although the faults have ended")


@KEYS
@pytest.mark.parametrize("plan", single_faults(CALLS_OF_ONE), ids=str)
async def test_no_single_fault_takes_two_places_or_fails_the_request(plan, has_key):
    fleet = a_fleet()
    agent, value = Agent(fleet, has_key=has_key), fleet.value()
    fleet.cluster.plan_from_now(plan)

    enrolled = await ask_until_answered(fleet, agent, value)

    assert [device.name for device in fleet.devices()] == [enrolled.device_id]
    assert [entry.name for entry in fleet.target().enrolling] == [enrolled.device_id]
    assert fleet.accepts(enrolled.copy.signed_jwt)


async def test_under_two_faults_no_device_without_a_key_is_without_a_place():
    for plan in double_faults(CALLS):
        fleet = a_fleet()
        agent, value = Agent(fleet, has_key=False), fleet.value()
        fleet.cluster.plan_from_now(dict(plan))

        enrolled = await ask_until_answered(fleet, agent, value)

        names = {device.name for device in fleet.devices()}
        assert enrolled.device_id in names, plan
        assert names <= {entry.name for entry in fleet.target().enrolling}, plan
        assert fleet.accepts(enrolled.copy.signed_jwt), plan


async def test_under_two_faults_the_last_place_goes_to_one_key_and_the_other_is_refused():
    for plan in double_faults(CALLS):
        fleet = a_fleet(maxDevices=1)
        mine, theirs, value = Agent(fleet), Agent(fleet), fleet.value()
        fleet.cluster.plan_from_now(dict(plan))

        await ask_until_answered(fleet, mine, value)
        with pytest.raises(DeviceRefusedError) as refusal:
            await ask_until_answered(fleet, theirs, value)
        again = await ask_until_answered(fleet, mine, value)

        assert refusal.value.code == "device_limit", plan
        assert [device.name for device in fleet.devices()] == [again.device_id], plan
        assert [entry.name for entry in fleet.target().enrolling] == [again.device_id], plan
        assert fleet.accepts(again.copy.signed_jwt), plan


async def test_under_every_fault_a_rotation_in_between_loses_no_device():
    """The value ends before each call: the key is refused before it has a place, and answered afterwards."""
    for plan in [{}, *single_faults(CALLS_OF_ONE)]:
        for number in range(1, CALLS_OF_ONE + 3):
            fleet = a_fleet()
            agent, value = Agent(fleet), fleet.value()
            fleet.cluster.plan_from_now(dict(plan))
            fleet.cluster.hooks = {number: fleet.rotate}
            code = ""
            try:
                await ask_until_answered(fleet, agent, value)
            except DeviceRefusedError as refused:
                code = refused.code
            assert code in ("", "invalid_token"), (plan, number)
            assert len(fleet.devices()) == (not code), (plan, number)
            assert all(fleet.accepts(copy) for copy in agent.copies), (plan, number)


@pytest.mark.parametrize("number", range(1, CALLS_OF_ONE + 1))
async def test_an_api_server_that_falls_silent_gives_503_and_the_key_ends_with_one_device(number):
    fleet = a_fleet()
    agent, value = Agent(fleet), fleet.value()
    fleet.cluster.plan_from_now(dict.fromkeys(range(number, 60), Fault.NO_ANSWER))

    with pytest.raises(NotYetError) as later:
        await agent.enroll(fleet.replica(), value)
    fleet.cluster.plan_from_now({})
    await agent.enroll(fleet.replica(), value)

    assert later.value.retry_after >= 1
    assert len(fleet.devices()) == len(fleet.target().enrolling) == 1


# Replicas that are killed.


class BusyCluster(GuardedCluster):
    """Lets other requests run at each call, as a network does."""

    async def get(self, *args, **kwargs):
        await asyncio.sleep(0)
        return await super().get(*args, **kwargs)

    async def replace_status(self, *args, **kwargs):
        await asyncio.sleep(0)
        return await super().replace_status(*args, **kwargs)

    async def create(self, *args, **kwargs):
        await asyncio.sleep(0)
        return await super().create(*args, **kwargs)


class Crowd:
    """Devices that enroll at once over three replicas. Killed replicas are started again."""

    def __init__(self, fleet, agents):
        self.fleet, self.agents, self.value = fleet, agents, fleet.value()
        self.replicas = [fleet.replica() for _ in range(3)]
        self.answers = {}
        self.killed = 0

    async def ask(self, number):
        """Ask as a device does: until there is a final answer."""
        for attempt in range(200):
            place = (number + attempt) % 3
            try:
                await self.agents[number].enroll(self.replicas[place], self.value)
                self.answers[number] = "enrolled"
            except Killed:
                self.killed += 1
                self.replicas[place] = self.fleet.replica()
                continue
            except NotYetError:
                continue
            except DeviceRefusedError as refused:
                if refused.code == "too_many_requests":
                    self.fleet.clock.advance(refused.retry_after)
                    continue
                self.answers[number] = refused.code
            return
        raise AssertionError("no final answer")

    def count(self, answer):
        return sum(one == answer for one in self.answers.values())


@pytest.mark.parametrize("kill_before", [True, False], ids=["before the create", "after the create"])
async def test_of_50_enrollments_at_10_free_places_10_pass_although_replicas_are_killed(kill_before):
    fleet = FleetWorld()
    fleet.cluster = BusyCluster(clock=fleet.clock)
    fleet.project(maxDevices=50, devices=40)
    crowd = Crowd(fleet, [Agent(fleet) for _ in range(50)])
    kills = 12 if kill_before else 10
    fleet.cluster.fail_next("create", "devices", Killed(), applied=not kill_before, times=kills)

    await asyncio.gather(*(crowd.ask(number) for number in range(50)))

    assert crowd.killed == kills
    assert (crowd.count("enrolled"), crowd.count("device_limit")) == (10, 40)
    target = fleet.target()
    assert len(fleet.devices()) == target.devices - 40 + len(target.enrolling) == 10
    keep_place_counts(fleet)
    assert (fleet.target().devices, fleet.target().enrolling) == (50, ())


async def test_the_place_of_a_device_that_never_comes_back_is_free_after_ten_minutes():
    fleet = FleetWorld()
    fleet.project(maxDevices=50, devices=40)
    lost = Crowd(fleet, [Agent(fleet) for _ in range(10)])
    for number in range(10):
        fleet.cluster.fail_next("create", "devices", Killed())
        with pytest.raises(Killed):
            await lost.agents[number].enroll(lost.replicas[number % 3], lost.value)
    crowd = Crowd(fleet, [Agent(fleet) for _ in range(50)])

    await crowd.ask(0)
    keep_place_counts(fleet)
    fleet.clock.advance(600)
    keep_place_counts(fleet)
    await asyncio.gather(*(crowd.ask(number) for number in range(50)))
    keep_place_counts(fleet)

    assert crowd.count("enrolled") == 10
    assert len(fleet.devices()) == 10
    assert (fleet.target().devices, fleet.target().enrolling) == (50, ())
