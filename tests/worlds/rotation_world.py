"""One API server in memory with a project of devices, the controller around it, and devices that follow their contract.

The devices decide by the functions of the exchange, without signatures: the values are tested with the exchange itself.
"""

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from tallystick.controller.cache import ObjectCache, ObjectKey
from tallystick.controller.followed import Followed
from tallystick.controller.part import ControllerContext, ObjectReconciler
from tallystick.errors import NotYetError
from tallystick.feature import NoSettings
from tallystick.fleet.api.device import DEVICES, Device
from tallystick.fleet.api.token_rotation import TOKEN_ROTATIONS, TokenRotation
from tallystick.fleet.domain import check_in
from tallystick.fleet.domain.copies import copy_id, device_name
from tallystick.fleet.domain.device_status import device_status
from tallystick.fleet.domain.facts import DeviceFacts, Failure
from tallystick.fleet.domain.permission import may_start
from tallystick.fleet.domain.readings import device_facts, rotation_facts, target_of
from tallystick.fleet.feature import KINDS as FLEET_KINDS
from tallystick.fleet.feature import controller_part
from tallystick.objects.context import Context
from tallystick.objects.labels import KIND_LABEL
from tallystick.objects.ports import ClusterError
from tallystick.objects.result import Result
from tallystick.objects.server_clock import ServerClock
from tallystick.pairing.api.device_project import FINISHED
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS, PairingToken
from tallystick.pairing.feature import KINDS as PAIRING_KINDS
from tallystick.pairing.services.issuing import PairingIssuer
from tallystick.pairing.services.pairing_tokens import PairingTokens
from tallystick.runtime.gauges import Gauge
from tallystick.schema.builtin import SECRETS
from tallystick.schema.meta import API_VERSION, Resource
from tallystick.tokens.signer import Signer
from tests.builders import ISSUER, THUMBPRINT, UID, HeldKeys, a_policy
from tests.fakes import FakeClock, MemoryAudit, MemoryEvents
from tests.worlds.fleet_world import NAMESPACE, TOKEN, GuardedCluster
from tests.worlds.lost_keys import FIRST
from tests.worlds.world import AGuard

Json = dict[str, Any]

KINDS = (*PAIRING_KINDS, *FLEET_KINDS)
ROTATION = "rot-1"
FINAL = {str(state) for state in FINISHED}


class RuledCluster(GuardedCluster):
    """An API server that fails a test at a write of a status that the rules of the schema would reject."""

    def uncopied(self, resource: Resource) -> dict[tuple[str, str], Json]:
        """The objects of a kind as they are stored, of Secrets only those with our label; to read, not to change."""
        kind = (resource.group, resource.plural)
        found = {key[2:]: body for key, body in self._objects.items() if key[:2] == kind}
        if resource != SECRETS:
            return found
        return {key: body for key, body in found.items() if KIND_LABEL in body["metadata"].get("labels", {})}

    def _store(self, key: Any, seen: Json, changed: Json, *, has_generation: bool) -> Json:
        old, new = seen.get("status") or {}, changed.get("status") or {}
        if key[1] == TOKEN_ROTATIONS.plural:
            _check_rotation(old, new)
        if key[1] == PAIRING_TOKENS.plural:
            _check_token(old, new)
        return super()._store(key, seen, changed, has_generation=has_generation)


def _check_rotation(old: Json, new: Json) -> None:
    counts = dict(new.get("devices") or {})
    assert counts.pop("total", 0) == sum(counts.values()), "the counts must sum to the total"
    batches = new.get("batches") or []
    if batches and counts:
        assert sum(batch["total"] for batch in batches) == sum(counts.values()), "the batches must sum to the total"
    if old.get("state") in FINAL:
        assert (new["state"], new.get("devices")) == (old["state"], old.get("devices")), "a record has changed"


