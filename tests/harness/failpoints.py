"""Kill the process at a chosen call of the API server, as a crash would: SIGKILL, no clean-up.

    before:create:secrets            at the first such call
    after:get:pairingtokens:2        when the second GET of one object has been answered
    after:create:mastertokens:1:6    when six callers have come that far; those who came first are held there
    after:replace:secrets/*-sealed:7 at the seventh such call for an object of such a name, whichever object it is

Which calls there are is recorded, not remembered: a process that is given a file notes each one in it, and
`points_of` makes the failpoints of them.
"""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Protocol, Self

from tallystick.objects.ports import Cluster, Json
from tallystick.schema.meta import Resource

VARIABLE = "TALLYSTICK_HARNESS_FAILPOINT"
RECORD_VARIABLE = "TALLYSTICK_HARNESS_CALLS"
HALT_VARIABLE = "TALLYSTICK_HARNESS_HALT"


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the API server. A list has no name."""

    verb: str
    plural: str
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Failpoint:
    """Where to die.

    Attributes:
        moment: `before` or `after` the call.
        nth: At which of the calls that are the same in verb, kind, namespace and name, or that fit the pattern.
        arrivals: How many callers must have come that far.
        pattern: Only calls for an object whose name fits this shell pattern count. '' is any name.
    """

    moment: str
    verb: str
    plural: str
    nth: int = 1
    arrivals: int = 1
    pattern: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `after:create:secrets`, with or without the numbers."""
        moment, verb, kind, *numbers = text.split(":")
        plural, _, pattern = kind.partition("/")
        return replace(cls(moment, verb, plural, *map(int, numbers)), pattern=pattern)

    def __str__(self) -> str:
        kind = f"{self.plural}/{self.pattern}" if self.pattern else self.plural
        return f"{self.moment}:{self.verb}:{kind}:{self.nth}:{self.arrivals}"

    def counts(self, call: Call) -> Call | None:
        """Return what a call is counted with; None if it is not counted here."""
        if (call.verb, call.plural) != (self.verb, self.plural):
            return None
        if not self.pattern:
            return call
        return Call(self.verb, self.plural, "", self.pattern) if fnmatchcase(call.name, self.pattern) else None

    def for_callers(self, arrivals: int) -> "Failpoint":
        """The same place, once so many have reached it."""
        return replace(self, arrivals=arrivals)


def points_of(calls: Iterable[Call]) -> list[Failpoint]:
    """Return the failpoints before and after each of the calls, in their order."""
    seen: Counter[Call] = Counter()
    points = []
    for call in calls:
        seen[call] += 1
        points += [Failpoint(moment, call.verb, call.plural, seen[call]) for moment in ("before", "after")]
    return points


HALT_SECONDS = 0.01

# A dry run changes nothing: a process that ends there is one that ends before its next call.
DRY_RUN = "dry_run"


def recorded(file: Path) -> list[Call]:
    """Return the calls that a process has noted, in their order."""
    return [Call(*line.split("\t")) for line in file.read_text().splitlines()]


def stepping(cluster: Cluster) -> Cluster:
    """Wrap a process's cluster as its environment says; without a word there it is the real one."""
    if chosen := os.environ.get(VARIABLE):
        return SteppingCluster(cluster, Killer(Failpoint.parse(chosen)))
    if folder := os.environ.get(HALT_VARIABLE):
        return SteppingCluster(cluster, Halt(Path(folder)))
    if file := os.environ.get(RECORD_VARIABLE):
        return SteppingCluster(cluster, Recorder(Path(file)))
    return cluster


class Steps(Protocol):
    """Is told of each call before it is sent and after it has succeeded."""

    async def reach(self, moment: str, call: Call) -> None: ...


class Killer:
    """Ends the process at one failpoint."""

    def __init__(self, failpoint: Failpoint) -> None:
        self._failpoint = failpoint
        self._seen: Counter[Call] = Counter()
        self._arrived = 0

    async def reach(self, moment: str, call: Call) -> None:
        point = self._failpoint
        counted = point.counts(call) if moment == point.moment else None
        if counted is None:
            return
        self._seen[counted] += 1
        if self._seen[counted] != point.nth:
            return
        self._arrived += 1
        if self._arrived < point.arrivals:
            await asyncio.Event().wait()  # which nobody sets: the process ends here
        os.kill(os.getpid(), signal.SIGKILL)


