"""One API server in memory and the reconciler of ConnectionConfigurations beside it, made again as after a restart."""

import base64
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from tallystick.connections.api.connection_configuration import (
    CONNECTION_CONFIGURATIONS,
    ConnectionConfiguration,
    ConnectionToken,
)
from tallystick.connections.domain.heartbeat_records import HeartbeatRecords, LastSeen
from tallystick.connections.services.connection_configurations import ConnectionConfigurations
from tallystick.connections.services.issuing import ConnectionIssuer
from tallystick.controller.cache import ObjectCache
from tallystick.errors import NotYetError
from tallystick.objects.context import Context
from tallystick.objects.labels import KIND_LABEL
from tallystick.objects.ports import ClusterError
from tallystick.objects.result import Result
from tallystick.objects.server_clock import ServerClock
from tallystick.registry import KINDS
from tallystick.schema.builtin import SECRETS
from tallystick.schema.meta import API_VERSION
from tallystick.schema.times import rfc3339
from tallystick.tokens.signer import Signer
from tests.builders import ISSUER, UID, HeldKeys
from tests.fakes import NOON, FakeClock, MemoryAudit, MemoryEvents
from tests.worlds.faults import FaultyCluster

Json = dict[str, Any]

NAMESPACE, NAME, SECRET = "edge", "dc-west", "dc-west-connection-token"
# What stands in the Secret beside the tokens.
STANDING = {
    "deployment-type": "Kubernetes",
    "heartbeat-url": f"{ISSUER}/v1/connections/{NAMESPACE}/{NAME}/heartbeat",
}


def raw_connection(
    *,
    name: str = NAME,
    uid: str = UID,
    generation: int = 1,
    deleting: bool = False,
    status: Json | None = None,
    **spec: Any,
) -> Json:
    """A ConnectionConfiguration as the API server gives it, with its defaults; None leaves a field out."""
    defaults: Json = {
        "deploymentType": "Kubernetes",
        "tokens": slots("default"),
        "rotationPolicy": {"recommendAfter": "4380h", "requireAfter": "8760h"},
    }
    meta: Json = {"name": name, "namespace": NAMESPACE, "uid": uid, "generation": generation}
    if deleting:
        meta["deletionTimestamp"] = rfc3339(NOON)
    return {
        "apiVersion": API_VERSION,
        "kind": CONNECTION_CONFIGURATIONS.kind,
        "metadata": meta,
        "spec": {key: value for key, value in {**defaults, **spec}.items() if value is not None},
        **({"status": status} if status is not None else {}),
    }


def a_connection(**changes: Any) -> ConnectionConfiguration:
    """`raw_connection`, read."""
    return ConnectionConfiguration.model_validate(raw_connection(**changes))


def a_token(slot: str = "default", serial: int = 1, state: str = "Active", **more: Any) -> Json:
    """A token on record, issued at noon."""
    defaults = {"tokenID": f"id-{serial}", "kid": "k1", "claimsDigest": "digest", "issuedTime": rfc3339(NOON)}
    return {"slot": slot, "serial": serial, "state": state, **defaults, **more}


def slots(*names: str) -> list[Json]:
    """Write `spec.tokens`."""
    return [{"name": name} for name in names]


class StoredHeartbeats:
    """The `HeartbeatRecordsByUID` port: what a test says that heartbeats have told."""

    def __init__(self) -> None:
        self.last_seen: dict[str, dict[str, LastSeen]] = defaultdict(dict)
        self.unlisted = 0

    def of(self, uid: str) -> HeartbeatRecords:
        return HeartbeatRecords(dict(self.last_seen.get(uid, {})), self.unlisted)