def _check_token(old: Json, new: Json) -> None:
    before, after = old.get("generation", 0), new.get("generation", 0)
    held, lock = old.get("rotation") or {}, new.get("rotation") or {}
    assert after in (before, before + 1), "generation rises by 1 and never falls"
    if after not in (before, 1):
        assert lock["generation"] == after, "the generation rises only with the lock"
        assert lock["uid"] != held.get("uid"), "the generation rises only with a new lock"
    if held and held["uid"] != lock.get("uid"):
        assert held["state"] in FINAL, "a rotation of this token is running"
    if lock and lock["uid"] != held.get("uid"):
        assert after == before + 1 == lock["generation"], "a lock is taken in the write that raises the generation"
    if held and held["state"] in FINAL and held["uid"] == lock.get("uid"):
        assert lock["state"] == held["state"], "a finished rotation runs again"
    assert len(new.get("enrolling") or []) <= 64


@dataclass
class SimDevice:
    """A device by its contract, and what it holds: the generations of its copies."""

    world: "RotationWorld"
    name: str
    proved: int = 1
    upcoming: int = 0

    def facts(self) -> DeviceFacts:
        return self.world.device(self.name)

    def check_in(self, *, failed: str = "") -> check_in.Decision:
        """Check in with the newest copy, by a reading that is fresh, and keep what is handed out."""
        world, used = self.world, self.upcoming or self.proved
        device, now = self.facts(), world.clock.now()
        failure = Failure(used, failed, "", now) if failed else None
        if failed:
            used = self.proved
            failure = Failure(device.offered or self.upcoming, failed, "", now)
        presented = check_in.Presented(
            copy_id(device.uid, used), device.uid, used, UID, THUMBPRINT, THUMBPRINT, failed=failure
        )
        decision = check_in.decide(presented, check_in.Reading(device, world.target(), world.locking()), now)
        self.world.write(self.name, check_in.written(device, decision, key_id=FIRST, now=now))
        match decision:
            case check_in.OfferCopy(generation, _) | check_in.Again(generation):
                self.upcoming = generation
            case check_in.Prove(generation):
                self.proved, self.upcoming = generation, 0
            case check_in.Nothing():
                self.proved, self.upcoming = (used, 0) if used == self.upcoming else (self.proved, self.upcoming)
            case _:
                pass
        return decision

    def holds_an_accepted_copy(self) -> bool:
        """Whether one of its copies is accepted now."""
        target, device = self.world.target(), self.facts()
        return any(check_in.is_accepted(device, copy, target) for copy in (self.proved, self.upcoming) if copy)


