"""A feed, and a list and watch of ours that fills a cache from it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tallystick.controller.cache import ObjectCache
from tallystick.controller.kinds import MissingKinds
from tallystick.controller.list_watch import ListWatch
from tallystick.fleet.api.device import DEVICES
from tallystick.fleet.feature import KINDS
from tallystick.objects.ports import Json
from tallystick.schema.meta import Resource
from tests.fakes import FakeFeed
from tests.virtual_time import in_background

KIND = tuple(kind for kind in KINDS if kind.resource == DEVICES)
SOON = 60.0  # virtual seconds, in which each recovery ends


@dataclass
class World:
    """A feed, a cache that the list and watch fills, and what it reported."""

    namespace: str = ""
    resource: Resource = DEVICES
    feed: FakeFeed = field(default_factory=FakeFeed)
    cache: ObjectCache = field(default_factory=lambda: ObjectCache(KIND))
    missing: MissingKinds = field(default_factory=MissingKinds)
    observed: list[tuple[str | None, str]] = field(default_factory=list)

    def is_news(self, resource: Resource, event_type: str | None, body: Json) -> bool:
        return event_type == "DELETED" or not self.cache.has(resource, body["metadata"])

    def observe(self, resource: Resource, event_type: str | None, body: Json) -> None:
        self.observed.append((event_type, body["metadata"]["name"]))
        self.cache.observe(resource, event_type, body)

    @property
    def cached(self) -> dict[tuple[str, str], str]:
        """The version of each cached object."""
        store = self.cache.store(self.resource)
        found = {key: store.get(key) for key in store}
        return {key: record.resource_version for key, record in found.items() if record}

    def list_watch(self, **options: Any) -> ListWatch:
        return ListWatch(
            feed=self.feed,
            resource=self.resource,
            namespace=self.namespace,
            cache=self.cache,
            observer=self,
            missing=self.missing,
            page_size=2,
            jitter=lambda: 0.5,
            **options,
        )

    @asynccontextmanager
    async def running(self, **options: Any) -> AsyncIterator[ListWatch]:
        """List and watch beside the block, from the end of the first listing on."""
        watch = self.list_watch(**options)
        async with in_background(watch.run()):
            await watch.wait_until_synced()
            await settle()
            yield watch

    def assert_current(self) -> None:
        assert self.cached == self.feed.objects


async def settle(seconds: float = 0.001) -> None:
    await asyncio.sleep(seconds)


def a_world(*names: str, **options: Any) -> World:
    world = World(**options)
    for name in names:
        world.feed.put(name)
    return world