@dataclass
class ConnectionWorld:
    """What the processes share."""

    clock: FakeClock = field(default_factory=FakeClock)
    audit: MemoryAudit = field(default_factory=MemoryAudit)
    events: MemoryEvents = field(default_factory=MemoryEvents)
    keys: HeldKeys = field(default_factory=HeldKeys)
    issuer: str = ISSUER
    base_url: str = ISSUER
    stored_heartbeats: StoredHeartbeats = field(default_factory=StoredHeartbeats)

    def __post_init__(self) -> None:
        self.cluster = FaultyCluster(self.clock)
        self.server_clock = ServerClock(self.clock)
        self.cache = ObjectCache(KINDS)
        self._controller: ConnectionConfigurations | None = None

    # The contract of all kinds (tests/worlds/contracts.py).

    async def settle(self) -> None:
        await self.issue("blue", "green")

    async def obstruct(self) -> None:
        self.cluster.put(SECRETS, {"metadata": {"name": SECRET, "namespace": NAMESPACE}})
        self.apply()

    def object(self) -> ConnectionConfiguration:
        return self.connection()

    # What users do.

    def apply(self, **changes: Any) -> Json:
        """Store a ConnectionConfiguration as the API server would apply it."""
        return self.cluster.put(CONNECTION_CONFIGURATIONS, raw_connection(**changes))

    def edit(self, **spec: Any) -> Json:
        """Change fields of the spec as a user would; generation rises."""

        def change(body: Json) -> None:
            body["spec"] = {key: value for key, value in {**body["spec"], **spec}.items() if value is not None}

        return self.cluster.edit(CONNECTION_CONFIGURATIONS, NAMESPACE, NAME, change)

    def set_slots(self, *names: str) -> Json:
        return self.edit(tokens=slots(*names))

    def reissue(self) -> None:
        self.set_slots("blue", "next")

    def start_deleting(self) -> None:
        """Set `deletionTimestamp`, as the API server does while somebody's finalizer is there."""
        stamp = {"deletionTimestamp": rfc3339(NOON)}
        self.cluster.edit(CONNECTION_CONFIGURATIONS, NAMESPACE, NAME, lambda body: body["metadata"].update(stamp))

    def delete(self) -> None:
        self.cluster.remove(CONNECTION_CONFIGURATIONS, NAMESPACE, NAME)

    def beat(self, instance: str, serial: int) -> None:
        """Let a heartbeat of an instance, with the token of this serial, be known."""
        self.stored_heartbeats.last_seen[UID][instance] = LastSeen(serial, int(self.clock.now().timestamp()))

    # What is.

    def connection(self) -> ConnectionConfiguration:
        return ConnectionConfiguration.model_validate(self.cluster.peek(CONNECTION_CONFIGURATIONS, NAMESPACE, NAME))

    def tokens(self) -> list[tuple[str, int, str]]:
        """Slot, serial and state of what is on record, in its order."""
        return [(token.slot, token.serial, token.state.value) for token in self.connection().status.tokens]

    def token_of(self, slot: str) -> ConnectionToken:
        """The newest token of a slot that is on record."""
        return next(token for token in self.connection().status.tokens if token.slot == slot)

    def secret(self) -> Json | None:
        return self.cluster.peek(SECRETS, NAMESPACE, SECRET)

    def values(self) -> dict[str, str]:
        """What the Secret holds, as text."""
        held = self.secret() or {}
        return {key: base64.b64decode(value).decode() for key, value in held.get("data", {}).items()}

    def said(self) -> dict[str, tuple[str, str]]:
        """Status and reason of each condition."""
        return {one.type: (one.status.value, one.reason) for one in self.connection().status.conditions}

    def message(self, kind: str = "Ready") -> str:
        return next(one.message for one in self.connection().status.conditions if one.type == kind)

    def writes(self) -> list[tuple[str, str]]:
        """Verb and kind of the writes since the last look."""
        written = [(call.verb, call.plural) for call in self.cluster.writes()]
        self.cluster.calls.clear()
        return written

    def decisions(self, action: str) -> list[Json]:
        """The facts of the audit log's lines about an action."""
        return [line.facts for line in self.audit.lines if line.action == action]

    # The controller.

    def watch(self) -> None:
        """Let the watches catch up: the cache is what the cluster holds now, of Secrets only those with our label."""
        seen = ObjectCache(KINDS)
        for resource in (CONNECTION_CONFIGURATIONS, SECRETS):
            for body in self.cluster.all(resource):
                if resource != SECRETS or KIND_LABEL in body["metadata"].get("labels", {}):
                    seen.observe(resource, None, body)
        self.cache.stores, self.cache.secrets = seen.stores, seen.secrets

    def restart(self) -> None:
        """Start a controller that knows nothing but what the API server tells."""
        self._controller = None

    @property
    def controller(self) -> ConnectionConfigurations:
        if self._controller is None:
            self.cache = ObjectCache(KINDS)
            self._controller = ConnectionConfigurations(
                self.cluster,
                self.cache,
                ConnectionIssuer(Signer(self.keys, self.issuer), self.base_url),
                self.stored_heartbeats,
                Context(self.clock, self.server_clock, self.audit, self.events),
            )
        return self._controller

    async def reconcile(self, *, watched: bool = True) -> Result:
        """One look of the controller at the object; `watched`: its watches have caught up."""
        controller = self.controller
        if watched:
            self.watch()
        return await controller.reconcile(NAMESPACE, NAME)

    async def reconcile_until_done(self, most: int = 8) -> Result:
        """Look again after each failure, as the work queue does."""
        for _ in range(most):
            try:
                return await self.reconcile()
            except (ClusterError, NotYetError):
                continue
        raise AssertionError("it never came to rest")

    async def issue(self, *names: str, **changes: Any) -> dict[str, str]:
        """Apply a ConnectionConfiguration, let the controller issue its tokens, and return what the Secret holds."""
        self.apply(tokens=slots(*(names or ("default",))), **changes)
        await self.reconcile()
        self.cluster.calls.clear()
        return self.values()