@dataclass
class RotationWorld:
    """What all processes share."""

    clock: FakeClock = field(default_factory=FakeClock)
    audit: MemoryAudit = field(default_factory=MemoryAudit)
    events: MemoryEvents = field(default_factory=MemoryEvents)
    keys: HeldKeys = field(default_factory=HeldKeys)

    def __post_init__(self) -> None:
        self.cluster = RuledCluster(clock=self.clock)
        self.server_clock = ServerClock(self.clock)
        self.queue: dict[ObjectKey, None] = {}
        self.due: dict[ObjectKey, datetime] = {}
        self.sims: dict[str, SimDevice] = {}
        self.restart()

    # The controller.

    def restart(self) -> None:
        """Start a controller without a memory, as a new leader."""
        self.cache = ObjectCache(KINDS)
        self.queue, self.due = {}, {}
        ctx = Context(self.clock, self.server_clock, self.audit, self.events)
        issuer = PairingIssuer(Signer(self.keys, ISSUER), a_policy())
        tokens = PairingTokens(self.cluster, self.cache, issuer, AGuard(self.cluster), ctx)
        part = controller_part(
            ControllerContext(
                ctx=ctx,
                cluster=self.cluster,
                cache=self.cache,
                signer=Signer(self.keys, ISSUER),
                namespace="tallystick",
                external_urls=(ISSUER,),
                ca_pem=lambda: None,
                settings=NoSettings(),
                look_again=self.look_again,
                look_at_all_again=lambda: None,
            )
        )
        self.readings = part.readings
        self.reconcilers: dict[Resource, ObjectReconciler] = {PAIRING_TOKENS: tokens, **part.reconcilers}
        for resource, follower in part.followers.items():
            self.reconcilers[resource] = Followed(self.reconcilers[resource], follower)

    def look_again(self, resource: Resource, namespace: str, name: str) -> None:
        self.queue[resource, namespace, name] = None

    def reading(self, gauge: Gauge) -> dict[str, float]:
        return {value: self.readings[gauge](value) for value in gauge.values}

    def watch(self) -> None:
        """Let the watches catch up, and queue what has changed since."""
        for resource in (*(kind.resource for kind in KINDS), SECRETS):
            there = self.cluster.uncopied(resource)
            self._watch_deletions(resource, there)
            for body in there.values():
                if not self.cache.has(resource, body["metadata"]):
                    seen = copy.deepcopy(body)
                    before = self.cache.touched_by(resource, seen)
                    if self.cache.observe(resource, "MODIFIED", seen):
                        self.queue.update(dict.fromkeys((*before, *self.cache.touched_by(resource, seen))))

    def _watch_deletions(self, resource: Resource, there: dict[tuple[str, str], Json]) -> None:
        store = self.cache.secrets if resource == SECRETS else self.cache.stores[resource]
        for key in list(store):
            record = store.get(key)
            if record is not None and (key not in there or there[key]["metadata"]["uid"] != record.uid):
                touched = self.cache.touched_by(resource, self._last(resource, key, record.uid))
                store.drop(key, record.uid)
                self.queue.update(dict.fromkeys(touched))

    def _last(self, resource: Resource, key: tuple[str, str], uid: str) -> Json:
        body = None if resource == SECRETS else self.cache.get(resource, *key)
        return body or {"metadata": {"namespace": key[0], "name": key[1], "uid": uid}, "spec": {}}

    async def work(self, most: int = 400) -> None:
        """Reconcile until nothing is queued. An object that fails is due a second later."""
        self.watch()
        for _ in range(most):
            if not self.queue:
                return
            key = next(iter(self.queue))
            del self.queue[key]
            await self._reconcile(key)
            self.watch()
        raise AssertionError("the controller never came to rest")

    async def _reconcile(self, key: ObjectKey) -> None:
        self.due.pop(key, None)
        now = self.clock.now()
        try:
            result = await self.reconcilers[key[0]].reconcile(key[1], key[2])
        except (ClusterError, NotYetError):
            result = Result(requeue_after=1.0)
        times = [time for time in (result.requeue_at,) if time is not None]
        if result.requeue_after is not None or result.failed:
            times.append(now + timedelta(seconds=result.requeue_after or 1.0))
        if times:
            self.due[key] = min(times)

    async def run(self, seconds: int, *, each_second: Callable[[], object] = lambda: None) -> None:
        """Let time pass, second by second: devices first, then the controller."""
        for _ in range(seconds):
            self.clock.advance(1)
            each_second()
            now = self.clock.now()
            self.queue.update(dict.fromkeys(key for key, due in self.due.items() if due <= now))
            await self.work()

    # Objects.

    def project(self, **spec: Any) -> Json:
        """Store a PairingToken as a user applies it."""
        body = {
            "apiVersion": API_VERSION,
            "kind": PAIRING_TOKENS.kind,
            "metadata": {"name": TOKEN, "namespace": NAMESPACE, "uid": UID, "generation": 1},
            "spec": {"purpose": "DeviceProject", "projectKey": "fleet01", "serial": 1, **spec},
        }
        return self.cluster.put(PAIRING_TOKENS, body)

    def enrolled(self, numbers: Iterable[int], *, generation: int = 1, key: bool = True, **labels: str) -> list[str]:
        """Store Devices that have checked in."""
        return [self._enrolled(number, generation, labels, has_key=key) for number in numbers]

    def _enrolled(self, number: int, generation: int, labels: Json, *, has_key: bool) -> str:
        name = device_name(UID, f"key of {number}")
        body: Json = {
            "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels},
            "spec": {
                "pairingTokenRef": {"name": TOKEN, "uid": UID},
                "serial": 1,
                "generation": generation,
                "kid": FIRST,
                "projectKey": "fleet01",
                "displayName": f"cam-{number}",
                **({"keyThumbprint": THUMBPRINT} if has_key else {}),
            },
        }
        stored = self.cluster.put(DEVICES, body)
        facts = replace(device_facts(stored), checked_in=True, last_seen=self.clock.now())
        self.write(name, facts)
        if has_key:
            self.sims[name] = SimDevice(self, name, generation)
        return name

    def count_devices(self) -> None:
        """Let the PairingToken have the count that the enrollments have left."""
        count = len(self.cluster.all(DEVICES))
        self.cluster.edit(PAIRING_TOKENS, NAMESPACE, TOKEN, lambda body: body["status"].update(devices=count))

    def rotate(self, name: str = ROTATION, *, strategy: Json | None = None, **spec: Any) -> Json:
        """Store a TokenRotation as a user applies it."""
        body = {
            "metadata": {"name": name, "namespace": NAMESPACE, "generation": 1},
            "spec": {
                "targetRef": {"kind": "PairingToken", "name": TOKEN},
                **({"strategy": strategy} if strategy else {}),
                **spec,
            },
        }
        return self.cluster.put(TOKEN_ROTATIONS, body)

    def edit(self, name: str = ROTATION, **spec: Any) -> Json:
        return self.cluster.edit(TOKEN_ROTATIONS, NAMESPACE, name, lambda body: body["spec"].update(spec))

    def edit_token(self, **spec: Any) -> Json:
        return self.cluster.edit(PAIRING_TOKENS, NAMESPACE, TOKEN, lambda body: body["spec"].update(spec))

    def write(self, name: str, facts: DeviceFacts) -> None:
        """Write the status of a Device as the exchange does."""
        body = self.cluster.peek(DEVICES, NAMESPACE, name)
        assert body is not None
        if facts == device_facts(body):
            return
        status = device_status(body, facts, self.clock.now())
        self.cluster.edit(DEVICES, NAMESPACE, name, lambda stored: stored.update(status=status))

    def remove_device(self, name: str) -> None:
        self.cluster.remove(DEVICES, NAMESPACE, name)
        self.sims.pop(name, None)

    # What is.

    def rotation(self, name: str = ROTATION) -> TokenRotation:
        return TokenRotation.model_validate(self.cluster.peek(TOKEN_ROTATIONS, NAMESPACE, name))

    def token(self) -> PairingToken:
        return PairingToken.model_validate(self.cluster.peek(PAIRING_TOKENS, NAMESPACE, TOKEN))

    def target(self) -> Any:
        return target_of(self.token())

    def device(self, name: str) -> DeviceFacts:
        body = self.cluster.peek(DEVICES, NAMESPACE, name)
        assert body is not None
        return device_facts(body)

    def stored_device(self, name: str) -> Device:
        return Device.model_validate(self.cluster.peek(DEVICES, NAMESPACE, name))

    def locking(self) -> Any:
        """The rotation that holds the lock, as the exchange reads it; None if there is none."""
        lock = self.target().lock
        if lock is None or not lock.is_held:
            return None
        body = self.cluster.peek(TOKEN_ROTATIONS, NAMESPACE, lock.name)
        return rotation_facts(TokenRotation.model_validate(body)) if body is not None else None

    def startable(self) -> list[str]:
        """The devices that may start now, in the order of names."""
        rotation, target, now = self.locking(), self.target(), self.clock.now()
        return [name for name in sorted(self.sims) if may_start(self.device(name), target, rotation, now)]

    def counts(self, name: str = ROTATION) -> tuple[int, int, int, int, int]:
        """Pending, in progress, succeeded, failed, without rotation."""
        found = self.rotation(name).status.devices
        assert found is not None
        return found.pending, found.in_progress, found.succeeded, found.failed, found.no_rotation

    def said(self, name: str = ROTATION) -> dict[str, tuple[str, str]]:
        return {one.type: (one.status.value, one.reason) for one in self.rotation(name).status.conditions}

    def message(self, name: str = ROTATION) -> str:
        return self.rotation(name).status.conditions[0].message

    def check_in_all(self) -> None:
        """Let each device check in once."""
        for sim in list(self.sims.values()):
            sim.check_in()

    def writes(self) -> list[tuple[str, str]]:
        """Verb and plural of the writes since the last look."""
        written = [(call.verb, call.plural) for call in self.cluster.writes()]
        self.cluster.calls.clear()
        return written
