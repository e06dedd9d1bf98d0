"""One API server in memory and the reconciler of MasterKeys beside it, made again as after a restart."""

import base64
import hashlib
from dataclasses import dataclass, field
from typing import Any

from tallystick.clusterkeys.api.join_key import JOIN_KEYS
from tallystick.clusterkeys.api.master_key import MASTER_KEYS, MasterKey
from tallystick.clusterkeys.domain.keys import ClusterKey, Purpose, parse_key
from tallystick.clusterkeys.services.join_key_index import JoinKeyIndex
from tallystick.clusterkeys.services.master_keyring import MasterKeyring, NoMasterKey
from tallystick.clusterkeys.services.master_keyring import MasterKeys as KeysOfMasterKey
from tallystick.clusterkeys.services.master_keys import MasterKeys
from tallystick.clusterkeys.services.provided_secrets import ProvidedSecrets
from tallystick.controller.cache import ObjectCache
from tallystick.errors import NotYetError
from tallystick.objects.context import Context
from tallystick.objects.labels import KIND_LABEL
from tallystick.objects.ports import ClusterError
from tallystick.objects.result import Result
from tallystick.objects.server_clock import ServerClock
from tallystick.registry import KINDS
from tallystick.schema.builtin import SECRETS
from tallystick.schema.meta import API_VERSION, Resource
from tests.builders import UID
from tests.fakes import FakeClock, MemoryAudit, MemoryEvents
from tests.worlds.faults import FaultyCluster

Json = dict[str, Any]

NAMESPACE, NAME, SECRET, PROVIDED = "edge", "artifactory", "artifactory-master-key", "mk"
MASTER_TYPE = Purpose.MASTER.secret_type
IDENTITY = "controller-1"


def raw_master_key(*, name: str = NAME, uid: str = UID, generation: int = 1, **spec: Any) -> Json:
    """A MasterKey as the API server gives it, with its defaults."""
    return {
        "apiVersion": API_VERSION,
        "kind": MASTER_KEYS.kind,
        "metadata": {"name": name, "namespace": NAMESPACE, "uid": uid, "generation": generation},
        "spec": {"external": False, "serial": 1, **spec},
    }


def raw_join_key(name: str, *, sealed_with: str | None = None, ready: bool = True, reason: str = "Shared") -> Json:
    """A JoinKey of this master key, as far as its MasterKey depends on it."""
    condition = {"type": "Ready", "status": "True" if ready else "False", "reason": reason, "observedGeneration": 1}
    sealed = {"sealed": {"masterKey": sealed_with, "digest": "d"}} if sealed_with is not None else {}
    return {
        "apiVersion": API_VERSION,
        "kind": JOIN_KEYS.kind,
        "metadata": {"name": name, "namespace": NAMESPACE, "generation": 1},
        "spec": {"masterKeyRef": {"name": NAME}, "serial": 1, "overlap": "10m"},
        "status": {"conditions": [condition], **sealed},
    }


def encoded(values: dict[str, str]) -> dict[str, str]:
    """The `data` of a Secret."""
    return {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}


class Randomness:
    """Bytes that are the same in every run, and never twice the same in one."""

    def __init__(self) -> None:
        self.drawn = 0

    def __call__(self, length: int) -> bytes:
        self.drawn += 1
        return hashlib.sha256(f"drawn {self.drawn}".encode()).digest()[:length]


