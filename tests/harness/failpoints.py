"""Kill the process at a chosen call of the API server, as a crash would: SIGKILL, no clean-up.

    before:create:secrets            at the first such call
    after:get:pairingtokens:2        when the second GET of one object has been answered
    after:create:mastertokens:1:6    when six callers have come that far; those who came first are held there

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
from pathlib import Path
from typing import Protocol, Self

from tallystick.objects.ports import Cluster, Json
from tallystick.schema.meta import Resource

VARIABLE = "TALLYSTICK_HARNESS_FAILPOINT"
RECORD_VARIABLE = "TALLYSTICK_HARNESS_CALLS"


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
        nth: At which of the calls that are the same in verb, kind, namespace and name.
        arrivals: How many callers must have come that far.
    """

    moment: str
    verb: str
    plural: str
    nth: int = 1
    arrivals: int = 1

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `after:create:secrets`, with or without the numbers."""
        moment, verb, plural, *numbers = text.split(":")
        return cls(moment, verb, plural, *map(int, numbers))

    def __str__(self) -> str:
        return f"{self.moment}:{self.verb}:{self.plural}:{self.nth}:{self.arrivals}"

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


# A dry run changes nothing: a process that ends there is one that ends before its next call.
DRY_RUN = "dry_run"


def recorded(file: Path) -> list[Call]:
    """Return the calls that a process has noted, in their order."""
    return [Call(*line.split("\t")) for line in file.read_text().splitlines()]


def stepping(cluster: Cluster) -> Cluster:
    """Wrap a process's cluster as its environment says; without a word there it is the real one."""
    if chosen := os.environ.get(VARIABLE):
        return SteppingCluster(cluster, Killer(Failpoint.parse(chosen)))
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
        if (moment, call.verb, call.plural) != (point.moment, point.verb, point.plural):
            return
        self._seen[call] += 1
        if self._seen[call] != point.nth:
            return
        self._arrived += 1
        if self._arrived < point.arrivals:
            await asyncio.Event().wait()  # which nobody sets: the process ends here
        os.kill(os.getpid(), signal.SIGKILL)


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
