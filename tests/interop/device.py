"""Kill examples/04-fleet/device.mjs at each of its steps: it is never locked out. Part of `make interop`.

    python -m tests.interop.device

A replica of the exchange serves it over TLS, with an API server in memory. At each kill, the device must hold a copy
that the exchange accepts, or none and the key that it enrolled with; and the next run must bring it up to date.
"""

import asyncio
import json
import os
import signal
import socket
import sys
import tempfile
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from tallystick.exchange.server import ServeSettings, listening
from tallystick.localplane.pki import prepare_serving
from tallystick.runtime.logs import configure_logging
from tests.fakes import FakeClock
from tests.interop.programs import MissingProgramError
from tests.interop.programs import found as program
from tests.worlds.fleet_http import FleetHttp

REPOSITORY = Path(__file__).parents[2]
PROGRAM = REPOSITORY / "examples" / "04-fleet" / "device.mjs"
KILLER = Path(__file__).parent / "kill_at.mjs"
LOOPBACK = "127.0.0.1"
PATIENCE_SECONDS = 120
COPIES = ("proved.json", "next.json")
# More points than a run has: such a run is not killed by itself.
NEVER = 10_000
AT_A_TIME = 4


@dataclass
class Trial:
    """One device, its folder, and the exchange that serves it."""

    fleet: FleetHttp
    folder: Path
    authority: Path
    node: str
    problems: list[str] = field(default_factory=list)

    @property
    def state(self) -> Path:
        return self.folder / "state"

    def copy(self, name: str) -> str | None:
        """The token in a file of the device; None if there is no complete file."""
        try:
            token: str = json.loads((self.state / name).read_text(encoding="utf-8"))["token"]
        except (OSError, ValueError):
            return None
        return token

    def check(self, when: str) -> None:
        """The device must hold an accepted copy, or be able to enroll: it is new, and its key is its own."""
        devices = self.fleet.devices()
        held = [token for token in map(self.copy, COPIES) if token is not None]
        if len(devices) > 1:
            self.problems.append(f"{when}: it has enrolled as {len(devices)} devices")
        if held and not any(map(self.fleet.accepts, held)):
            self.problems.append(f"{when}: no stored copy is accepted")
        if devices and not held and devices[0].checked_in:
            self.problems.append(f"{when}: a device that has checked in holds no copy")

    async def run(self, *, kill_at: int = NEVER, until_generation: int) -> list[str]:
        """Run the device until it is killed, or has proved a generation. Return the points that it has passed."""
        process = await asyncio.create_subprocess_exec(
            *(self.node, "--import", str(KILLER), str(PROGRAM)),
            *(self.fleet.issuer, str(self.folder / "value"), str(self.state)),
            env={**os.environ, "NODE_EXTRA_CA_CERTS": str(self.authority), "KILL_AT": str(kill_at)},
            stdout=PIPE,
            stderr=PIPE,
        )
        assert process.stdout is not None
        passed: list[str] = []
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                async for line in process.stdout:
                    passed.append(line.decode().strip())
                    if self._is_proved(until_generation):
                        break
        except TimeoutError:
            self.problems.append(f"locked out: it did not prove generation {until_generation}")
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
        _, error = await process.communicate()
        if process.returncode != -signal.SIGKILL:
            self.problems.append(f"it ended with status {process.returncode}: {error.decode()[:300]}")
        return passed

    def _is_proved(self, generation: int) -> bool:
        """Whether the exchange and the files of the device agree that this generation is proved."""
        devices = self.fleet.devices()
        if not devices or not devices[0].checked_in or devices[0].proved < generation:
            return False
        stored = self.state / COPIES[0]
        return stored.exists() and not (self.state / COPIES[1]).exists() and self._generation(stored) >= generation

    def _generation(self, file: Path) -> int:
        try:
            generation: int = json.loads(file.read_text(encoding="utf-8"))["generation"]
        except (OSError, ValueError):
            return 0
        return generation


@asynccontextmanager
async def trial(node: str) -> AsyncIterator[Trial]:
    """Serve a new project on a port of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        authority, serving = prepare_serving(folder / "pki", "exchange", now=datetime.now(UTC))
        with socket.create_server((LOOPBACK, 0)) as free:
            port = free.getsockname()[1]
        fleet = FleetHttp(issuer=f"https://{LOOPBACK}:{port}", clock=FakeClock(datetime.now(UTC)))
        fleet.project()
        issuer, issued = fleet.issuer, int(fleet.clock.now().timestamp())
        value = fleet.value(iss=issuer, aud=issuer, iat=issued)
        (folder / "value").write_text(value, encoding="utf-8")
        async with listening(fleet.http.app, ServeSettings(LOOPBACK, port, serving.certificate, serving.key)):
            yield Trial(fleet, folder, authority.certificate, node)


async def enrolling(node: str, kill_at: int) -> tuple[list[str], bool]:
    """Kill a new device at one point, and start it again. Return its problems, and whether it has that many points."""
    async with trial(node) as one:
        passed = await one.run(kill_at=kill_at, until_generation=1)
        one.check(f"enrolling, killed at point {kill_at} ({passed[-1]})")
        await one.run(until_generation=1)
        one.check(f"enrolled after a kill at point {kill_at}")
        return one.problems, len(passed) >= kill_at


async def rotating(node: str, kill_at: int) -> tuple[list[str], bool]:
    """Kill a device at one point of a rotation, start it again, and let a second rotation follow."""
    async with trial(node) as one:
        await one.run(until_generation=1)
        one.fleet.rotate()
        one.fleet.clock.advance(2)
        passed = await one.run(kill_at=kill_at, until_generation=2)
        one.check(f"rotating, killed at point {kill_at} ({passed[-1]})")
        await one.run(until_generation=2)
        one.fleet.finish()
        one.fleet.rotate(name="rot-2", generation=3)
        one.fleet.clock.advance(2)
        await one.run(until_generation=3)
        one.check(f"after two rotations and a kill at point {kill_at}")
        return one.problems, len(passed) >= kill_at


async def at_each_point(node: str) -> int:
    """Kill it at each point of both stories, print how many there were, and return the number of problems."""
    wrong: list[str] = []
    for story in (enrolling, rotating):
        points = 0
        while True:
            found = await asyncio.gather(*(story(node, points + number) for number in range(1, AT_A_TIME + 1)))
            wrong += [problem for problems, _ in found for problem in problems]
            points += sum(reached for _, reached in found)
            if not all(reached for _, reached in found):
                break
        sys.stdout.write(f"device.mjs {story.__name__}: killed at each of {points} points\n")
    sys.stdout.writelines(f"WRONG {line}\n" for line in wrong)
    return len(wrong)


def main() -> int:
    """Return 1 if the device was locked out once, or if Node.js is missing."""
    configure_logging(level="ERROR")
    try:
        return min(1, asyncio.run(at_each_point(program("node"))))
    except MissingProgramError as problem:
        sys.stderr.write(f"error: {problem}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
