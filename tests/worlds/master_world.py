"""One MasterToken, made by a redemption, and its reconciler beside the API server in memory."""

from typing import Any

from tallystick.controller.cache import ObjectCache
from tallystick.objects.result import Result
from tallystick.pairing.api.master_token import MASTER_TOKENS, MasterToken
from tallystick.pairing.services.master_tokens import MasterTokens
from tallystick.registry import KINDS
from tests.worlds.world import NAMESPACE, World

Json = dict[str, Any]

LIFETIME = 3600


class MasterWorld:
    """A `World` of which the MasterToken is looked at. It has the clock, the cluster and the logs of that world."""

    def __init__(self) -> None:
        self._pairing = World()
        self.clock, self.cluster = self._pairing.clock, self._pairing.cluster
        self.audit, self.events = self._pairing.audit, self._pairing.events
        self.writes = self._pairing.writes
        self.restart()

    def restart(self) -> None:
        """Start a controller that knows nothing but what the API server tells."""
        self._cache = ObjectCache(KINDS)
        self._controller = MasterTokens(
            self.cluster, self._cache, self._pairing.signer, self._pairing._ctx(self._pairing.server_clock)
        )

    async def settle(self) -> None:
        await self._pairing.replica().redeem(await self._pairing.issue(masterToken={"ttl": f"{LIFETIME}s"}))
        await self.reconcile()
        self.cluster.calls.clear()

    async def obstruct(self) -> None:
        """Let the master token expire: only another pairing helps."""
        await self.settle()
        self.clock.advance(LIFETIME)

    async def reconcile(self) -> Result:
        """One look of the controller, whose watches have caught up; without an object at the name of one."""
        name = next((master.metadata.name for master in self._pairing.masters()), "mtok-none")
        self._cache.stores = self._pairing._seen().stores
        return await self._controller.reconcile(NAMESPACE, name)

    def edit(self, **spec: Any) -> Json:
        return self._pairing.edit(MASTER_TOKENS, self.object().metadata.name, **spec)

    def object(self) -> MasterToken:
        (master,) = self._pairing.masters()
        return master

    def said(self) -> dict[str, tuple[str, str]]:
        return {one.type: (one.status.value, one.reason) for one in self.object().status.conditions}
