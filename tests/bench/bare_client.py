"""What the bare programs share: a client of the API server with nothing around it, and much done at once."""

import asyncio
import json
import ssl
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tallystick.kube.connection import Connection

Json = dict[str, Any]

AT_ONCE = 32
SOURCES = 8
API_VERSION = "tallystick.dev/v1alpha1"
GROUP = f"/apis/{API_VERSION}"


class BareClient:
    """One connection pool of one account; JSON in, JSON out."""

    def __init__(self, kubeconfig: str) -> None:
        self._connection = Connection(kubeconfig=Path(kubeconfig))
        self._session = self._connection.session(limit=AT_ONCE)

    async def __aenter__(self) -> "BareClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def call(self, method: str, path: str, body: Json | None = None) -> Json:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        url = self._connection.server + path
        async with self._session.request(method, url, data=data, headers=headers) as response:
            raw = await response.read()
            if response.status >= 300:
                raise RuntimeError(f"{method} {path}: {response.status} {raw[:500]!r}")
            answer: Json = json.loads(raw)
            return answer

    async def list(self, path: str) -> list[Json]:
        items: list[Json] = []
        rest = ""
        while True:
            page = await self.call("GET", f"{path}?limit=500{rest}")
            items += page["items"]
            if not page["metadata"].get("continue"):
                return items
            rest = f"&continue={page['metadata']['continue']}"

    async def names(self, path: str) -> AsyncIterator[str]:
        """Watch a collection, and tell the name of each object that is in it or changes."""
        headers = {"Accept": "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"}
        async for found in self.objects(path, headers):
            yield found["metadata"]["name"]

    async def objects(self, path: str, headers: dict[str, str] | None = None) -> AsyncIterator[Json]:
        """Watch a collection, and yield each object that is in it or changes."""
        timeout = aiohttp.ClientTimeout(total=None)
        url = f"{self._connection.server}{path}"
        while True:  # the API server hangs up on whoever reads too slowly; a new watch begins with all there is
            async with self._session.get(url, headers=headers, timeout=timeout) as response:
                async for line in response.content:
                    yield json.loads(line)["object"]


async def create_until(kubeconfig: str, path: str, make: Callable[[int], Json], *, count: int, selector: str) -> float:
    """Create 32 at a time, and watch until the operator has made all of them so that a field selector finds them."""
    async with BareClient(kubeconfig) as user, BareClient(kubeconfig) as watcher:

        async def one(number: int) -> None:
            await user.call("POST", path, make(number))

        async def until_all_found() -> None:
            found: set[str] = set()
            async for name in watcher.names(f"{path}?watch=1&fieldSelector={selector}"):
                found.add(name)
                if len(found) == count:
                    return

        return await timed(each(one, range(count)), until_all_found())


@asynccontextmanager
async def from_sources(
    ca_file: str, *, limit: int, keep_alive: bool = True
) -> AsyncIterator[list[aiohttp.ClientSession]]:
    """Clients of several addresses: the exchange bounds the connections of each. On Linux all of 127/8 is here."""
    context = ssl.create_default_context(cafile=ca_file)
    async with AsyncExitStack() as stack:
        sessions = []
        for number in range(SOURCES):
            source = (f"127.0.1.{number + 1}", 0) if sys.platform == "linux" else None
            connector = aiohttp.TCPConnector(limit=limit, ssl=context, local_addr=source, force_close=not keep_alive)
            sessions.append(await stack.enter_async_context(aiohttp.ClientSession(connector=connector)))
        yield sessions


def owned_by(kind: str, meta: Json) -> Json:
    """The reference to the object of ours that owns another."""
    return {"apiVersion": API_VERSION, "kind": kind, "name": meta["name"], "uid": meta["uid"], "controller": True}


def ready(status: str, reason: str, message: str, now: int) -> Json:
    return {
        "type": "Ready",
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": rfc3339(now),
        "observedGeneration": 1,
    }


def rfc3339(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


async def each(one: Callable[[Any], Awaitable[None]], items: Iterable[Any]) -> None:
    """Work on all items, 32 at a time."""
    waiting = iter(items)

    async def worker() -> None:
        for item in waiting:
            await one(item)

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(worker())


async def timed(*work: Awaitable[None]) -> float:
    begun = time.monotonic()
    await asyncio.gather(*work)
    return time.monotonic() - begun
