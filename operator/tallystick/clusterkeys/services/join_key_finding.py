"""Find the keys of a JoinKey again, by their recorded fingerprints: in its copies, and in its sealed copy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from tallystick.clusterkeys.api.join_key import JoinKey
from tallystick.clusterkeys.domain.join_key_copies import places
from tallystick.clusterkeys.domain.join_key_messages import Problem, key_lost
from tallystick.clusterkeys.domain.join_key_replacement import Held
from tallystick.clusterkeys.domain.keys import ClusterKey
from tallystick.clusterkeys.services.join_key_sealing import Opened, open_copy
from tallystick.clusterkeys.services.join_key_secrets import Attempt
from tallystick.clusterkeys.services.master_keyring import MasterKeys, NoMasterKey
from tallystick.objects.conditions import Progress
from tallystick.objects.ownership import SecretConflict


class Masters(Protocol):
    """The master keys."""

    async def keys_of(self, namespace: str, name: str) -> MasterKeys | NoMasterKey:
        """Return the keys of a MasterKey, or the reason why there are none."""
        ...

    def recorded(self, namespace: str, name: str) -> str | None:
        """Return the fingerprint of the newest key of a MasterKey by its status; None if it has none."""
        ...


@dataclass(frozen=True, slots=True)
class Found:
    """The keys that were found, by their fingerprint.

    Attributes:
        keys: The keys.
        problem: The reason why a key is missing; None if all are there.
        may_come_back: Whether a missing key may be in the sealed copy, which cannot be opened now.
        from_seal: Whether the sealed copy gave one of the keys.
    """

    keys: Mapping[str, ClusterKey] = field(repr=False)
    problem: Problem | None = None
    may_come_back: bool = False
    from_seal: bool = False

    def lost(self) -> Problem:
        """Return the reason why a key is missing, if one is."""
        if self.problem is None:
            raise ValueError("no key is missing")
        return self.problem

    def has(self, held: Held | None) -> bool:
        """Return whether a key is there; True if none is needed."""
        return held is None or held.fingerprint in self.keys


class KeyFinder:
    """Finds keys by their fingerprints. It accepts no other key."""

    def __init__(self, masters: Masters) -> None:
        self._masters = masters

    async def masters_of(self, join_key: JoinKey) -> MasterKeys | Problem:
        """Return the master keys of a join key, or the problem that there are none."""
        found = await self._masters.keys_of(join_key.metadata.namespace, join_key.spec.master_key_ref.name)
        if isinstance(found, MasterKeys):
            return found
        progress = Progress.RECONCILING if found.temporary else Progress.STALLED
        return Problem(found.reason, found.message, progress, is_of_key=True)

    async def find(
        self, join_key: JoinKey, attempt: Attempt, wanted: Sequence[Held], given: Mapping[str, ClusterKey]
    ) -> Found:
        """Find keys: among the given ones, then in the copies, and then in the sealed copy."""
        needed = {held.fingerprint for held in wanted}
        keys = {fingerprint: key for fingerprint, key in given.items() if fingerprint in needed}
        keys |= await attempt.keys_in_copies(needed - keys.keys())
        missing = [held for held in wanted if held.fingerprint not in keys]
        if not missing:
            return Found(keys)
        opened = await self._open(join_key, attempt, missing)
        if isinstance(opened, Problem):
            return Found(keys, opened, may_come_back=True)
        keys |= opened.keys
        lost = next((held.fingerprint for held in missing if held.fingerprint not in keys), None)
        problem = key_lost(join_key, lost, places(join_key), opened.why) if lost is not None else None
        return Found(keys, problem, from_seal=bool(opened.keys))

    async def find_sealed_first(
        self,
        join_key: JoinKey,
        attempt: Attempt,
        wanted: Sequence[Held],
        masters: MasterKeys,
        given: Mapping[str, ClusterKey],
    ) -> Found:
        """Find keys in the sealed copy, which must be read to be sealed again, and then in the copies."""
        body = await attempt.sealed()
        opened = open_copy(join_key, None if isinstance(body, SecretConflict) else body, masters, wanted)
        needed = {held.fingerprint for held in wanted}
        keys = {**opened.keys, **{name: key for name, key in given.items() if name in needed}}
        keys |= await attempt.keys_in_copies(needed - keys.keys())
        lost = next((held.fingerprint for held in wanted if held.fingerprint not in keys), None)
        problem = key_lost(join_key, lost, places(join_key), opened.why) if lost is not None else None
        return Found(keys, problem, from_seal=bool(opened.keys))

    async def _open(self, join_key: JoinKey, attempt: Attempt, missing: Sequence[Held]) -> Opened | Problem:
        body = await attempt.sealed()
        if body is None or isinstance(body, SecretConflict):
            return Opened({}, "it does not exist")
        masters = await self.masters_of(join_key)
        return masters if isinstance(masters, Problem) else open_copy(join_key, body, masters, missing)
