"""Take a check-in: hand out a newer copy, see it proved, record a failure, or answer that there is nothing to do.

    (1) verify the copy and the proof of its key     a forged or stolen one causes no API call
    (2) read the PairingToken and the rotation that holds its lock, at most a second old
    (3) read the Device, unless an older reading says that there is nothing to do
    (4) decide, and write the Device by compare-and-swap
    (5) answer

A copy leaves only after it is recorded. After a conflict or a lost response, all is read and decided again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from tallystick.crypto.tokens import VerifiedClaims
from tallystick.errors import ExchangeRefusedError, NotYetError
from tallystick.fleet.api.device import DEVICES
from tallystick.fleet.api.reasons import FleetEventReason
from tallystick.fleet.api.token_rotation import TOKEN_ROTATIONS, TokenRotation
from tallystick.fleet.domain.check_in import (
    Again,
    Decision,
    Nothing,
    OfferCopy,
    Presented,
    Prove,
    Reading,
    Record,
    Refuse,
    Removed,
    Unavailable,
    decide,
    is_behind,
    needs_no_fresh_reading,
    written,
)
from tallystick.fleet.domain.copies import DEVICE, idle_reading_age
from tallystick.fleet.domain.device_messages import (
    HAS_NO_KEY,
    INVALID_PROOF,
    NEEDS_PROOF,
    NOT_A_COPY,
    OTHER_DEVICE,
    REUSED,
    check_in_refusal_text,
    removed_text,
)
from tallystick.fleet.domain.device_status import device_status
from tallystick.fleet.domain.facts import DeviceFacts, Failure, RotationFacts, Target
from tallystick.fleet.domain.next_check_in import prove_before, wait_seconds
from tallystick.fleet.domain.readings import device_facts, rotation_facts, target_of
from tallystick.fleet.domain.token_types import has_copy
from tallystick.fleet.services.copies import DeviceCopies, SignedCopy
from tallystick.fleet.services.device_proofs import DeviceProofs
from tallystick.fleet.services.idle_readings import IdleReadings
from tallystick.fleet.services.parsed import Parsed
from tallystick.fleet.services.refused import DeviceRefusedError
from tallystick.objects.context import Context
from tallystick.objects.fresh_reader import FreshReader
from tallystick.objects.ports import Cluster, Ids, Json, RefusedError
from tallystick.objects.status_swap import try_swap
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS, PairingToken
from tallystick.schema.times import whole_second
from tallystick.tokens.signer import Signer, facts_of

MOST_TRIES = 5
# A hand-out by a permission that was read longer ago is decided again. `Aborted` is said 15 seconds after the order.
PERMISSION_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class CheckInRequest:
    """The request of a device.

    Attributes:
        unverified_jwt: Its copy.
        with_proof: Whether the copy is sent as a token that is bound to a key (scheme DPoP).
        unverified_proofs: The proofs of its key (RFC 9449).
        device: The name of the Device in the path.
        failed: The failure that it reports, with the time of this request. Self-reported.
        source: Its address, for the audit log.
    """

    unverified_jwt: str = field(repr=False)
    with_proof: bool
    unverified_proofs: Sequence[str] = field(repr=False)
    device: str
    failed: Failure | None = None
    source: str = ""


@dataclass(frozen=True, slots=True)
class HandedOut:
    """A newer copy for the device, the rotation that it belongs to, and when it must be proved; None: no such time."""

    copy: SignedCopy
    rotation: str
    prove_before: datetime | None


@dataclass(frozen=True, slots=True)
class CheckedIn:
    """The answer to a device.

    Attributes:
        wait: Seconds until its next check-in.
        handed_out: A newer copy; None if there is none.
    """

    wait: int
    handed_out: HandedOut | None = None


@dataclass(frozen=True, slots=True)
class _Permission:
    """The PairingToken and its rotation as they were read, and the monotonic time at which the first read was sent."""

    target: Target | None
    rotation: RotationFacts | None
    sent: float


@dataclass(frozen=True, slots=True)
class _Call:
    """A verified check-in."""

    verified: VerifiedClaims
    presented: Presented
    source: str

    @property
    def namespace(self) -> str:
        """The namespace of the Device and of its PairingToken."""
        return self.verified.reference.namespace

    @property
    def device(self) -> str:
        """The name of the Device."""
        return self.verified.reference.name

    @property
    def pairing_token(self) -> str:
        """The name of its PairingToken."""
        name: str = self.verified.claims["pairingToken"]["name"]
        return name


class CheckIns:
    """The use case, for one replica."""

    def __init__(
        self, cluster: Cluster, reader: FreshReader, signer: Signer, proofs: DeviceProofs, ctx: Context, *, ids: Ids
    ) -> None:
        self._cluster = cluster
        self._reader = reader
        self._signer = signer
        self._proofs = proofs
        self._copies = DeviceCopies(signer)
        self._idle = IdleReadings(ctx.clock)
        self._targets = Parsed(lambda body: target_of(PairingToken.model_validate(body)))
        self._rotations = Parsed(lambda body: rotation_facts(TokenRotation.model_validate(body)))
        self._clock = ctx.clock
        self._server_clock = ctx.server_clock
        self._audit = ctx.audit
        self._events = ctx.events
        self._ids = ids

    async def take(self, request: CheckInRequest) -> CheckedIn:
        """Take a check-in.

        Raises:
            DeviceRefusedError: The request is rejected, or the Device was removed. The device may see the text.
            NotYetError: The objects cannot be read or written now, or the PairingToken does not exist. The device can
                repeat the request.
        """
        call = self._verified(request)
        for attempt in range(MOST_TRIES):
            permission = await self._permission(call)
            self._server_clock.check()
            if attempt == 0 and self._is_idle(call, permission):
                return self._nothing(permission)
            body, sent = await self._device(call, shared=attempt == 0)
            answer = await self._answer(call, permission, body, sent)
            if answer is not None:
                return answer
        raise NotYetError("temporarily_unavailable", "other requests are writing the Device; try again")

    def _verified(self, request: CheckInRequest) -> _Call:
        """(1) The copy first, and then the proof of its key. A stolen copy without its key shows its thief nothing."""
        verified = self._signer.verified(request.unverified_jwt, DEVICE, self._clock.now())
        if verified is None:
            self._audit.record("check-in", "refused", reason="invalid_token", source=request.source)
            raise DeviceRefusedError("invalid_token", NOT_A_COPY, verified=False)
        bound_to = verified.key_thumbprint
        key = self._proven_key(request) if bound_to is not None else None
        presented = Presented(
            token_id=verified.token_id,
            uid=verified.reference.uid,
            generation=verified.reference.serial or 0,
            pairing_token_uid=verified.claims["pairingToken"]["uid"],
            bound_to=bound_to,
            proved_key=key,
            failed=request.failed,
        )
        call = _Call(verified, presented, request.source)
        if bound_to is None and request.with_proof:
            raise self._refused(call, "invalid_token", HAS_NO_KEY)
        if key != bound_to:
            raise self._refused(call, "invalid_token", NEEDS_PROOF)
        if verified.reference.name != request.device:
            raise self._refused(call, "not_found", OTHER_DEVICE)
        return call

    def _proven_key(self, request: CheckInRequest) -> str | None:
        if not request.with_proof:
            return None
        try:
            return self._proofs.of_check_in(request.device).proven_key(
                request.unverified_proofs, access_token=request.unverified_jwt, source=request.source
            )
        except ExchangeRefusedError as refused:
            raise DeviceRefusedError(refused.code, INVALID_PROOF) from None

    async def _permission(self, call: _Call, *, shared: bool = True) -> _Permission:
        """(2) Read who may start. Many devices share these readings, which are at most a second old."""
        sent = self._clock.monotonic()
        where = (PAIRING_TOKENS, call.namespace, call.pairing_token)
        raw = await (self._reader.get(*where) if shared else self._reader.get_uncached(*where))
        if raw is None:
            return _Permission(None, None, sent)
        target = self._targets.of(raw)
        rotation = None
        if target.lock is not None and target.lock.is_held:
            found = await self._reader.get(TOKEN_ROTATIONS, call.namespace, target.lock.name, uid=target.lock.uid)
            rotation = self._rotations.of(found) if found is not None else None
        return _Permission(target, rotation, sent)

    def _is_idle(self, call: _Call, permission: _Permission) -> bool:
        """Return whether an older reading of the Device is enough to answer that there is nothing to do."""
        if permission.target is None:
            return False
        known = self._idle.get(call.presented.uid, idle_reading_age(permission.target.devices))
        if known is None or is_behind(call.presented, known):
            return False
        return needs_no_fresh_reading(self._decide(call, permission, known))

    async def _device(self, call: _Call, *, shared: bool) -> tuple[Json | None, float]:
        """(3) Read the Device, by a GET that was sent at this time. A shared reading behind the copy is not used."""
        where = (DEVICES, call.namespace, call.device)
        if not shared:
            sent = self._clock.monotonic()
            return await self._reader.get_uncached(*where), sent
        reached = has_copy(call.presented.generation)
        return await self._reader.get_and_time(*where, uid=call.presented.uid, reached=reached)

    def _decide(self, call: _Call, permission: _Permission, device: DeviceFacts | None) -> Decision:
        return decide(call.presented, Reading(device, permission.target, permission.rotation), self._clock.now())

    async def _answer(self, call: _Call, permission: _Permission, body: Json | None, sent: float) -> CheckedIn | None:
        """(4) and (5) Return the answer; None if nothing is stored, or this is unclear."""
        device = device_facts(body) if body is not None else None
        decision = self._decide(call, permission, device)
        if isinstance(decision, Removed):
            # The two may be deleted together. Only a PairingToken that exists after its Device proves a removal.
            decision = self._decide(call, await self._permission(call, shared=False), device)
        if isinstance(decision, Refuse):
            raise self._rejected(call, decision, body)
        if isinstance(decision, Removed):
            raise self._refused(call, "device_removed", removed_text(call.device))
        if isinstance(decision, Unavailable) or body is None or device is None:
            raise NotYetError("temporarily_unavailable", "the PairingToken of the device does not exist; try again")
        if decision == Nothing(touch=False):
            self._idle.note(device, sent)
            return self._nothing(permission)
        if isinstance(decision, Again):
            return self._handed_out(permission, body, device)
        return await self._write(call, permission, decision, body, device)

    async def _write(
        self, call: _Call, permission: _Permission, decision: Decision, body: Json, device: DeviceFacts
    ) -> CheckedIn | None:
        sent = self._clock.monotonic()
        if isinstance(decision, OfferCopy) and sent - permission.sent > PERMISSION_SECONDS:
            return None
        now = whole_second(self._clock.now())
        after = written(device, decision, key_id=self._copies.signing_key_id(now), now=now)
        try:
            stored = await try_swap(self._cluster, self._clock, DEVICES, body, device_status(body, after, now))
        except RefusedError as rejection:
            # A policy of others, or a rule of the schema: what was handed out before stays as it is.
            raise NotYetError(
                "temporarily_unavailable", "the service cannot record the check-in now; try again", retry_after=5
            ) from rejection
        where = (DEVICES, call.namespace, call.device)
        if stored is None:
            self._reader.forget(*where)
            return None
        self._reader.remember(*where, stored, sent)  # the proof of a new copy follows at once
        after = device_facts(stored)
        self._idle.note(after, sent)
        action = _action(decision)
        if action is not None:
            self._audit_of(action, "ok", call, generation=max(after.offered, after.proved))
        if isinstance(decision, OfferCopy):
            return self._handed_out(permission, stored, after)
        return self._nothing(permission)

    def _handed_out(self, permission: _Permission, body: Json, device: DeviceFacts) -> CheckedIn | None:
        if device.offer is None:
            return None
        copy = self._copies.sign(body, device, device.offer.generation)
        before = prove_before(device.offer, permission.rotation)
        return replace(self._nothing(permission), handed_out=HandedOut(copy, device.offer.rotation, before))

    def _nothing(self, permission: _Permission) -> CheckedIn:
        if permission.target is None:
            raise NotYetError("temporarily_unavailable", "the PairingToken of the device does not exist; try again")
        return CheckedIn(wait_seconds(permission.target.check_in_period, self._ids.new()))

    def _rejected(self, call: _Call, refusal: Refuse, body: Json | None) -> DeviceRefusedError:
        token = f"{call.namespace}/{call.pairing_token}"
        text = check_in_refusal_text(refusal.why, call.presented, device=call.device, pairing_token=token)
        if body is None or not refusal.is_reuse:
            return self._refused(call, "invalid_token", text)
        self._events.warn(body, FleetEventReason.OLD_TOKEN_REUSE.value, REUSED)
        self._audit_of("reuse", "refused", call)
        return DeviceRefusedError("invalid_token", text)

    def _refused(self, call: _Call, code: str, text: str) -> DeviceRefusedError:
        self._audit_of("check-in", "refused", call, reason=code)
        return DeviceRefusedError(code, text)

    def _audit_of(self, action: str, outcome: str, call: _Call, **facts: str | int) -> None:
        self._audit.record(action, outcome, **facts_of(call.verified), source=call.source, **facts)


def _action(decision: Decision) -> str | None:
    """Return the action of the audit line of a decision that changes a Device; None for when it was seen."""
    match decision:
        case OfferCopy():
            return "offer"
        case Prove():
            return "prove"
        case Record():
            return "report"
        case _:
            return None
