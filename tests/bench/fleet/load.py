"""The load of W3: simulated devices in one process, each with its key and the contract of `tallystick agent`.

    python -m tests.bench.fleet.load

Each line of standard input is one command in JSON, and each line of standard output its answer; the end of the input
ends the fleet. Keys and copies stay in this process. The Devices are created here as an enrollment creates them, and
their first copies are signed with the keyring: an enrollment is no part of W3, and the exchange limits their rate.
"""

import asyncio
import heapq
import json
import random
import ssl
import statistics
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tallystick.cli.settings import DEFAULT_NAMESPACE
from tallystick.crypto.encoding import to_json
from tallystick.crypto.keys import SigningKey, thumbprint
from tallystick.fleet.api.device import DEVICES
from tallystick.fleet.client.agent import HttpSender, Trust
from tallystick.fleet.client.contract import Answer, Outcome, Slot
from tallystick.fleet.client.device import FILES, KEY_FILE, Device, Post, Settings
from tallystick.fleet.domain.copies import device_name
from tallystick.fleet.domain.enrolling import Presented
from tallystick.fleet.domain.readings import device_facts
from tallystick.fleet.services.copies import DeviceCopies
from tallystick.fleet.services.places import device_body
from tallystick.kube.client import KubeCluster
from tallystick.kube.connection import Connection
from tallystick.kube.tls import TlsSettings
from tallystick.objects.labels import KEYRING_SECRET
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS, PairingToken
from tallystick.runtime.clock import SystemClock
from tallystick.runtime.ids import RandomIds
from tallystick.schema.builtin import SECRETS
from tallystick.tokens.keyrings import stored_keyring
from tallystick.tokens.signer import Signer
from tests.bench.bare_client import each, from_sources
from tests.builders import HeldKeys
from tests.worlds.agents import MemoryDisk

Json = dict[str, Any]

# Of each source; the exchange lets 64 in.
CONNECTIONS = 32
UP_TO_DATE = (Outcome.UP_TO_DATE, Outcome.HANDED_OUT)


@dataclass(slots=True)
class Simulated:
    """A device, its place in the timetable, and how much longer than the exchange asks for it waits."""

    device: Device
    name: str
    due: float = 0.0
    pace: float = 1.0
    comes: bool = True


