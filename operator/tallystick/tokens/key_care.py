"""Keep the keyring in order: rotate the signing key by age, and drop the old keys that no valid token names."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

from tallystick.crypto.keys import Algorithm
from tallystick.objects.kind import Kind
from tallystick.objects.ports import Audit, Clock
from tallystick.schema.meta import Resource
from tallystick.tokens.keyrings import Keyrings


class AllObjects(Protocol):
    """All objects of our kinds, as last read."""

    def everything(self) -> list[tuple[Resource, str, str]]:
        """Return resource, namespace and name of each object."""
        ...

    def get(self, resource: Resource, namespace: str, name: str) -> Mapping[str, Any] | None:
        """Return an object."""
        ...


@dataclass(frozen=True, slots=True)
class KeyPolicy:
    """The algorithm and the maximum age of signing keys.

    Args:
        algorithm: The algorithm of new keys.
        max_age: The age after which the leader rotates a key.
    """

    algorithm: Algorithm = "ES256"
    max_age: timedelta = timedelta(days=90)


class KeyCare:
    """Rotates and retires the signing keys. Only the leader runs it."""

    def __init__(
        self,
        keyrings: Keyrings,
        objects: AllObjects,
        kinds: Sequence[Kind],
        policy: KeyPolicy,
        *,
        clock: Clock,
        audit: Audit,
        on_age: Callable[[float], None],
    ) -> None:
        """Hold the ports and the policy.

        Args:
            keyrings: The keyring.
            objects: All objects, whose tokens name keys.
            kinds: Their kinds, which return the keys that an object's valid tokens name.
            policy: The algorithm and the maximum age of keys.
            clock: Time.
            audit: The audit log.
            on_age: Takes the age of the newest key, in seconds, after each run.
        """
        self._keyrings = keyrings
        self._objects = objects
        self._signing_keys = {kind.resource: kind.signing_keys for kind in kinds}
        self._policy = policy
        self._clock = clock
        self._audit = audit
        self._on_age = on_age

    async def run(self) -> None:
        """Rotate and retire the keys that are due. May raise ClusterError or NotYetError."""
        rotated = await self._keyrings.rotate_by_age(self._policy.algorithm, self._policy.max_age)
        if rotated is not None:
            self._audit.record("rotate-key", "ok", kid=rotated.entries[-1].key.key_id, reason="age")
        for key_id in sorted(await self._keyrings.retire(await self._keys_in_use())):
            self._audit.record("retire-key", "ok", kid=key_id)
        self._on_age(self._keyrings.keyring().newest_age(self._clock.now()).total_seconds())

    async def _keys_in_use(self) -> set[str]:
        """Return the IDs of the keys that a valid token names."""
        now = self._clock.now()
        in_use: set[str] = set()
        for resource, namespace, name in self._objects.everything():
            body = self._objects.get(resource, namespace, name)
            in_use |= self._signing_keys[resource](body, now) if body is not None else set()
            await asyncio.sleep(0)  # there may be many objects, and other tasks have to run
        return in_use
