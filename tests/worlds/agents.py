"""Devices of `tallystick agent` around the real use cases of the exchange, with a disk in memory and a bad network."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tallystick.errors import NotYetError
from tallystick.fleet.client.contract import Answer
from tallystick.fleet.client.device import FILES, KEY_FILE, Device, Post, Settings
from tallystick.fleet.domain.facts import Failure
from tallystick.fleet.domain.next_check_in import DEVICES_PATH
from tallystick.fleet.services.check_ins import CheckInRequest
from tallystick.fleet.services.enrolling import EnrollRequest
from tallystick.fleet.services.refused import DeviceRefusedError
from tallystick.fleet.web.problems import CHECK_IN, ENROLLMENT
from tallystick.objects.ports import ClusterError
from tests.builders import ISSUER
from tests.fakes import FakeClock
from tests.worlds.fleet_world import FleetReplica, FleetWorld


class Killed(BaseException):
    """The process ends here. No handler of the device may catch it."""


@dataclass
class MemoryDisk:
    """A folder. `before` is called before each change, and `after` after it: they raise OSError or Killed."""

    files: dict[str, bytes] = field(default_factory=dict)
    before: Callable[[], None] = lambda: None
    after: Callable[[], None] = lambda: None

    def read(self, name: str) -> bytes | None:
        return self.files.get(name)

    def write(self, name: str, content: bytes) -> None:
        self.before()
        self.files[name] = content
        self.after()

    def rename(self, name: str, new_name: str) -> None:
        self.before()
        self.files[new_name] = self.files.pop(name)
        self.after()

    def delete(self, name: str) -> None:
        self.before()
        self.files.pop(name, None)
        self.after()


@dataclass
class Exchange:
    """The `Send` port: a replica, asked by its use cases. The network can lose or double what it carries."""

    world: FleetWorld
    replica: FleetReplica
    lose_answers: int = 0
    doubled: bool = False
    before: Callable[[], None] = lambda: None
    after: Callable[[], None] = lambda: None
    statuses: list[int] = field(default_factory=list)

    async def __call__(self, post: Post) -> Answer:
        self.before()
        answer = await self._answer(post)
        if self.doubled:
            answer = await self._answer(post)
        self.after()
        if self.lose_answers:
            self.lose_answers -= 1
            return Answer(0, problem="lost")
        self.statuses.append(answer.status)
        return answer

    async def _answer(self, post: Post) -> Answer:
        enrolls = post.url == ISSUER + DEVICES_PATH
        now = self.world.clock.now()
        try:
            return await (self._enroll(post) if enrolls else self._check_in(post))
        except DeviceRefusedError as refused:
            status = (ENROLLMENT if enrolls else CHECK_IN)[refused.code][0]
            problem = {"type": "urn:problem:" + refused.code.replace("_", "-")}
            return Answer(status, problem, refused.retry_after or None, now, refused.code)
        except (ClusterError, NotYetError):
            return Answer(503, {}, 5.0, now, "503")

    async def _enroll(self, post: Post) -> Answer:
        value = post.headers["Authorization"].removeprefix("Bearer ")
        enrolled = await self.replica.enrolling.enroll(EnrollRequest(value, [post.headers["DPoP"]], None, "192.0.2.7"))
        copy = enrolled.copy
        body = {
            "device_id": enrolled.device_id,
            "generation": copy.generation,
            "token": copy.signed_jwt,
            "token_type": "DPoP",
        }
        return Answer(201 if enrolled.created else 200, body, None, self.world.clock.now())

    async def _check_in(self, post: Post) -> Answer:
        copy, device = post.headers["Authorization"].removeprefix("DPoP "), urlsplit(post.url).path.split("/")[3]
        report = json.loads(post.body or b"{}").get("failed")
        failed = Failure(**report, time=self.world.clock.now()) if report else None
        taken = await self.replica.check_ins.take(
            CheckInRequest(copy, True, [post.headers["DPoP"]], device, failed, "192.0.2.7")
        )
        wait, now = float(taken.wait), self.world.clock.now()
        if taken.handed_out is None:
            return Answer(204, {}, wait, now)
        handed = taken.handed_out.copy
        return Answer(
            200, {"generation": handed.generation, "token": handed.signed_jwt, "token_type": "DPoP"}, wait, now
        )


def a_device(
    exchange: Exchange, disk: MemoryDisk, *, value: Callable[[], str] | None = None, clock: FakeClock | None = None
) -> Device:
    """Start an agent on a disk, as a new process does."""
    world = exchange.world
    settings = Settings(ISSUER, value or world.value)
    return Device(settings, disk=disk, send=exchange, clock=clock or world.clock, ids=world.ids)


__all__ = ["FILES", "KEY_FILE", "Exchange", "Killed", "MemoryDisk", "a_device"]
