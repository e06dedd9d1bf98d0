"""The master keys that this controller has read: from their Secrets, or external ones that only memory holds.

A key leaves this module only to seal or open a join key. It is read once for each version of its Secret.
"""

from dataclasses import dataclass, replace
from typing import Any

from tallystick.clusterkeys.api.master_key import MASTER_KEYS, MasterKey
from tallystick.clusterkeys.api.reasons import JoinKeyReason
from tallystick.clusterkeys.domain.keys import ClusterKey, Purpose
from tallystick.clusterkeys.domain.master_key_messages import (
    no_master_key_text,
    not_ready_text,
    required_for_join_keys_text,
)
from tallystick.clusterkeys.domain.master_key_secret import (
    MASTER_KEY_SECRET,
    Found,
    Held,
    key_in,
    read_secret,
    secret_name,
)
from tallystick.clusterkeys.domain.master_key_view import Memory
from tallystick.clusterkeys.services.provided_secrets import ProvidedSecrets
from tallystick.objects.ports import Cache, Cluster, Json, NotFoundError
from tallystick.schema.builtin import SECRETS


@dataclass(frozen=True, slots=True)
class MasterKeys:
    """The keys of one MasterKey. Both open, and the newest one seals.

    Attributes:
        newest: The key that `status.fingerprint` names.
        previous: The key before it, while join keys are sealed with it; None if there is none, or if it is lost.
    """

    newest: ClusterKey
    previous: ClusterKey | None


@dataclass(frozen=True, slots=True)
class NoMasterKey:
    """Why a join key can be neither sealed nor opened now.

    Attributes:
        reason: The reason for the JoinKey's condition.
        message: Its message.
        temporary: Whether the controller continues without an action of a user on this MasterKey's Secret.
    """

    reason: JoinKeyReason
    message: str
    temporary: bool


_Wanted = tuple[str, int | None, str | None, str | None]


@dataclass(frozen=True, slots=True)
class _Known:
    """The content of a Secret, and what it was read for."""

    wanted: _Wanted
    found: Held


