"""The reconciler of Greetings: it stores a Secret, heals it, and stalls if its name is taken."""

from datetime import datetime

from tallystick.controller.part import ControllerContext
from tallystick.objects.conditions import Description, ready, reconciling
from tallystick.objects.held_secrets import Json, content_digest, secret_body
from tallystick.objects.owned_secrets import OwnedSecrets
from tallystick.objects.ownership import SecretConflict, SecretForm
from tallystick.objects.reconciler import Observed, Reconciler
from tallystick.objects.result import Result
from tests.toy_feature.api import GREETINGS, Greeting, GreetingReason
from tests.toy_feature.settings import ToySettings

SECRET = SecretForm(suffix="-greeting", type="tallystick.dev/greeting", keys=frozenset({"greeting"}))

Seen = Observed[Greeting]


def describe(greeting: Greeting, _: datetime) -> Description:
    if greeting.status.stored:
        return Description(ready(GreetingReason.STORED, f"Secret {secret_name(greeting)} holds the greeting"))
    return Description(reconciling(GreetingReason.PENDING, "the Secret is not stored yet"))


def secret_name(greeting: Greeting) -> str:
    return greeting.metadata.name + SECRET.suffix


class Greetings:
    def __init__(self, context: ControllerContext[ToySettings]) -> None:
        self._salutation = context.settings.salutation
        self._cache = context.cache
        self._secrets = OwnedSecrets(context.cluster, context.cache, GREETINGS, SECRET)
        self._reconciler = Reconciler(Greeting, describe, context.cluster, context.cache, context.ctx)
        self.heals = 0

    async def reconcile(self, namespace: str, name: str) -> Result:
        return await self._reconciler.run(namespace, name, self._act)

    async def _act(self, seen: Seen) -> Result | None:
        if seen.object.metadata.deletion_timestamp is not None:
            return Result()
        if not seen.object.status.stored:
            return await self._store(seen)
        if self._is_damaged(seen.object):
            return await self._reconciler.heal(seen, self._heal, is_due=self._is_damaged)
        return await self._reconciler.done(seen)

    def _is_damaged(self, greeting: Greeting) -> bool:
        held = self._cache.secret(greeting.metadata.namespace, secret_name(greeting))
        wanted = content_digest(self._wanted(greeting))
        return greeting.status.stored and (held is None or held.content_digest != wanted)

    def _wanted(self, greeting: Greeting) -> Json:
        values = {"greeting": f"{self._salutation}, {greeting.spec.text}"}
        owner = (GREETINGS, greeting.metadata)
        return secret_body(secret_name(greeting), SECRET, values, owner=owner, token_id=None)

    async def _heal(self, seen: Seen) -> Result | None:
        stalled = await self._store(seen)
        if stalled is None:
            self._reconciler.record_heal(seen)
            self.heals += 1
        return stalled

    async def _store(self, seen: Seen) -> Result | None:
        name = secret_name(seen.object)
        held = await self._secrets.held(seen.object.metadata, name)
        conflict = held if isinstance(held, SecretConflict) else None
        if not isinstance(held, SecretConflict):
            conflict = await self._secrets.restore(self._wanted(seen.object), held)
        if conflict is not None:
            return await self._reconciler.stall_on_secret(seen, name, conflict, {"stored": False})
        await self._reconciler.record(seen, {"stored": True})
        return None