class Halt:
    """Holds up the calls that a file names, such as `before:delete:secrets`, until a test lets each of them go on."""

    def __init__(self, folder: Path) -> None:
        self._halts = Halts(folder)

    async def reach(self, moment: str, call: Call) -> None:
        point = self._halts.failpoint
        if point is None or moment != point.moment or point.counts(call) is None:
            return
        self._halts.arrived(call.namespace, call.name).touch()
        go = self._halts.may_go_on(call.namespace, call.name)
        while not go.exists():  # noqa: ASYNC110 - another process makes it
            await asyncio.sleep(HALT_SECONDS)


@dataclass(frozen=True, slots=True)
class Halts:
    """The folder by which a test and a process agree on where calls are held up."""

    folder: Path

    def at(self, failpoint: str) -> None:
        """Hold up such calls from now on."""
        draft = self.folder / "halt.new"
        draft.write_text(failpoint)
        draft.replace(self.folder / "halt")

    @property
    def failpoint(self) -> Failpoint | None:
        file = self.folder / "halt"
        return Failpoint.parse(file.read_text()) if file.exists() else None

    def arrived(self, namespace: str, name: str) -> Path:
        """Name the file that is there once a call for this object is held up."""
        return self.folder / f"{namespace}.{name}.arrived"

    def may_go_on(self, namespace: str, name: str) -> Path:
        """Name the file that lets the calls for this object go on."""
        return self.folder / f"{namespace}.{name}.go"


class Recorder:
    """Notes each call in a file, one a line."""

    def __init__(self, file: Path) -> None:
        self._file = file

    async def reach(self, moment: str, call: Call) -> None:
        if moment == "before":
            with self._file.open("a") as stream:
                stream.write(f"{call.verb}\t{call.plural}\t{call.namespace}\t{call.name}\n")


class SteppingCluster:
    """A Cluster that tells of each of its calls and is the real one otherwise."""

    def __init__(self, cluster: Cluster, steps: Steps) -> None:
        self._cluster = cluster
        self._steps = steps

    @asynccontextmanager
    async def _step(self, verb: str, resource: Resource, namespace: str, name: str) -> AsyncIterator[None]:
        call = Call(verb, resource.plural, namespace, name)
        await self._steps.reach("before", call)
        yield
        await self._steps.reach("after", call)

    async def get(self, resource: Resource, namespace: str, name: str) -> Json:
        async with self._step("get", resource, namespace, name):
            return await self._cluster.get(resource, namespace, name)

    async def list(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        metadata_only: bool = False,
    ) -> AsyncIterator[Json]:
        async with self._step("list", resource, namespace, ""):
            async for item in self._cluster.list(
                resource,
                namespace,
                label_selector=label_selector,
                field_selector=field_selector,
                metadata_only=metadata_only,
            ):
                yield item

    async def create(self, resource: Resource, body: Json, *, dry_run: bool = False) -> Json:
        if dry_run:
            async with self._step(DRY_RUN, resource, *_named(body)):
                return await self._cluster.create(resource, body, dry_run=True)
        async with self._step("create", resource, *_named(body)):
            return await self._cluster.create(resource, body)

    async def replace(self, resource: Resource, body: Json) -> Json:
        async with self._step("replace", resource, *_named(body)):
            return await self._cluster.replace(resource, body)

    async def replace_status(self, resource: Resource, body: Json) -> Json:
        async with self._step("replace_status", resource, *_named(body)):
            return await self._cluster.replace_status(resource, body)

    async def delete(
        self, resource: Resource, namespace: str, name: str, *, uid: str, resource_version: str = ""
    ) -> None:
        async with self._step("delete", resource, namespace, name):
            await self._cluster.delete(resource, namespace, name, uid=uid, resource_version=resource_version)


def _named(body: Json) -> tuple[str, str]:
    metadata = body.get("metadata", {})
    return metadata.get("namespace", ""), metadata.get("name", "")