class MasterKeyring:
    """The keys of all MasterKeys, as far as this controller has them.

    Args:
        cluster: The API server.
        cache: The objects that the watches have read.
        provided: The versions of the Secrets.
    """

    def __init__(self, cluster: Cluster, cache: Cache, provided: ProvidedSecrets) -> None:
        self._cluster = cluster
        self._cache = cache
        self._provided = provided
        self._known: dict[str, _Known] = {}
        self._memories: dict[tuple[str, str], tuple[str, Memory]] = {}
        self._parsed: dict[tuple[str, str], MasterKey] = {}

    async def keys_of(self, namespace: str, name: str) -> MasterKeys | NoMasterKey:
        """Return the keys of a MasterKey, or why a JoinKey that names it has to wait. May raise ClusterError."""
        key = self._last_read(namespace, name)
        if key is None:
            return NoMasterKey(JoinKeyReason.WAITING_FOR_MASTER_KEY, no_master_key_text(namespace, name), True)
        recorded = key.status.fingerprint
        if recorded is None:
            return _not_ready(key)
        if key.spec.external:
            memory = self.memory(key)
            if memory is None or memory.newest.fingerprint != recorded:
                text = required_for_join_keys_text(namespace, name, recorded)
                return NoMasterKey(JoinKeyReason.MASTER_KEY_REQUIRED, text, False)
            return MasterKeys(memory.newest, memory.previous)
        found = await self.look(key)
        if not isinstance(found, Held) or found.newest.fingerprint != recorded:
            return _not_ready(key)
        return MasterKeys(found.newest, found.previous if key.status.previous_fingerprint is not None else None)

    def recorded(self, namespace: str, name: str) -> str | None:
        """Return the fingerprint of the newest key of a MasterKey by its status; None if it has none."""
        key = self._last_read(namespace, name)
        return key.status.fingerprint if key is not None else None

    async def look(self, key: MasterKey, *, again: bool = False) -> Found:
        """Return what the Secret of a MasterKey holds. `again`: by a GET in any case. May raise ClusterError."""
        meta, name = key.metadata, secret_name(key)
        version = self._provided.version(Purpose.MASTER, meta.namespace, name)
        known = self._known.get(meta.uid)
        if not again and known is not None and known.wanted == _wanted(key) and known.found.version == version:
            return known.found
        found = self.note(key, await self._read(meta.namespace, name))
        if isinstance(found, Held) and found.previous is None:
            found = replace(found, previous=await self._left_behind(key))
            self.keep(key, found)
        return found

    def note(self, key: MasterKey, body: Json | None) -> Found:
        """Keep what a Secret holds that the caller has read or written; None if it does not exist."""
        found = read_secret(key, body)
        if isinstance(found, Held):
            self.keep(key, found)
        else:
            self.drop(key)
        return found

    def keep(self, key: MasterKey, found: Held) -> None:
        """Keep what the Secret holds. Whether it is the object's own depends on the fingerprint on record."""
        self._known[key.metadata.uid] = _Known(_wanted(key), found)
        if not key.spec.external:  # what happens to the Secret of an external key is decided by the listing itself
            self._provided.note(Purpose.MASTER, key.metadata.namespace, secret_name(key), found.version)

    def drop(self, key: MasterKey) -> None:
        """Read the Secret again at the next look: it has changed, and the watch has not reported that yet."""
        self._known.pop(key.metadata.uid, None)

    def is_listed(self, key: MasterKey) -> bool:
        """Return whether the Secret of a MasterKey may exist, without a request."""
        return self._provided.version(Purpose.MASTER, key.metadata.namespace, secret_name(key)) is not None

    def memory(self, key: MasterKey) -> Memory | None:
        """Return the external key in memory; None if there is none."""
        uid, memory = self._memories.get((key.metadata.namespace, key.metadata.name), ("", None))
        return memory if uid == key.metadata.uid else None

    def load(self, key: MasterKey, memory: Memory) -> None:
        """Keep an external key in memory."""
        self._memories[key.metadata.namespace, key.metadata.name] = (key.metadata.uid, memory)

    def change(self, key: MasterKey, **changes: Any) -> None:
        """Change the facts about an external key in memory."""
        memory = self.memory(key)
        if memory is not None:
            self.load(key, replace(memory, **changes))

    def forget(self, namespace: str, name: str) -> str | None:
        """Forget the external key of a MasterKey that is gone, and return its fingerprint."""
        self._parsed.pop((namespace, name), None)
        _, memory = self._memories.pop((namespace, name), ("", None))
        return memory.newest.fingerprint if memory is not None else None

    async def _left_behind(self, key: MasterKey) -> ClusterKey | None:
        """Return the previous key from the generated Secret, after a user's own key has taken the place of that key."""
        meta, name = key.metadata, key.metadata.name + MASTER_KEY_SECRET.suffix
        is_elsewhere = key.status.previous_fingerprint is not None and name != secret_name(key)
        if not is_elsewhere or self._cache.secret(meta.namespace, name) is None:
            return None
        return key_in(await self._read(meta.namespace, name), key.status.previous_fingerprint)

    def _last_read(self, namespace: str, name: str) -> MasterKey | None:
        """Return a MasterKey from the cache. Each version is parsed once, because a rotation asks often."""
        place = (namespace, name)
        parsed = self._parsed.get(place)
        if parsed is not None and parsed.metadata.resource_version == self._cache.version(MASTER_KEYS, *place):
            return parsed
        raw = self._cache.get(MASTER_KEYS, *place)
        if raw is None:
            return None
        self._parsed[place] = MasterKey.model_validate(raw)
        return self._parsed[place]

    async def _read(self, namespace: str, name: str) -> Json | None:
        try:
            return await self._cluster.get(SECRETS, namespace, name)
        except NotFoundError:
            return None


def _not_ready(key: MasterKey) -> NoMasterKey:
    meta = key.metadata
    reason = next((one.reason for one in key.status.conditions if one.type == "Ready"), "")
    return NoMasterKey(JoinKeyReason.WAITING_FOR_MASTER_KEY, not_ready_text(meta.namespace, meta.name, reason), True)


def _wanted(key: MasterKey) -> _Wanted:
    """Return all of a MasterKey on which the reading of its Secret depends."""
    return secret_name(key), key.spec.key_size, key.status.fingerprint, key.status.previous_fingerprint
