"""Count the join keys of each MasterKey, and look at one kind again when the other one changes.

The counts follow the cache. Before a write that cannot be taken back, `listed` asks the API server.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from tallystick.clusterkeys.api.join_key import JOIN_KEYS
from tallystick.clusterkeys.api.master_key import MASTER_KEYS
from tallystick.clusterkeys.domain.join_key_facts import SEALED_SUFFIX, JoinKeyFacts, JoinKeySummary, facts_of
from tallystick.clusterkeys.domain.keys import Purpose
from tallystick.clusterkeys.services.provided_secrets import ProvidedSecrets
from tallystick.controller.part import ObjectReconciler
from tallystick.objects.ports import Cache, Cluster
from tallystick.objects.result import Result
from tallystick.schema.meta import Resource

Place = tuple[str, str]
LookAgain = Callable[[Resource, str, str], None]


@dataclass(slots=True)
class _Group:
    """The join keys that name one MasterKey."""

    names: set[str] = field(default_factory=set)
    sealed_with: Counter[str] = field(default_factory=Counter)
    not_ready: set[str] = field(default_factory=set)


class JoinKeyIndex:
    """The join keys of the cache, by the MasterKey that they name.

    Args:
        cluster: The API server.
        cache: The objects that the watches have read.
        provided: The Secrets with the user's own keys.
        look_again: Reconciles one object again.
    """

    def __init__(self, cluster: Cluster, cache: Cache, provided: ProvidedSecrets, look_again: LookAgain) -> None:
        self._cluster = cluster
        self._cache = cache
        self._provided = provided
        self._look_again = look_again
        self._facts: dict[Place, JoinKeyFacts] = {}
        self._states: Counter[str] = Counter()
        self._groups: dict[Place, _Group] = {}
        self._is_filled = False
        self._running: set[int] = set()
        self._last_run = 0

    def following(self, join_keys: ObjectReconciler) -> ObjectReconciler:
        """Return a reconciler of JoinKeys after each run of which the index is current."""
        return _Followed(join_keys, self)

    def summary(self, namespace: str, master_key: str) -> JoinKeySummary:
        """Return the join keys that name a MasterKey."""
        self._fill()
        group = self._groups.get((namespace, master_key))
        if group is None:
            return JoinKeySummary()
        first = min(group.not_ready, default=None)
        return JoinKeySummary(
            total=len(group.names),
            sealed_with=dict(group.sealed_with),
            not_ready=self._facts[namespace, first] if first is not None else None,
        )

    async def listed(self, namespace: str, master_key: str) -> list[JoinKeyFacts]:
        """Return the join keys that name a MasterKey, as the API server has them, by name.

        A sealed copy that is not on record yet counts as sealed with an unknown key.
        """
        found = [facts_of(body) async for body in self._cluster.list(JOIN_KEYS, namespace)]
        named = (facts for facts in found if facts.master_key == master_key)
        return sorted(map(self._with_unrecorded_copy, named), key=lambda facts: facts.name)

    def look_at_all_again(self, namespace: str, master_key: str) -> None:
        """Reconcile each join key that names a MasterKey again, because its key has changed or is at hand now."""
        self._fill()
        group = self._groups.get((namespace, master_key))
        for name in sorted(group.names) if group is not None else ():
            self._look_again(JOIN_KEYS, namespace, name)

    def count(self, state: str) -> int:
        """Return the number of join keys in a state."""
        return self._states[state]

    def outdated(self) -> int:
        """Return the number of join keys whose sealed copy needs another key than the newest one of their MasterKey."""
        return sum(self._outdated(place, group) for place, group in self._groups.items())

    def _outdated(self, master_key: Place, group: _Group) -> int:
        body = self._cache.get(MASTER_KEYS, *master_key)
        newest = (body or {}).get("status", {}).get("fingerprint")
        return sum(count for fingerprint, count in group.sealed_with.items() if fingerprint != newest)

    # The reconciliations of join keys: one that began before a rotation may seal with the previous key.

    def last_run(self) -> int:
        """Return the number of the reconciliation that began last."""
        return self._last_run

    def is_done_until(self, run: int) -> bool:
        """Return whether each reconciliation up to this one has ended."""
        return min(self._running, default=run + 1) > run

    async def run(self, join_keys: ObjectReconciler, namespace: str, name: str) -> Result:
        """Reconcile one JoinKey, and then follow its changes."""
        self._fill()
        if (namespace, name) not in self._facts:
            self._follow(namespace, name)  # its MasterKey may get a key during this run, and then looks at it again
        self._last_run += 1
        run = self._last_run
        self._running.add(run)
        try:
            return await join_keys.reconcile(namespace, name)
        finally:
            self._running.discard(run)
            self._follow(namespace, name)

    def _follow(self, namespace: str, name: str) -> None:
        body = self._cache.get(JOIN_KEYS, namespace, name)
        before, after = self._facts.get((namespace, name)), facts_of(body) if body is not None else None
        self._note((namespace, name), after)
        if after is not None and after.secret_ref:
            self._provided.follow(Purpose.JOIN, namespace, after.secret_ref, (JOIN_KEYS, namespace, name))
        if (before.shown if before else None) == (after.shown if after else None):
            return
        for master_key in {facts.master_key for facts in (before, after) if facts is not None}:
            self._look_again(MASTER_KEYS, namespace, master_key)

    def _fill(self) -> None:
        """Read the cache once. From then on, each change of a JoinKey is reconciled, and so followed."""
        if self._is_filled:
            return
        self._is_filled = True
        for place in self._cache.keys(JOIN_KEYS):
            body = self._cache.get(JOIN_KEYS, *place)
            self._note(place, facts_of(body) if body is not None else None)

    def _note(self, place: Place, after: JoinKeyFacts | None) -> None:
        before = self._facts.pop(place, None)
        if before is not None:
            self._leave(before)
        if after is None:
            return
        self._facts[place] = after
        self._states[after.state] += 1
        group = self._groups.setdefault((after.namespace, after.master_key), _Group())
        group.names.add(after.name)
        if after.sealed_with is not None:
            group.sealed_with[after.sealed_with] += 1
        if not after.ready:
            group.not_ready.add(after.name)

    def _leave(self, facts: JoinKeyFacts) -> None:
        place = (facts.namespace, facts.master_key)
        self._states[facts.state] -= 1
        group = self._groups[place]
        group.names.discard(facts.name)
        group.not_ready.discard(facts.name)
        if facts.sealed_with is not None:
            group.sealed_with[facts.sealed_with] -= 1
            if not group.sealed_with[facts.sealed_with]:
                del group.sealed_with[facts.sealed_with]
        if not group.names:
            del self._groups[place]

    def _with_unrecorded_copy(self, facts: JoinKeyFacts) -> JoinKeyFacts:
        if facts.sealed_with is not None:
            return facts
        copy = self._cache.secret(facts.namespace, facts.name + SEALED_SUFFIX)
        return replace(facts, sealed_with="") if copy is not None else facts


@dataclass(frozen=True, slots=True)
class _Followed:
    """The reconciler of JoinKeys, which the index follows."""

    join_keys: ObjectReconciler
    index: JoinKeyIndex

    async def reconcile(self, namespace: str, name: str) -> Result:
        """Reconcile one JoinKey."""
        return await self.index.run(self.join_keys, namespace, name)
