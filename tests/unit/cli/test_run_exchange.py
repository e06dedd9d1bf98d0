"""What the exchange's process does when it cannot go on: whichever part ends, it ends, so that a fresh one begins."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest

from tallystick.cli import run_exchange
from tallystick.cli.lifetime import Lifetime
from tallystick.cli.run_exchange import Places, Running, keep_keyring, live
from tallystick.crypto.keyring import KeyringError
from tallystick.errors import InvalidSettingError
from tallystick.exchange.listener import Listener
from tallystick.exchange.part import BackgroundTask
from tallystick.exchange.server import ServeSettings
from tallystick.exchange.tls import ServerCertificate
from tallystick.localplane.pki import prepare_serving
from tallystick.objects.ports import NotFoundError
from tallystick.runtime.addresses import Address
from tallystick.runtime.events import EventRecorder
from tallystick.runtime.health import Health
from tests.worlds.replica import Replica
from tests.worlds.wire import LOOPBACK, PLAIN


class Broken:
    """A keyring that cannot be read."""

    was_read = False

    def __init__(self, error: Exception, stop: asyncio.Event | None = None) -> None:
        self._error = error
        self._stop = stop
        self.reads = 0

    async def refresh(self) -> None:
        self.reads += 1
        if self._stop is not None and self.reads > 1:
            self._stop.set()
        raise self._error


async def endless() -> None:
    await asyncio.Event().wait()


async def ending() -> None:
    await asyncio.sleep(0)


async def a_bug(*_: object) -> None:
    raise ValueError("a bug")


class World:
    """The parts of a replica, of which a test replaces one."""

    def __init__(self) -> None:
        self.replica, self.life, self.finished = Replica(), Lifetime(), False
        self.events = EventRecorder(self.replica.cluster, self.replica.clock, "tallystick-exchange")
        self.keyring: Callable[[], Awaitable[None]] = endless
        self.background: Callable[[], Awaitable[None]] = endless

    async def finish(self) -> None:
        self.finished = True

    async def status(self, serving: ServeSettings = PLAIN) -> int:
        """Run the process to its end, and return its exit status."""
        running = Running(
            app=self.replica.app,
            parts={"the keyring": self.keyring},
            background=[BackgroundTask(run=self.background, finish=self.finish)],
            events=self.events,
            health=self.replica.health,
        )
        with self.life.until_stopped():
            async with asyncio.timeout(10):
                await live(self.life, running, Places(serving, Address(LOOPBACK, 0)))
        return self.life.exit_status


async def test_a_bug_in_the_reading_of_the_keyring_ends_the_process():
    world = World()
    world.keyring = lambda: keep_keyring(Broken(RuntimeError("a bug")))

    assert await world.status() == 1


@pytest.mark.parametrize(
    ("error", "was_read"),
    [
        pytest.param(KeyringError("damaged"), False, id="damaged from the start"),
        pytest.param(KeyringError("damaged"), True, id="damaged"),
        pytest.param(NotFoundError("gone"), True, id="deleted"),
        pytest.param(InvalidSettingError("another issuer"), True, id="replaced by that of another issuer"),
        pytest.param(InvalidSettingError("another issuer"), False, id="of another issuer from the start"),
    ],
)
async def test_a_keyring_that_can_be_restored_is_read_again(error, was_read, monkeypatch):
    monkeypatch.setattr(run_exchange, "REFRESH_SECONDS", 0.0)
    monkeypatch.setattr(run_exchange, "FIRST_REFRESH_SECONDS", 0.0)
    world, read_again = World(), asyncio.Event()
    broken = Broken(error, read_again)
    broken.was_read = was_read
    world.keyring = lambda: keep_keyring(broken)

    running = asyncio.create_task(world.status())
    await asyncio.wait_for(read_again.wait(), 60)
    world.life.stop()

    assert await running == 0


@pytest.mark.parametrize("work", [pytest.param(ending, id="it returns"), pytest.param(a_bug, id="it fails")])
async def test_a_background_task_of_a_feature_that_ends_ends_the_process(work):
    world = World()
    world.background = work

    assert await world.status() == 1
    assert world.finished


@pytest.mark.parametrize("work", [pytest.param(ending, id="it returns"), pytest.param(a_bug, id="it fails")])
async def test_events_that_are_written_no_more_end_the_process(work, monkeypatch):
    world = World()
    monkeypatch.setattr(world.events, "run", work)

    assert await world.status() == 1


async def test_a_look_at_the_certificate_that_fails_ends_the_process(monkeypatch, tmp_path):
    monkeypatch.setattr(ServerCertificate, "watch", a_bug)
    _, pair = prepare_serving(tmp_path / "pair", LOOPBACK, now=datetime.now(UTC))

    assert await World().status(ServeSettings(LOOPBACK, 0, pair.certificate, pair.key)) == 1


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda listening: listening.close(), id="closed"),
        pytest.param(lambda listening: os.close(listening.detach()), id="taken away"),
        pytest.param(lambda listening: listening.shutdown(2), id="shut down"),
    ],
)
async def test_a_socket_that_listens_no_more_ends_the_process(damage, monkeypatch):
    watch = Listener.watch

    async def watch_damaged(self: Listener) -> None:
        for listening in self._listeners:
            asyncio.get_running_loop().remove_reader(listening)
            damage(listening)
        await watch(self)

    monkeypatch.setattr(Listener, "watch", watch_damaged)

    assert await World().status() == 1


async def test_a_process_that_is_stopped_ends_with_status_0():
    world = World()
    asyncio.get_running_loop().call_soon(world.life.stop)

    assert await world.status() == 0
    assert world.finished


async def test_a_replica_is_ready_while_it_listens_and_not_before_or_after(monkeypatch):
    world, reasons = World(), []
    served = run_exchange.serve

    async def serve(app, serving, report, *, stop, start):
        reasons.append(health.why_not_ready())

        def reported(line: str) -> None:
            report(line)
            reasons.append(health.why_not_ready())
            world.life.stop()
            reasons.append(health.why_not_ready())

        await served(app, serving, reported, stop=stop, start=start)

    @asynccontextmanager
    async def noted(_: Address, published: Health) -> AsyncIterator[Callable[[], Awaitable[None]]]:
        nonlocal health
        health = published
        yield endless

    health = world.replica.health
    monkeypatch.setattr(run_exchange, "serve", serve)
    monkeypatch.setattr(run_exchange, "health_server", noted)

    assert await world.status() == 0
    assert reasons == ["the process does not listen yet", None, "the process is stopping"]


async def test_a_health_server_that_ends_ends_the_process(monkeypatch):
    @asynccontextmanager
    async def broken(*_: object) -> AsyncIterator[Callable[[], Awaitable[None]]]:
        yield ending

    monkeypatch.setattr(run_exchange, "health_server", broken)

    assert await World().status() == 1