@dataclass
class Seen:
    """What the devices have seen since the last report."""

    begun: float = field(default_factory=time.monotonic)
    outcomes: Counter[str] = field(default_factory=Counter)
    problems: Counter[str] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)

    def to_json(self) -> Json:
        waits = sorted(self.latencies) or [0.0]
        good = sum(self.outcomes[outcome] for outcome in UP_TO_DATE)
        return {
            "seconds": time.monotonic() - self.begun,
            "check_ins": self.outcomes.total(),
            "failed": self.outcomes.total() - good,
            "outcomes": dict(self.outcomes),
            "problems": dict(self.problems.most_common(3)),
            "median_ms": statistics.median(waits) * 1000,
            "p99_ms": waits[len(waits) * 99 // 100] * 1000,
        }


class Replicas:
    """The `Send` port of all devices: each request goes to any of the replicas, as a load balancer leads it."""

    def __init__(self, public_url: str, senders: list[HttpSender]) -> None:
        self._public_url = public_url
        self._senders = senders
        self.urls = [public_url]

    async def __call__(self, post: Post) -> Answer:
        url = random.choice(self.urls) + post.url.removeprefix(self._public_url)  # noqa: S311 - a load
        return await random.choice(self._senders)(replace(post, url=url))  # noqa: S311 - a load


class Fleet:
    """All devices. Each checks in when it is due, whether or not the others were answered."""

    def __init__(self, replicas: Replicas) -> None:
        self._replicas = replicas
        self._devices: list[Simulated] = []
        self._timetable: list[tuple[float, int]] = []
        self._more = asyncio.Event()
        self.seen = Seen()

    async def create(
        self, *, kubeconfig: str, exchange: str, namespace: str, token: str, count: int, period: float
    ) -> Json:
        """Create the Devices, and let each check in within the next period.

        Args:
            kubeconfig: that of an administrator, who reads the keyring.
            exchange: that of the exchange, which alone can create a Device.
            namespace: where the PairingToken is.
            token: its name.
            count: how many.
            period: its `checkInPeriod` in seconds.
        """
        async with _cluster(kubeconfig) as admin, _cluster(exchange) as writer:
            keyring = stored_keyring(await admin.get(SECRETS, DEFAULT_NAMESPACE, KEYRING_SECRET))
            copies = DeviceCopies(Signer(HeldKeys(keyring), keyring.issuer))
            project = PairingToken.model_validate(await admin.get(PAIRING_TOKENS, namespace, token))
            settings = Settings(keyring.issuer, lambda: "")

            async def one(_: int) -> None:
                key = SigningKey.generate("ES256")
                body = await writer.create(DEVICES, _body_of(key, project, copies))
                disk = MemoryDisk({KEY_FILE: key.to_pem(), FILES[Slot.PROVED]: _first_copy(body, copies)})
                device = Device(settings, disk=disk, send=self._replicas, clock=SystemClock(), ids=RandomIds())
                self._devices.append(Simulated(device, body["metadata"]["name"]))

            await each(one, range(count))
        self._devices.sort(key=lambda one: one.name)
        for number, one in enumerate(self._devices):
            self._plan(number, one, random.random() * period)  # noqa: S311 - a load
        return {"count": count}

    async def run(self) -> None:
        """Let each device check in whenever it is due."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._more.clear()
                now = time.monotonic()
                while self._timetable and self._timetable[0][0] <= now:
                    due, number = heapq.heappop(self._timetable)
                    if due == self._devices[number].due:  # else it was planned anew
                        group.create_task(self._check_in(number, due))
                wait = self._timetable[0][0] - now if self._timetable else None
                try:
                    async with asyncio.timeout(wait):
                        await self._more.wait()
                except TimeoutError:
                    continue

    async def _check_in(self, number: int, due: float) -> None:
        one = self._devices[number]
        while one.comes:
            taken = await one.device.take_step()
            self.seen.outcomes[taken.outcome] += 1
            self.seen.latencies.append(time.monotonic() - due)
            if one.device.problem:
                self.seen.problems[one.device.problem] += 1
            if taken.wait:
                self._plan(number, one, taken.wait * one.pace)
                return
            due = time.monotonic()

    def _plan(self, number: int, one: Simulated, wait: float) -> None:
        one.due = time.monotonic() + wait
        heapq.heappush(self._timetable, (one.due, number))
        self._more.set()

    # The other commands.

    async def aim(self, urls: list[str]) -> Json:
        """Check in there from now on."""
        self._replicas.urls = urls
        return {}

    async def report(self) -> Json:
        """Tell what was seen since the last report."""
        seen, self.seen = self.seen, Seen()
        return seen.to_json()

    async def lag(self, slow: int, never: int, pace: float, period: float) -> Json:
        """From now on let some devices come less often, and others not at all. Which they are is chosen at random.

        A slow device has been slow for long: its next check-in is at any time of its own, longer period. If all of them
        came in the next period, they would come together from then on, and a second more or less would decide by
        chance whether the last batch waits for one of their periods more.

        Args:
            slow: how many come less often.
            never: how many do not come.
            pace: how many times as long a slow one waits.
            period: `checkInPeriod` in seconds.

        Returns:
            For each device its name, the seconds until it is due, and how much longer it waits (0: it never comes).
        """
        now = time.monotonic()
        waiting = [number for number, one in enumerate(self._devices) if one.due > now]
        chosen = random.sample(waiting, slow + never)
        for number in chosen[:slow]:
            one = self._devices[number]
            one.pace = pace
            self._plan(number, one, random.random() * period * pace)  # noqa: S311 - a load
        for number in chosen[slow:]:
            self._devices[number].comes = False
        return {"timetable": [(one.name, max(0.0, one.due - now), one.pace * one.comes) for one in self._devices]}

    async def proved(self, generation: int) -> Json:
        """Tell how many devices know that the exchange has accepted their copy of a generation."""
        held = [one.device.held.proved for one in self._devices]
        return {"count": sum(copy is not None and copy.generation >= generation for copy in held)}


def _cluster(kubeconfig: str) -> KubeCluster:
    return KubeCluster(Connection(kubeconfig=Path(kubeconfig)), field_manager="bench", timeout_seconds=30.0)


def _body_of(key: SigningKey, project: PairingToken, copies: DeviceCopies) -> Json:
    """Build the Device of an enrollment with this key."""
    uid, own = project.metadata.uid, thumbprint(key.public_jwk())
    presented = Presented("", uid, project.status.serial or 1, 1, None, device_name(uid, own), own)
    return device_body(presented, project, key_id=copies.signing_key_id(SystemClock().now()), display_name=None)


def _first_copy(body: Json, copies: DeviceCopies) -> bytes:
    signed = copies.sign(body, device_facts(body), 1)
    return to_json({"device_id": body["metadata"]["name"], "generation": 1, "token": signed.signed_jwt})


async def main() -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    given: Json = json.loads(await reader.readline())
    async with AsyncExitStack() as stack:
        sessions = await stack.enter_async_context(from_sources(given["ca_file"], limit=CONNECTIONS))
        context = ssl.create_default_context(cafile=given["ca_file"])
        trust = Trust(context, TlsSettings("--url", "--ca-file", True, "the CA of the bench"), None)
        fleet = Fleet(Replicas(given["public_url"], [HttpSender(session, trust) for session in sessions]))
        commands: dict[str, Callable[..., Awaitable[Json]]] = {
            "create": fleet.create,
            "aim": fleet.aim,
            "report": fleet.report,
            "lag": fleet.lag,
            "proved": fleet.proved,
        }
        running = asyncio.create_task(fleet.run())
        stack.callback(running.cancel)
        while line := await reader.readline():
            asked: Json = json.loads(line)
            answer = await commands[asked.pop("do")](**asked)
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()
            if running.done():
                running.result()


if __name__ == "__main__":
    asyncio.run(main())
