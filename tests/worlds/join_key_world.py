"""One API server in memory and the reconciler of JoinKeys beside it, made again as after a restart."""

import base64
from dataclasses import dataclass, field
from typing import Any

from tallystick.clusterkeys.api.join_key import JOIN_KEYS, JoinKey
from tallystick.clusterkeys.api.master_key import MASTER_KEYS, MasterKey
from tallystick.clusterkeys.api.reasons import JoinKeyReason
from tallystick.clusterkeys.domain.join_key_copies import JOIN_KEY_COPY, SEALED_JOIN_KEY, keys_in
from tallystick.clusterkeys.domain.keys import ClusterKey, Purpose
from tallystick.clusterkeys.domain.sealing import SealedFor, SealProblem, open_sealed
from tallystick.clusterkeys.services.join_keys import JoinKeys
from tallystick.clusterkeys.services.master_keyring import MasterKeys, NoMasterKey
from tallystick.clusterkeys.services.provided_keys import ProvidedKeys
from tallystick.clusterkeys.services.provided_secrets import ProvidedSecrets
from tallystick.controller.cache import ObjectCache
from tallystick.errors import NotYetError
from tallystick.objects.context import Context
from tallystick.objects.kind import Kind
from tallystick.objects.labels import KIND_LABEL
from tallystick.objects.ports import ClusterError
from tallystick.objects.result import Result
from tallystick.objects.server_clock import ServerClock
from tallystick.registry import KINDS as _REGISTERED
from tallystick.schema.builtin import SECRETS
from tallystick.schema.meta import API_VERSION, Resource
from tallystick.schema.times import rfc3339
from tests.builders import UID
from tests.fakes import NOON, FakeClock, MemoryAudit, MemoryEvents
from tests.unit.clusterkeys.vectors import a_join_key, a_master_key
from tests.worlds.faults import FaultyCluster
from tests.worlds.master_key_world import Randomness

Json = dict[str, Any]

KINDS = (
    *(kind for kind in _REGISTERED if kind.resource not in (MASTER_KEYS, JOIN_KEYS)),
    Kind(model=MasterKey, typical={}),
    Kind(model=JoinKey, typical={}, labeled_secrets=(JOIN_KEY_COPY, SEALED_JOIN_KEY)),
)
NAMESPACE, NAME, OWN, SEALED, PROVIDED = "edge", "jpd-1", "jpd-1-join-key", "jpd-1-join-key-sealed", "jk"
MASTER = "default"


def raw_join_key(*, uid: str = UID, name: str = NAME, **spec: Any) -> Json:
    """A JoinKey as the API server gives it, with its defaults."""
    return {
        "apiVersion": API_VERSION,
        "kind": JOIN_KEYS.kind,
        "metadata": {"name": name, "namespace": NAMESPACE, "uid": uid, "generation": 1},
        "spec": {"masterKeyRef": {"name": MASTER}, "overlap": "10m", "serial": 1, **spec},
    }


def targets(*named: str) -> list[Json]:
    """Write `spec.targets`: each is `namespace` or `namespace/secret`."""
    pairs = (one.partition("/") for one in named)
    return [{"namespace": namespace, **({"secretName": name} if name else {})} for namespace, _, name in pairs]


def _look_later(_kind: Resource, _namespace: str, _name: str) -> None:
    """Do nothing: a test looks at the object again itself."""


class OpenMasters:
    """The master keys that are open, as a test says."""

    def __init__(self) -> None:
        self.keys: dict[str, MasterKeys | NoMasterKey] = {}
        self.fingerprints: dict[str, str] = {}

    async def keys_of(self, namespace: str, name: str) -> MasterKeys | NoMasterKey:
        missing = f"MasterKey {namespace}/{name} does not exist"
        return self.keys.get(name, NoMasterKey(JoinKeyReason.WAITING_FOR_MASTER_KEY, missing, temporary=True))

    def recorded(self, namespace: str, name: str) -> str | None:
        return self.fingerprints.get(name)


