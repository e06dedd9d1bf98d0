"""One API server in memory with a project of devices, and replicas of the exchange around it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tallystick.crypto.dpop import make_proof
from tallystick.crypto.keys import SigningKey
from tallystick.fleet.api.device import DEVICES
from tallystick.fleet.api.token_rotation import TOKEN_ROTATIONS
from tallystick.fleet.domain.check_in import is_accepted
from tallystick.fleet.domain.copies import DEVICE
from tallystick.fleet.domain.facts import DeviceFacts, Failure, Target
from tallystick.fleet.domain.next_check_in import DEVICES_PATH, check_in_path
from tallystick.fleet.domain.readings import device_facts, target_of
from tallystick.fleet.domain.token_types import TOKEN_TYPES
from tallystick.fleet.services.check_ins import CheckedIn, CheckInRequest, CheckIns
from tallystick.fleet.services.device_proofs import DeviceProofs
from tallystick.fleet.services.enrolling import Enrolled, Enrolling, EnrollRequest
from tallystick.fleet.services.judges import judges
from tallystick.objects.context import Context
from tallystick.objects.fresh_reader import FreshReader
from tallystick.objects.server_clock import ServerClock
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS, PairingToken
from tallystick.pairing.domain.enrollment_values import ENROLLMENT, project_of, value_id
from tallystick.schema.meta import API_VERSION
from tallystick.schema.times import rfc3339
from tallystick.tokens.proofs import Proofs
from tallystick.tokens.revocation import Revocation
from tallystick.tokens.signer import Signer, Verifier
from tallystick.tokens.token_type import Judge
from tests.builders import ISSUER, UID, HeldKeys
from tests.fakes import NOON, CountingIds, FakeClock, MemoryAudit, MemoryEvents
from tests.worlds.faults import FaultyCluster

Json = dict[str, Any]

NAMESPACE, TOKEN = "edge", "cams"
ROTATION_UID = "6f0c1f0e-0000-4000-8000-000000000000"
REVOKE_URL = f"{ISSUER}/oauth2/revoke"


class GuardedCluster(FaultyCluster):
    """An API server that fails a test at a write of a Device that the rules of its schema would reject."""

    def _store(self, key: Any, seen: Json, changed: Json, *, has_generation: bool) -> Json:
        if key[1] == DEVICES.plural:
            _check_device(seen, changed)
        return super()._store(key, seen, changed, has_generation=has_generation)


def _check_device(seen: Json, changed: Json) -> None:
    if "creationTimestamp" not in seen["metadata"]:
        return
    old, new = device_facts(seen), device_facts(changed)
    if old.offer is not None:
        kept = new.offered == old.offered and new.proved == old.proved
        assert kept or (new.offer is None and new.proved == old.offered), "an offer ended without a proof"
    else:
        assert new.proved == old.proved, "a generation changed that was not offered"
    assert new.offer is None or new.offered > new.proved
    assert not (old.revoked and not new.revoked), "a revocation was taken back"


@dataclass
class FleetReplica:
    """One exchange process."""

    enrolling: Enrolling
    check_ins: CheckIns
    judges: dict[str, Judge]
    revocation: Revocation
    signer: Signer

    async def is_active(self, jwt: str, now: datetime) -> bool:
        """Judge a token as introspection does."""
        verified = Verifier(self.signer, TOKEN_TYPES).verified(jwt, now)
        return verified is not None and await self.judges[verified.typ].is_active(verified, {})


@dataclass
class FleetWorld:
    """What all processes share."""

    clock: FakeClock = field(default_factory=FakeClock)
    audit: MemoryAudit = field(default_factory=MemoryAudit)
    events: MemoryEvents = field(default_factory=MemoryEvents)
    keys: HeldKeys = field(default_factory=HeldKeys)
    ids: CountingIds = field(default_factory=CountingIds)

    def __post_init__(self) -> None:
        self.cluster = GuardedCluster(clock=self.clock)
        self.signer = Signer(self.keys, ISSUER)

    # Objects, as users and the controller make them.

    def project(self, *, generation: int = 1, devices: int = 0, **spec: Any) -> Json:
        """Store a PairingToken whose value is issued."""
        body = {
            "apiVersion": API_VERSION,
            "kind": PAIRING_TOKENS.kind,
            "metadata": {"name": TOKEN, "namespace": NAMESPACE, "uid": UID, "generation": 1},
            "spec": {"purpose": "DeviceProject", "projectKey": "fleet01", "serial": 1, **spec},
            "status": {"state": "Active", "serial": 1, "generation": generation, "devices": devices},
        }
        return self.cluster.put(PAIRING_TOKENS, body)

    def edit_spec(self, **spec: Any) -> None:
        """Change the spec of the PairingToken, as a user does."""
        self.cluster.edit(PAIRING_TOKENS, NAMESPACE, TOKEN, lambda body: body["spec"].update(spec))

    def edit_status(self, **status: Any) -> None:
        """Change the status of the PairingToken, as the controller does."""
        self.cluster.edit(PAIRING_TOKENS, NAMESPACE, TOKEN, lambda body: body["status"].update(status))

    def edit_device(self, name: str, change: Callable[[Json], object]) -> None:
        """Change a Device, as a user does."""
        self.cluster.edit(DEVICES, NAMESPACE, name, change)

    def value(self, *, generation: int = 1, serial: int = 1, expires: datetime | None = None, **changes: Any) -> str:
        """Sign the value that devices enroll with."""
        project = project_of(NAMESPACE, "fleet01")
        claims: Json = {
            "iss": ISSUER,
            "sub": f"project:{project}",
            "aud": ISSUER,
            "iat": int(NOON.timestamp()),
            "jti": value_id(UID, serial, generation),
            "project": project,
            "tallystick": {
                "kind": "PairingToken",
                "ns": NAMESPACE,
                "name": TOKEN,
                "uid": UID,
                "serial": serial,
                "generation": generation,
            },
            **changes,
        }
        if expires is not None:
            claims["exp"] = int(expires.timestamp())
        key_id = self.keys.keyring().signing_key(self.clock.now()).key_id
        return self.signer.sign(claims, profile=ENROLLMENT, key_id=key_id)

    def rotate(self, *, name: str = "rot-1", generation: int = 2, spec: Json | None = None, **status: Any) -> None:
        """Start a rotation as the controller does: the lock with the next generation, and then an open batch."""
        uid = f"{generation:08x}{ROTATION_UID[8:]}"
        lock = {"name": name, "uid": uid, "generation": generation, "state": "Running"}
        self.edit_status(generation=generation, rotation=lock)
        body = {
            "metadata": {"name": name, "namespace": NAMESPACE, "uid": uid, "generation": 1},
            "spec": {"targetRef": {"kind": "PairingToken", "name": TOKEN}, **(spec or {})},
            "status": {
                "state": "Running",
                "generation": generation,
                "startTime": rfc3339(self.clock.now()),
                "open": {"batch": 1},
                "batches": [{"name": "rest"}],
                **status,
            },
        }
        self.cluster.put(TOKEN_ROTATIONS, body)

    def finish(self, name: str = "rot-1", state: str = "Succeeded") -> None:
        """End a rotation as the controller does: first its status, then the lock."""
        self.cluster.edit(TOKEN_ROTATIONS, NAMESPACE, name, lambda body: body["status"].update(state=state))
        self.cluster.edit(PAIRING_TOKENS, NAMESPACE, TOKEN, lambda body: body["status"]["rotation"].update(state=state))

    def rotation(self, name: str) -> tuple[Any, str, str]:
        """Where a rotation is stored."""
        return TOKEN_ROTATIONS, NAMESPACE, name

    # What is.

    def target(self) -> Target:
        """The PairingToken."""
        return target_of(PairingToken.model_validate(self.cluster.peek(PAIRING_TOKENS, NAMESPACE, TOKEN)))

    def devices(self) -> list[DeviceFacts]:
        """All Devices."""
        return [device_facts(body) for body in self.cluster.all(DEVICES)]

    def device(self, name: str) -> DeviceFacts:
        """One Device."""
        body = self.cluster.peek(DEVICES, NAMESPACE, name)
        assert body is not None
        return device_facts(body)

    def accepts(self, jwt: str) -> bool:
        """Whether the objects, as they are now, accept a copy."""
        verified = self.signer.verified(jwt, DEVICE, self.clock.now())
        assert verified is not None
        return is_accepted(self.device(verified.reference.name), verified.reference.serial or 0, self.target())

    # The exchange.

    def replica(self, *, max_staleness: float = 1.0) -> FleetReplica:
        """Start one more exchange."""
        reader = FreshReader(self.cluster, self.clock, max_staleness=max_staleness)
        ctx = Context(self.clock, ServerClock(self.clock), self.audit, self.events)
        proofs = DeviceProofs((ISSUER,), self.clock, self.audit)
        of_features = dict(judges(self.cluster, reader, ctx))
        verifier = Verifier(self.signer, TOKEN_TYPES)
        return FleetReplica(
            Enrolling(self.cluster, reader, self.signer, proofs.of_enrollment, ctx, ids=self.ids),
            CheckIns(self.cluster, reader, self.signer, proofs, ctx, ids=self.ids),
            of_features,
            Revocation(verifier, of_features, Proofs((REVOKE_URL,), self.clock, self.audit, "revoke"), ctx),
            self.signer,
        )


@dataclass
class Agent:
    """A device by its contract: its key, the proved copy, and the next one."""

    world: FleetWorld
    has_key: bool = True
    name: str = ""
    proved: str = ""
    upcoming: str = ""

    def __post_init__(self) -> None:
        self.key = SigningKey.generate("ES256")

    @property
    def copies(self) -> list[str]:
        """The copies on its disk, the newest first."""
        return [copy for copy in (self.upcoming, self.proved) if copy]

    def proof(self, path: str, copy: str | None = None, **changes: Any) -> str:
        """Prove its key for a request."""
        facts = {"url": ISSUER + path, "access_token": copy, **changes}
        return make_proof(self.key, method="POST", now=self.world.clock.now(), proof_id=self.world.ids.new(), **facts)

    def enrollment(self, value: str) -> EnrollRequest:
        """Its request to enroll."""
        return EnrollRequest(value, [self.proof(DEVICES_PATH)] if self.has_key else [], "cam-17", "192.0.2.7")

    async def enroll(self, replica: FleetReplica, value: str) -> Enrolled:
        """Enroll, and keep the copy."""
        enrolled = await replica.enrolling.enroll(self.enrollment(value))
        self.name = enrolled.device_id
        self.keep(enrolled.copy.signed_jwt)
        return enrolled

    def request(self, copy: str, *, failed: Failure | None = None, device: str = "") -> CheckInRequest:
        """Its request to check in."""
        path = check_in_path(device or self.name)
        proofs = [self.proof(path, copy)] if self.has_key else []
        return CheckInRequest(copy, self.has_key, proofs, device or self.name, failed, "192.0.2.7")

    async def check_in(self, replica: FleetReplica, copy: str = "", *, failed: Failure | None = None) -> CheckedIn:
        """Check in with a copy, by default the newest, and keep what was handed out."""
        used = copy or self.copies[0]
        checked_in = await replica.check_ins.take(self.request(used, failed=failed))
        if used == self.upcoming:
            self.proved, self.upcoming = self.upcoming, ""
        if checked_in.handed_out is not None:
            self.keep(checked_in.handed_out.copy.signed_jwt)
        return checked_in

    def keep(self, copy: str) -> None:
        """Store a copy, unless it is not newer than the ones it has."""
        if not self.proved:
            self.proved = copy
        elif self._generation(copy) > max(map(self._generation, self.copies)):
            self.upcoming = copy

    def _generation(self, copy: str) -> int:
        verified = self.world.signer.verified(copy, DEVICE, self.world.clock.now())
        assert verified is not None
        return verified.reference.serial or 0
