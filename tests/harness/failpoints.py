"""Kill the process at a chosen call of the API server, as a crash would: SIGKILL, no clean-up."""

import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Self

from tallystick.api.meta import Resource
from tallystick.services.ports import Cluster, Json

VARIABLE = "TALLYSTICK_HARNESS_FAILPOINT"


@dataclass(frozen=True, slots=True)
class Failpoint:
    """Where to die: `before` or `after` a verb on a kind."""

    moment: str
    verb: str
    plural: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `after:create:secrets`."""
        return cls(*text.split(":"))


class FailingCluster:
    """A Cluster that ends the process at one failpoint and is the real one everywhere else."""

    def __init__(self, cluster: Cluster, failpoint: Failpoint) -> None:
        self._cluster = cluster
        self._failpoint = failpoint

    def _die_if(self, moment: str, verb: str, resource: Resource) -> None:
        if self._failpoint == Failpoint(moment, verb, resource.plural):
            os.kill(os.getpid(), signal.SIGKILL)

    async def get(self, resource: Resource, namespace: str, name: str) -> Json:
        self._die_if("before", "get", resource)
        return await self._cluster.get(resource, namespace, name)

    def list(
        self, resource: Resource, namespace: str = "", *, label_selector: str = "", metadata_only: bool = False
    ) -> AsyncIterator[Json]:
        return self._cluster.list(resource, namespace, label_selector=label_selector, metadata_only=metadata_only)

    async def create(self, resource: Resource, body: Json, *, dry_run: bool = False) -> Json:
        self._die_if("before", "create", resource)
        stored = await self._cluster.create(resource, body, dry_run=dry_run)
        self._die_if("after", "create", resource)
        return stored

    async def replace(self, resource: Resource, body: Json) -> Json:
        self._die_if("before", "replace", resource)
        stored = await self._cluster.replace(resource, body)
        self._die_if("after", "replace", resource)
        return stored

    async def replace_status(self, resource: Resource, body: Json) -> Json:
        self._die_if("before", "replace_status", resource)
        stored = await self._cluster.replace_status(resource, body)
        self._die_if("after", "replace_status", resource)
        return stored

    async def delete(
        self, resource: Resource, namespace: str, name: str, *, uid: str, resource_version: str = ""
    ) -> None:
        self._die_if("before", "delete", resource)
        await self._cluster.delete(resource, namespace, name, uid=uid, resource_version=resource_version)
        self._die_if("after", "delete", resource)