@dataclass
class JoinKeyWorld:
    """What the processes share."""

    clock: FakeClock = field(default_factory=FakeClock)
    audit: MemoryAudit = field(default_factory=MemoryAudit)
    events: MemoryEvents = field(default_factory=MemoryEvents)
    random: Randomness = field(default_factory=Randomness)
    masters: OpenMasters = field(default_factory=OpenMasters)
    watch_namespaces: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.cluster = FaultyCluster(clock=self.clock)
        self.server_clock = ServerClock(self.clock)
        self.cache = ObjectCache(KINDS)
        self._controller: JoinKeys | None = None
        self.open_master(a_master_key())

    # The contract of all kinds (tests/worlds/contracts.py).

    async def settle(self) -> None:
        await self.issue()

    async def obstruct(self) -> None:
        self.provide("0" * 64)
        self.apply(secretRef={"name": PROVIDED})

    def object(self) -> JoinKey:
        return JoinKey.model_validate(self.cluster.peek(JOIN_KEYS, NAMESPACE, NAME))

    # What users do.

    def apply(self, **spec: Any) -> Json:
        """Store a JoinKey as the API server would apply it."""
        return self.cluster.put(JOIN_KEYS, raw_join_key(**spec))

    def edit(self, **spec: Any) -> Json:
        """Change fields of the spec as a user would; generation rises. None removes a field."""

        def change(body: Json) -> None:
            body["spec"] = {key: value for key, value in {**body["spec"], **spec}.items() if value is not None}

        return self.cluster.edit(JOIN_KEYS, NAMESPACE, NAME, change)

    def provide(self, key: ClusterKey | str | None, *, name: str = PROVIDED, secret_type: str = "") -> None:
        """Put a key into the user's own Secret; None deletes it."""
        if self.cluster.peek(SECRETS, NAMESPACE, name) is not None:
            self.cluster.remove(SECRETS, NAMESPACE, name)
        if key is None:
            return
        text = key.to_hex() if isinstance(key, ClusterKey) else key
        self.cluster.put(
            SECRETS,
            {
                "metadata": {"name": name, "namespace": NAMESPACE},
                "type": secret_type or Purpose.JOIN.secret_type,
                "stringData": {"join-key": text},
            },
        )

    def open_master(self, newest: ClusterKey, previous: ClusterKey | None = None, *, name: str = MASTER) -> None:
        """Let a MasterKey have these keys."""
        self.masters.keys[name] = MasterKeys(newest, previous)
        self.masters.fingerprints[name] = newest.fingerprint

    def close_master(self, reason: JoinKeyReason = JoinKeyReason.MASTER_KEY_REQUIRED, *, name: str = MASTER) -> None:
        """Let the controller lack the master key, which stays on record."""
        text = "external master key is not in memory, so join keys wait"
        self.masters.keys[name] = NoMasterKey(reason, text, temporary=False)

    def start_deleting(self) -> None:
        """Delete the object. A finalizer keeps it; without one it is gone."""
        if not (self.raw()["metadata"].get("finalizers") or ()):
            self.cluster.remove(JOIN_KEYS, NAMESPACE, NAME)
            return
        stamp = {"deletionTimestamp": rfc3339(NOON)}
        self.cluster.edit(JOIN_KEYS, NAMESPACE, NAME, lambda body: body["metadata"].update(stamp))

    def collect(self) -> None:
        """Do what the API server does to a deleted object without finalizers, and to the Secrets that it owns."""
        found = self.cluster.peek(JOIN_KEYS, NAMESPACE, NAME)
        if found is not None and "deletionTimestamp" in found["metadata"] and not found["metadata"].get("finalizers"):
            self.cluster.remove(JOIN_KEYS, NAMESPACE, NAME)
        if self.cluster.peek(JOIN_KEYS, NAMESPACE, NAME) is None:
            for body in self.cluster.all(SECRETS):
                if any(one["uid"] == UID for one in body["metadata"].get("ownerReferences") or ()):
                    self.cluster.remove(SECRETS, body["metadata"]["namespace"], body["metadata"]["name"])

    # What others do.

    def edit_secret(self, namespace: str, name: str, **data: str) -> None:
        """Change values of a Secret, as anybody who may write it can."""
        encoded = {key.replace("_", "-"): base64.b64encode(value.encode()).decode() for key, value in data.items()}
        self.cluster.edit(SECRETS, namespace, name, lambda body: body["data"].update(encoded))

    def delete_secret(self, namespace: str, name: str) -> None:
        self.cluster.remove(SECRETS, namespace, name)

    # What is.

    def raw(self) -> Json:
        return self.cluster.peek(JOIN_KEYS, NAMESPACE, NAME) or {}

    def secret(self, namespace: str = NAMESPACE, name: str = OWN) -> Json | None:
        return self.cluster.peek(SECRETS, namespace, name)

    def values(self, namespace: str = NAMESPACE, name: str = OWN) -> dict[str, str]:
        """What a Secret holds, as text."""
        held = self.secret(namespace, name) or {}
        return {key: base64.b64decode(value).decode() for key, value in held.get("data", {}).items()}

    def held(self, namespace: str = NAMESPACE, name: str = OWN) -> list[ClusterKey]:
        """The keys of a copy: the one that signs first."""
        return keys_in(self.secret(namespace, name) or {})

    def copies(self) -> list[Json]:
        """All copies of the join key, in all namespaces."""
        found = (body for body in self.cluster.all(SECRETS) if body["metadata"]["name"] != PROVIDED)
        return [body for body in found if body.get("type") == JOIN_KEY_COPY.type]

    def opened(self, version: int = 1, *, data_key: str = "join-key.jwe") -> ClusterKey | SealProblem:
        """The key in the sealed copy, opened with the master keys that the test knows."""
        masters = self.masters.keys[MASTER]
        known = (
            [masters.newest, *([masters.previous] if masters.previous else [])]
            if isinstance(masters, MasterKeys)
            else [a_master_key()]
        )
        text = self.values(name=SEALED).get(data_key, "")
        return open_sealed(text, known, SealedFor("JoinKey", NAMESPACE, NAME, UID, version))

    def said(self) -> dict[str, tuple[str, str]]:
        """Status and reason of each condition."""
        return {one.type: (one.status.value, one.reason) for one in self.object().status.conditions}

    def message(self, kind: str = "Ready") -> str:
        return next(one.message for one in self.object().status.conditions if one.type == kind)

    def writes(self) -> list[tuple[str, str]]:
        """Verb and kind of the writes since the last look."""
        written = [(call.verb, call.plural) for call in self.cluster.writes()]
        self.cluster.calls.clear()
        return written

    # The controller.

    def watch(self) -> None:
        """Let the watches catch up: the cache is what the cluster holds now, of Secrets only those with our label."""
        seen = ObjectCache(KINDS)
        for resource in (JOIN_KEYS, SECRETS):
            for body in self.cluster.all(resource):
                if self.watch_namespaces and body["metadata"]["namespace"] not in self.watch_namespaces:
                    continue
                if resource != SECRETS or KIND_LABEL in body["metadata"].get("labels", {}):
                    seen.observe(resource, None, body)
        self.cache.stores, self.cache.secrets = seen.stores, seen.secrets

    def restart(self) -> None:
        """Start a controller that knows nothing but what the API server tells."""
        self._controller = None

    @property
    def controller(self) -> JoinKeys:
        if self._controller is None:
            self.cache = ObjectCache(KINDS)
            ctx = Context(self.clock, self.server_clock, self.audit, self.events)
            self.provided = ProvidedSecrets(self.cluster, self.cache, self.watch_namespaces or ("",), _look_later)
            keys = ProvidedKeys(self.cluster, self.provided)
            self._controller = JoinKeys(
                self.cluster, self.cache, self.masters, keys, self.random, self.watch_namespaces, ctx
            )
        return self._controller

    async def reconcile(self, *, watched: bool = True) -> Result:
        """One look of the controller at the object; `watched`: its watches have caught up."""
        controller = self.controller
        if watched:
            self.watch()
        return await controller.reconcile(NAMESPACE, NAME)

    async def reconcile_until_done(self, most: int = 12) -> Result:
        """Look again after each failure, as the work queue does."""
        for _ in range(most):
            try:
                return await self.reconcile()
            except (ClusterError, NotYetError):
                continue
        raise AssertionError("it never came to rest")

    async def issue(self, **spec: Any) -> ClusterKey:
        """Apply a JoinKey, let the controller share its key, and return the key."""
        self.apply(**spec)
        await self.reconcile()
        self.cluster.calls.clear()
        (key,) = self.held()
        return key


__all__ = ["MASTER", "NAME", "NAMESPACE", "OWN", "PROVIDED", "SEALED", "JoinKeyWorld", "a_join_key", "targets"]
