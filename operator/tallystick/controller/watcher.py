"""Run kopf's watches as one part of the process, and start and stop the watch of a kind with its CRD.

kopf would end itself if a kind that it watches is deleted, and would never watch a kind that is installed later. So the
kinds are followed here. kopf's tasks are started without `kopf.operator`, which cancels every task of the process when
one of its own fails, and then may never return.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import aiohttp
import kopf

# kopf takes such containers as an argument, but does not export them; pyproject.toml keeps to one minor version.
from kopf._cogs.structs.references import Insights
from kopf._cogs.structs.references import Resource as KopfResource
from kopf._core.engines.peering import Identity

from tallystick.controller.kinds import MissingKinds
from tallystick.controller.storages import NoMemories
from tallystick.controller.watches import Observer, configure, register
from tallystick.objects.kind import Kind
from tallystick.objects.ports import ClusterError
from tallystick.runtime.parts import PartEndedError, cancel, error_of
from tallystick.schema.meta import Resource

# Seconds between two looks at the kinds that the API server serves: while one is missing, and otherwise. A watch whose
# kind is gone also causes a look.
SOON_SECONDS, LATER_SECONDS = 1.0, 30.0
REVISE_SECONDS = 60.0
# The task of kopf that logs in. It is none of the tasks that kopf returns, and without it every request would wait.
_LOGIN = "credentials retriever"
_WATCH = "watcher for "

# Without a name kopf asks for that of its user, and a user of another number than the image's has none. Only peering,
# which is off, uses it.
NO_PEER = Identity("tallystick")

Session = Callable[[aiohttp.ClientMiddlewareType], Any]
ServedKinds = Callable[[Collection[Resource]], Awaitable[Collection[Resource]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedServer:
    """The API server that kopf watches.

    Attributes:
        url: Its address.
        session: Opens a session for kopf alone: kopf closes it when it logs in again.
        served: Returns those of some kinds that the API server serves.
    """

    url: str
    session: Session
    served: ServedKinds


@dataclass(kw_only=True)
class Watcher:
    """kopf's watches of our kinds, except the paged ones. It looks whether all kinds are served.

    Attributes:
        server: The API server.
        kinds: The kinds that it watches while the API server serves them.
        namespaces: The watched namespaces; empty means all.
        observer: Receives the events.
        missing: Receives the kinds that the API server does not serve.
        started: Called when kopf has started. kopf sets handlers for signals, which the process has to replace.
    """

    server: WatchedServer
    kinds: Sequence[Kind]
    namespaces: tuple[str, ...]
    observer: Observer
    missing: MissingKinds
    started: Callable[[], None] = lambda: None
    _insights: Insights = field(default_factory=Insights)

    async def run(self) -> None:
        """Watch until canceled. Raises PartEndedError if a task of kopf ends."""
        tasks = await self._started()
        self.started()
        tasks[asyncio.create_task(self._follow_kinds(), name="the look at the served kinds")] = "kinds"
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _stop(tasks)
        raise PartEndedError("; ".join(_why(task) for task in done))

    async def guard(self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        """Turn the responses that would end kopf into a lost connection, after which it lists or watches again.

        404: the kind is gone. 410: the first pages of a listing have become too old for the rest.
        """
        response = await handler(request)
        if response.status == HTTPStatus.UNAUTHORIZED:
            await asyncio.sleep(SOON_SECONDS)  # kopf logs in again at once, and may get the same response
        kind = self._kind_at(request.url.path)
        if response.status == HTTPStatus.NOT_FOUND and kind is not None:
            self.missing.look_again(kind)
        elif response.status != HTTPStatus.GONE:
            return response
        response.release()
        await asyncio.sleep(SOON_SECONDS)  # kopf itself would repeat a watch at once
        raise aiohttp.ClientPayloadError(f"the API server returned {response.status}")

    async def _started(self) -> "dict[asyncio.Task[object], str]":
        """Start kopf. If this is canceled meanwhile, stop what has been started."""
        starting = asyncio.create_task(self._start())
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            await _stop(await starting)
            raise

    async def _start(self) -> "dict[asyncio.Task[object], str]":
        registry, settings = kopf.OperatorRegistry(), kopf.OperatorSettings()
        register(registry, self.observer, self._of_kopf)
        configure(settings)

        @kopf.on.login(registry=registry)
        async def login(**_: object) -> kopf.AiohttpSession:
            return kopf.AiohttpSession(server=self.server.url, aiohttp_session=self.server.session(self.guard))

        before = asyncio.all_tasks()
        root = await kopf.spawn_tasks(
            registry=registry,
            settings=settings,
            memories=NoMemories(),
            identity=NO_PEER,
            insights=self._insights,
            standalone=True,
            clusterwide=not self.namespaces,
            namespaces=self.namespaces,
        )
        logins = [task for task in asyncio.all_tasks() - before if task.get_name() == _LOGIN]
        if len(logins) != 1:
            raise PartEndedError("this version of kopf has no task that logs in; install the version of the lock file")
        return {task: task.get_name() for task in (*root, *logins)}

    async def _follow_kinds(self) -> None:
        await self._insights.ready_resources.wait()
        while True:
            self.missing.suspected.clear()
            with suppress(ClusterError):  # the API server is away: the callers that need an object log that
                await self._look()
            with suppress(TimeoutError):
                async with asyncio.timeout(SOON_SECONDS if len(self.missing) else LATER_SECONDS):
                    await self.missing.suspected.wait()

    async def _look(self) -> None:
        ours = {kind.resource for kind in self.kinds}
        served = frozenset(await self.server.served(ours))
        self.missing.update(ours - served)
        async with asyncio.timeout(REVISE_SECONDS), self._insights.revised:
            watched = self._insights.watched_resources
            before = set(watched)
            by_kopf = {kind.resource for kind in self._of_kopf}
            watched -= {_insight(kind) for kind in by_kopf - served}
            watched |= {_insight(kind) for kind in by_kopf & served}
            if watched != before:
                self._insights.revised.notify_all()

    @property
    def _of_kopf(self) -> list[Kind]:
        return [kind for kind in self.kinds if not kind.paged]

    def _kind_at(self, path: str) -> Resource | None:
        """Return the kind whose objects a path lists."""
        for kind in self.kinds:
            resource = kind.resource
            if f"/apis/{resource.api_version}/" in path and path.endswith(f"/{resource.plural}"):
                return resource
        return None


def _insight(kind: Resource) -> KopfResource:
    return KopfResource(
        group=kind.group,
        version=kind.version,
        plural=kind.plural,
        kind=kind.kind,
        namespaced=True,
        verbs=frozenset({"list", "watch"}),
    )


async def _stop(tasks: "dict[asyncio.Task[object], str]") -> None:
    """End kopf: its root tasks first, of which one ends its login and closes its session. Then what they left."""
    await cancel({task: name for task, name in tasks.items() if name != _LOGIN})
    await cancel(
        {task: name for task in asyncio.all_tasks() if (name := task.get_name()) == _LOGIN or name.startswith(_WATCH)}
    )


def _why(task: "asyncio.Task[object]") -> str:
    error = error_of(task)
    text = str(error) if isinstance(error, PartEndedError) else f"{task.get_name()}: {type(error).__name__}: {error}"
    return f"kopf does not watch any more ({text})"