@dataclass
class MasterKeyWorld:
    """What the processes share."""

    clock: FakeClock = field(default_factory=FakeClock)
    audit: MemoryAudit = field(default_factory=MemoryAudit)
    events: MemoryEvents = field(default_factory=MemoryEvents)
    random: Randomness = field(default_factory=Randomness)
    looked_again: list[tuple[Resource, str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.cluster = FaultyCluster(clock=self.clock)
        self.server_clock = ServerClock(self.clock)
        self._controller: MasterKeys | None = None
        self.start()

    # The contract of all kinds (tests/worlds/contracts.py).

    async def settle(self) -> None:
        await self.issue()

    async def obstruct(self) -> None:
        self.cluster.put(SECRETS, {"metadata": {"name": SECRET, "namespace": NAMESPACE}, "type": MASTER_TYPE})
        self.apply()

    def object(self) -> MasterKey:
        return MasterKey.model_validate(self.cluster.peek(MASTER_KEYS, NAMESPACE, NAME))

    # What users do.

    def apply(self, **spec: Any) -> Json:
        """Store a MasterKey as the API server would apply it."""
        return self.cluster.put(MASTER_KEYS, raw_master_key(**spec))

    def edit(self, **spec: Any) -> Json:
        """Change fields of the spec as a user would; generation rises."""
        return self.cluster.edit(MASTER_KEYS, NAMESPACE, NAME, lambda body: body["spec"].update(spec))

    def rotate(self) -> None:
        self.edit(serial=self.object().spec.serial + 1)

    def place(
        self,
        key: ClusterKey | str,
        *,
        previous: ClusterKey | None = None,
        name: str = PROVIDED,
        type_: str = MASTER_TYPE,
    ) -> Json:
        """Create the Secret with the user's own key, or one in its place."""
        if self.cluster.peek(SECRETS, NAMESPACE, name) is not None:
            self.cluster.remove(SECRETS, NAMESPACE, name)
        values = {"master-key": key if isinstance(key, str) else key.to_hex()}
        values |= {"master-key-previous": previous.to_hex()} if previous is not None else {}
        meta = {"name": name, "namespace": NAMESPACE}
        return self.cluster.put(SECRETS, {"metadata": meta, "type": type_, "data": encoded(values)})

    def put_join_key(self, name: str, **changes: Any) -> Json:
        return self.cluster.put(JOIN_KEYS, raw_join_key(name, **changes))

    def seal_all(self) -> None:
        """Seal every join key with the newest master key, as their reconciler does."""
        newest = self.object().status.fingerprint
        for body in self.cluster.all(JOIN_KEYS):
            sealed = {"masterKey": newest, "digest": "d"}
            where = NAMESPACE, body["metadata"]["name"]
            self.cluster.edit(JOIN_KEYS, *where, lambda body, new=sealed: body["status"].update(sealed=new))

    # What is.

    def secret(self, name: str = SECRET) -> Json | None:
        return self.cluster.peek(SECRETS, NAMESPACE, name)

    def keys(self, name: str = SECRET) -> dict[str, str]:
        """The fingerprints of the keys in a Secret, by data key."""
        data = (self.secret(name) or {}).get("data", {})
        found = {key: parse_key(Purpose.MASTER, base64.b64decode(value)) for key, value in data.items()}
        return {key: one.fingerprint for key, one in found.items() if isinstance(one, ClusterKey)}

    def said(self) -> dict[str, tuple[str, str]]:
        """Status and reason of each condition."""
        return {one.type: (one.status.value, one.reason) for one in self.object().status.conditions}

    def message(self, kind: str = "Ready") -> str:
        return next(one.message for one in self.object().status.conditions if one.type == kind)

    def status(self) -> Any:
        return self.object().status

    def writes(self) -> list[tuple[str, str]]:
        """Verb and kind of the writes since the last look."""
        written = [(call.verb, call.plural) for call in self.cluster.writes()]
        self.cluster.calls.clear()
        return written

    # The controller.

    def start(self) -> None:
        """Start a controller that has nothing in memory."""
        self.cache = ObjectCache(KINDS)
        self.provided = ProvidedSecrets(self.cluster, self.cache, ("",), self._look_again)
        self.index = JoinKeyIndex(self.cluster, self.cache, self.provided, self._look_again)
        self.keyring = MasterKeyring(self.cluster, self.cache, self.provided)
        self.controller = MasterKeys(
            self.cluster,
            self.cache,
            self.keyring,
            self.index,
            self.provided,
            random=self.random,
            identity=IDENTITY,
            ctx=Context(self.clock, self.server_clock, self.audit, self.events),
        )

    def restart(self) -> None:
        """Start a controller that knows nothing but what the API server tells."""
        self.start()

    def watch(self) -> None:
        """Let the watches catch up: the cache is what the cluster holds now, of Secrets only those with our label."""
        seen = ObjectCache(KINDS)
        for resource in (MASTER_KEYS, JOIN_KEYS, SECRETS):
            for body in self.cluster.all(resource):
                if resource != SECRETS or KIND_LABEL in body["metadata"].get("labels", {}):
                    seen.observe(resource, None, body)
        self.cache.stores, self.cache.secrets = seen.stores, seen.secrets

    async def reconcile(self, *, watched: bool = True) -> Result:
        """One look of the controller at the object; `watched`: its watches have caught up."""
        if watched:
            self.watch()
        await self.follow_join_keys()
        return await self.controller.reconcile(NAMESPACE, NAME)

    async def follow_join_keys(self) -> None:
        """Let the index see each JoinKey, as after its reconciliation."""
        reconciler = self.index.following(_NothingToDo())
        for place in sorted({*self.cache.keys(JOIN_KEYS), *self.followed}):
            await reconciler.reconcile(*place)
        self.followed = set(self.cache.keys(JOIN_KEYS))

    followed: set[tuple[str, str]] = field(default_factory=set)

    async def look(self) -> list[tuple[Resource, str, str]]:
        """Let the controller list the Secrets of users; return what it reconciles again."""
        self.watch()
        self.looked_again.clear()
        await self.provided.look()
        return list(self.looked_again)

    async def reconcile_until_done(self, most: int = 8) -> Result:
        """Look again after each failure, as the work queue does."""
        for _ in range(most):
            try:
                return await self.reconcile()
            except (ClusterError, NotYetError):
                continue
        raise AssertionError("it never came to rest")

    async def issue(self, **spec: Any) -> str:
        """Apply a MasterKey, let the controller record its key, and return the fingerprint."""
        self.apply(**spec)
        await self.reconcile()
        self.cluster.calls.clear()
        return self.object().status.fingerprint or ""

    async def keys_of(self) -> KeysOfMasterKey | NoMasterKey:
        """What a JoinKey gets."""
        return await self.keyring.keys_of(NAMESPACE, NAME)

    def _look_again(self, resource: Resource, namespace: str, name: str) -> None:
        self.looked_again.append((resource, namespace, name))


class _NothingToDo:
    async def reconcile(self, namespace: str, name: str) -> Result:
        return Result()
