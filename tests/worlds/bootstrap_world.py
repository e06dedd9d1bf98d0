"""The operator's namespace with a keyring and a trigger, and controllers that begin to lead there one after another."""

import base64
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from tallystick.controller.cache import ObjectCache
from tallystick.objects.context import Context
from tallystick.objects.labels import BOOTSTRAP_ANNOTATION, KEYRING_SECRET
from tallystick.objects.ports import ClusterError
from tallystick.objects.server_clock import ServerClock
from tallystick.pairing.api.master_token import MASTER_TOKENS, MasterToken
from tallystick.pairing.domain.admin_token import ADMIN_SECRET, TRIGGER
from tallystick.pairing.domain.settings import PairingSettings
from tallystick.pairing.services.admin_bootstrap import AdminBootstrap
from tallystick.pairing.services.issuing import PairingIssuer
from tallystick.pairing.services.master_tokens import MasterTokens
from tallystick.registry import KINDS
from tallystick.schema.builtin import CONFIG_MAPS, SECRETS
from tallystick.tokens.signer import Signer
from tests.builders import ISSUER, HeldKeys, a_policy
from tests.fakes import FakeClock, MemoryAudit, MemoryEvents
from tests.worlds.faults import FaultyCluster

Json = dict[str, Any]

HOME = "tallystick-system"
IGNORED = "BootstrapTriggerIgnored"


class BootstrapWorld:
    """What all controllers share."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.cluster = FaultyCluster(clock=self.clock)
        self.audit, self.events, self.keys = MemoryAudit(), MemoryEvents(), HeldKeys()
        self.ctx = Context(self.clock, ServerClock(self.clock), self.audit, self.events)
        self.put_keyring()

    def put_keyring(self, **annotations: str) -> None:
        meta = {"name": KEYRING_SECRET, "namespace": HOME, "annotations": {"team": "a", **annotations}}
        self.cluster.put(
            SECRETS, {"metadata": meta, "type": "tallystick.dev/keyring", "data": {"keyring.json": "e30="}}
        )

    def place_trigger(self) -> str:
        """Place the trigger, and return its uid."""
        stored = self.cluster.put(CONFIG_MAPS, {"metadata": {"name": TRIGGER, "namespace": HOME}})
        return str(stored["metadata"]["uid"])

    def writes(self) -> list[tuple[str, str]]:
        """Verb and kind of the writes since the last look."""
        found = [(call.verb, call.plural) for call in self.cluster.writes()]
        self.cluster.calls.clear()
        return found

    def remove_trigger(self) -> None:
        self.cluster.remove(CONFIG_MAPS, HOME, TRIGGER)

    def controller(self, *, is_served: bool = True, **settings: Any) -> AdminBootstrap:
        """A controller that begins to lead."""
        return AdminBootstrap(
            self.cluster,
            PairingIssuer(Signer(self.keys, ISSUER), a_policy()),
            PairingSettings(**settings),
            self.ctx,
            namespace=HOME,
            is_served=is_served,
        )

    async def start(self, **settings: Any) -> AdminBootstrap:
        """A controller begins to lead; its first run must succeed."""
        controller = self.controller(**settings)
        await controller.run()
        return controller

    async def start_until_done(self, *, most: int = 6) -> None:
        """Controllers that begin to lead one after another until a run succeeds."""
        for _ in range(most):
            try:
                await self.controller().run()
            except ClusterError:
                continue
            return
        raise AssertionError("no run succeeded")

    async def reconcile(self, *, delete_after: timedelta = timedelta(minutes=1)) -> Any:
        """One look of the controller at the MasterToken of the admin token."""
        (master,) = self.masters()
        cache = ObjectCache(KINDS)
        for body in self.cluster.all(MASTER_TOKENS):
            cache.observe(MASTER_TOKENS, None, body)
        signer = Signer(self.keys, ISSUER)
        reconciler = MasterTokens(self.cluster, cache, signer, self.ctx, delete_admin_secret_after=delete_after)
        return await reconciler.reconcile(HOME, master.metadata.name)

    # What is.

    def masters(self) -> list[MasterToken]:
        return [MasterToken.model_validate(body) for body in self.cluster.all(MASTER_TOKENS)]

    @property
    def secret(self) -> Json | None:
        return self.cluster.peek(SECRETS, HOME, ADMIN_SECRET)

    @property
    def trigger(self) -> Json | None:
        return self.cluster.peek(CONFIG_MAPS, HOME, TRIGGER)

    @property
    def record(self) -> Json | None:
        """The record on the keyring."""
        text = self.annotations.get(BOOTSTRAP_ANNOTATION)
        return None if text is None else json.loads(text)

    @property
    def annotations(self) -> dict[str, str]:
        found = self.cluster.peek(SECRETS, HOME, KEYRING_SECRET)
        assert found is not None
        annotations: dict[str, str] = found["metadata"].get("annotations", {})
        return annotations

    @property
    def content(self) -> Json:
        """The file that the Secret holds."""
        assert self.secret is not None
        decoded: Json = json.loads(base64.b64decode(self.secret["data"][ADMIN_SECRET]))
        return decoded

    def edit_master(self, change: Callable[[Json], object]) -> None:
        (master,) = self.masters()
        self.cluster.edit(MASTER_TOKENS, HOME, master.metadata.name, change)
