"""One scenario for each kind of audit line that the exchange writes about devices."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace

from tallystick.fleet.domain.facts import Failure
from tallystick.fleet.services.refused import DeviceRefusedError
from tests.fakes import NOON, AuditLine
from tests.worlds.fleet_world import Agent, FleetWorld


async def devices_enroll() -> list[AuditLine]:
    fleet = FleetWorld()
    fleet.project(maxDevices=1)
    replica, known, other = fleet.replica(), Agent(fleet), Agent(fleet)
    await known.enroll(replica, fleet.value())
    await known.enroll(replica, fleet.value())
    request = known.enrollment(fleet.value())
    refused = [
        other.enrollment(fleet.value()),
        replace(request, unverified_proofs=["garbage"]),
        replace(request, unverified_jwt="a.b.c"),
        replace(request, unverified_jwt=fleet.value(expires=NOON.replace(hour=13))),
    ]
    for one in refused[:3]:
        with suppress(DeviceRefusedError):
            await replica.enrolling.enroll(one)
    fleet.clock.advance(3600)
    with suppress(DeviceRefusedError):
        await replica.enrolling.enroll(refused[3])
    return fleet.audit.lines


async def devices_check_in() -> list[AuditLine]:
    fleet = FleetWorld()
    fleet.project()
    replica, agent = fleet.replica(), Agent(fleet)
    await agent.enroll(replica, fleet.value())
    old = agent.proved
    fleet.rotate()
    fleet.clock.advance(2)
    await agent.check_in(replica, old)
    await agent.check_in(replica, old, failed=Failure(2, "DiskFull", "no space left", NOON))
    await agent.check_in(replica)
    refused = [
        agent.request(old),
        replace(agent.request(agent.proved), device=f"d-{'a' * 26}"),
        replace(agent.request(agent.proved), unverified_jwt="a.b.c"),
        replace(agent.request(agent.proved), with_proof=False),
    ]
    for one in refused:
        with suppress(DeviceRefusedError):
            await replica.check_ins.take(one)
    return fleet.audit.lines[1:]


FLEET_SCENARIOS: tuple[Callable[[], Awaitable[list[AuditLine]]], ...] = (devices_enroll, devices_check_in)
