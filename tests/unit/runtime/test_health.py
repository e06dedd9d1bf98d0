"""The health server of a process: what it answers, where it listens, and what ends the process."""

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest
from prometheus_client import CollectorRegistry, Gauge

from tallystick.errors import InvalidSettingError
from tallystick.localplane.probe import request
from tallystick.runtime import health
from tallystick.runtime.addresses import Address, parse_address
from tallystick.runtime.health import Health, health_server
from tests.worlds.wire import LOOPBACK


class Process:
    """A process with something to report."""

    def __init__(self) -> None:
        self.why_not_ready: str | None = None
        self.ready: dict[str, str] = {"useCases": "abc"}
        registry = CollectorRegistry()
        Gauge("tallystick_leader", "Leads.", registry=registry).set(1)
        self.health = Health(why_not_ready=lambda: self.why_not_ready, ready=lambda: self.ready, registry=registry)


@pytest.fixture
def ports(monkeypatch) -> list[int]:
    """The ports that are listened on."""
    found: list[int] = []
    listen_on = health.listen_on

    async def noted(address: Address, *, backlog: int):
        sockets = await listen_on(address, backlog=backlog)
        found.extend(opened.getsockname()[1] for opened in sockets)
        return sockets

    monkeypatch.setattr(health, "listen_on", noted)
    return found


async def fetched(url: str) -> tuple[int, str]:
    status, body = await asyncio.to_thread(request, "GET", url)
    return status, body.decode()


async def test_alive_and_ready_are_two_questions(ports):
    process = Process()
    process.why_not_ready = "the signing keys were not read yet"

    async with health_server(parse_address(f"{LOOPBACK}:0"), process.health):
        base = f"http://{LOOPBACK}:{ports[0]}"
        alive, not_ready = await fetched(f"{base}/healthz"), await fetched(f"{base}/readyz")
        process.why_not_ready = None
        ready, metrics = await fetched(f"{base}/readyz"), await fetched(f"{base}/metrics")

    assert (alive[0], json.loads(alive[1])) == (200, {"status": "ok"})
    assert (not_ready[0], ready[0]) == (503, 200)
    reason = "the signing keys were not read yet"
    assert json.loads(not_ready[1]) == {"status": "not ready", "reason": reason, "useCases": "abc"}
    assert json.loads(ready[1]) == {"status": "ready", "useCases": "abc"}
    assert "\ntallystick_leader 1.0\n" in metrics[1]


@pytest.mark.parametrize("host", [LOOPBACK, "[::1]"])
async def test_without_a_host_it_listens_on_both_protocols(ports, host):
    async with health_server(parse_address(":0"), Process().health):
        status, _ = await fetched(f"http://{host}:{ports[0]}/healthz")

    assert status == 200


async def test_a_busy_port_is_named_with_its_flag(ports):
    async with health_server(parse_address(f"{LOOPBACK}:0"), Process().health):
        with pytest.raises(InvalidSettingError, match=r"is in use by another process; .* --health-listen"):
            await _enter(f"{LOOPBACK}:{ports[0]}")


async def _enter(address: str) -> None:
    async with health_server(parse_address(address), Process().health):
        pass


async def test_its_part_ends_when_it_listens_no_more():
    async with health_server(parse_address(f"{LOOPBACK}:0"), Process().health) as serve:
        part = asyncio.ensure_future(_ended(serve))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not part.done()

    assert await asyncio.wait_for(part, 60)


async def _ended(serve: Callable[[], Awaitable[object]]) -> bool:
    task = asyncio.ensure_future(serve())
    await asyncio.wait([task])
    return task.done()
