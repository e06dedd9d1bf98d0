"""The controller of fleets beside a real API server, in the process of the test. Its watch is a list of all objects."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

from tallystick.controller.cache import ObjectCache, ObjectKey
from tallystick.controller.followed import Followed
from tallystick.controller.part import ControllerContext, ObjectReconciler
from tallystick.errors import NotYetError
from tallystick.feature import NoSettings
from tallystick.fleet.feature import KINDS as FLEET_KINDS
from tallystick.fleet.feature import controller_part
from tallystick.objects.context import Context
from tallystick.objects.labels import KIND_LABEL
from tallystick.objects.ports import Cluster, ClusterError, Json
from tallystick.objects.result import Result
from tallystick.objects.server_clock import ServerClock
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS
from tallystick.pairing.feature import KINDS as PAIRING_KINDS
from tallystick.pairing.services.issuing import PairingIssuer
from tallystick.pairing.services.pairing_tokens import PairingTokens
from tallystick.runtime.clock import SystemClock
from tallystick.schema.builtin import SECRETS
from tallystick.schema.meta import Resource
from tallystick.tokens.signer import Signer
from tests.builders import ISSUER, a_policy
from tests.fakes import MemoryAudit, MemoryEvents
from tests.worlds.world import AGuard

KINDS = (*PAIRING_KINDS, *FLEET_KINDS)
LIST_EVERY = 0.1


class LiveController:
    """One leader. A new one begins without a memory."""

    def __init__(self, cluster: Cluster, signer: Signer, namespace: str) -> None:
        self._cluster, self._namespace = cluster, namespace
        self._clock = SystemClock()
        self.cache = ObjectCache(KINDS)
        self.audit, self.events = MemoryAudit(), MemoryEvents()
        self._queue: dict[ObjectKey, None] = {}
        self._due: dict[ObjectKey, Any] = {}
        ctx = Context(self._clock, ServerClock(self._clock), self.audit, self.events)
        issuer = PairingIssuer(signer, a_policy())
        part = controller_part(
            ControllerContext(
                ctx=ctx,
                cluster=cluster,
                cache=self.cache,
                signer=signer,
                namespace="tallystick",
                external_urls=(ISSUER,),
                ca_pem=lambda: None,
                settings=NoSettings(),
                look_again=self._look_again,
                look_at_all_again=lambda: None,
            )
        )
        guard: Any = AGuard
        tokens = PairingTokens(cluster, self.cache, issuer, guard(cluster), ctx)
        self._reconcilers: dict[Resource, ObjectReconciler] = {PAIRING_TOKENS: tokens, **part.reconcilers}
        for resource, follower in part.followers.items():
            self._reconcilers[resource] = Followed(self._reconcilers[resource], follower)

    async def run_until(self, is_done: Callable[[], Any], *, seconds: float = 90.0) -> None:
        """Lead until something is true; raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while not await is_done():
                await self._watch()
                now = self._clock.now()
                self._queue.update(dict.fromkeys(key for key, due in self._due.items() if due <= now))
                while self._queue:
                    key = next(iter(self._queue))
                    del self._queue[key]
                    await self._reconcile(key)
                await self._clock.pause(LIST_EVERY)

    async def _reconcile(self, key: ObjectKey) -> None:
        self._due.pop(key, None)
        result = Result(requeue_after=1.0)
        with suppress(ClusterError, NotYetError):
            result = await self._reconcilers[key[0]].reconcile(key[1], key[2])
        times = [result.requeue_at] if result.requeue_at is not None else []
        if result.requeue_after is not None or result.failed:
            times.append(self._clock.now() + timedelta(seconds=result.requeue_after or 1.0))
        if times:
            self._due[key] = min(times)

    async def _watch(self) -> None:
        for resource in (*(kind.resource for kind in KINDS), SECRETS):
            there = {
                body["metadata"]["name"]: body
                async for body in self._cluster.list(resource, self._namespace)
                if resource != SECRETS or KIND_LABEL in body["metadata"].get("labels", {})
            }
            store = self.cache.secrets if resource == SECRETS else self.cache.stores[resource]
            for key in list(store):
                record = store.get(key)
                if record is not None and (key[1] not in there or there[key[1]]["metadata"]["uid"] != record.uid):
                    gone: Json = {"metadata": {"namespace": key[0], "name": key[1], "uid": record.uid}, "spec": {}}
                    touched = self.cache.touched_by(resource, gone)
                    store.drop(key, record.uid)
                    self._queue.update(dict.fromkeys(touched))
            for body in there.values():
                if not self.cache.has(resource, body["metadata"]):
                    before = self.cache.touched_by(resource, body)
                    if self.cache.observe(resource, "MODIFIED", body):
                        self._queue.update(dict.fromkeys((*before, *self.cache.touched_by(resource, body))))

    def _look_again(self, resource: Resource, namespace: str, name: str) -> None:
        self._queue[resource, namespace, name] = None
