"""One scenario for each kind of audit line that the controller writes about devices and rotations."""

from collections.abc import Awaitable, Callable

from tests.fakes import AuditLine
from tests.worlds.rotation_world import RotationWorld


async def a_fleet() -> RotationWorld:
    world = RotationWorld()
    world.project()
    world.enrolled(range(2))
    await world.work()
    world.count_devices()
    await world.work()
    return world


async def rotations_end() -> list[AuditLine]:
    world = await a_fleet()
    world.rotate("rot-1")
    await world.run(8, each_second=world.check_in_all)
    world.rotate("rot-2")
    await world.run(3)
    world.edit("rot-2", desiredState="Aborted")
    await world.run(20)
    return [line for line in world.audit.lines if line.facts["kind"] == "TokenRotation"]


async def a_rotation_stalls_and_its_token_is_revoked() -> list[AuditLine]:
    world = await a_fleet()
    world.rotate("rot-1", strategy={"windows": [{"schedule": "0 0 31 2 *", "duration": "1m", "timeZone": "No/Where"}]})
    await world.run(3)
    world.edit_token(revoked=True)
    await world.run(3)
    return [line for line in world.audit.lines if line.facts["kind"] in ("TokenRotation", "Device")]


ROTATION_SCENARIOS: tuple[Callable[[], Awaitable[list[AuditLine]]], ...] = (
    rotations_end,
    a_rotation_stalls_and_its_token_is_revoked,
)
