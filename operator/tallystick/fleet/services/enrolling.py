"""Enroll a device: take a place by one compare-and-swap, create its Device, answer with its copy.

    (1) verify the value          a forged one causes no API call
    (2) read the PairingToken, and then the Device of the key
    (3) swap its status           adds the Device to `enrolling`, if there is a place and the value is the present one
    (4) create the Device         its name follows from the key, so that a retry finds its own
    (5) sign

After a crash between (3) and (4), the place has no Device, and the leader gives it up after ten minutes. The same key
finds its place before, and its Device at any time.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from tallystick.crypto.tokens import ExpiredTokenError, InvalidTokenError, VerifiedClaims
from tallystick.errors import ExchangeRefusedError, NotYetError
from tallystick.fleet.api.device import DEVICES
from tallystick.fleet.domain.copies import device_name, device_name_without_key
from tallystick.fleet.domain.device_messages import (
    ENROLLMENT_CODES,
    INVALID_PROOF,
    NOT_A_VALUE,
    asked_too_often_text,
    enrollment_refusal_text,
    too_fast_text,
    value_expired_text,
)
from tallystick.fleet.domain.device_status import device_status
from tallystick.fleet.domain.enrolling import (
    Answer,
    Create,
    Decision,
    OfferCopy,
    Presented,
    ReadAgain,
    Refusal,
    Refuse,
    TakePlace,
    decide,
    offered,
)
from tallystick.fleet.domain.facts import DeviceFacts, Target
from tallystick.fleet.domain.readings import device_facts, pairing_token_of, target_of
from tallystick.fleet.domain.token_types import has_value
from tallystick.fleet.services.copies import DeviceCopies, SignedCopy
from tallystick.fleet.services.enrollment_rate import ASKED_PER_SECOND, NEW_PER_SECOND, EnrollmentRate
from tallystick.fleet.services.places import Places
from tallystick.fleet.services.refused import DeviceRefusedError
from tallystick.objects.context import Context
from tallystick.objects.fresh_reader import FreshReader
from tallystick.objects.ports import Cluster, Ids, Json
from tallystick.objects.status_swap import try_swap
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS, PairingToken
from tallystick.pairing.domain.enrollment_values import ENROLLMENT, project_of
from tallystick.pairing.domain.tokens import pairing_secret_name
from tallystick.tokens.proofs import Proofs
from tallystick.tokens.signer import Signer, facts_of

# One each for the swap of another replica, a record of the controller, a lost response of swap, create and offer.
MOST_TRIES = 6
# The refusals that hold for a device that this request has created, too.
_ENDS = tuple(Refuse(why) for why in (Refusal.UNKNOWN, Refusal.REVOKED, Refusal.EXPIRED, Refusal.DEVICE_REVOKED))


@dataclass(frozen=True, slots=True)
class EnrollRequest:
    """The request of a device.

    Attributes:
        unverified_jwt: The value that it enrolls with.
        unverified_proofs: The proofs of its key (RFC 9449).
        display_name: The name that it gives itself. Self-reported.
        source: Its address, for the audit log.
    """

    unverified_jwt: str = field(repr=False)
    unverified_proofs: Sequence[str] = field(default=(), repr=False)
    display_name: str | None = None
    source: str = ""


@dataclass(frozen=True, slots=True)
class Enrolled:
    """The answer to a device.

    Attributes:
        device_id: The name of its Device.
        project: Namespace and key of the project.
        copy: Its copy.
        check_in_seconds: The time between two check-ins.
        created: Whether this request has created the Device. If not, the key has enrolled before.
    """

    device_id: str
    project: str
    copy: SignedCopy
    check_in_seconds: int
    created: bool


@dataclass(slots=True)
class _Attempt:
    """One request on its way.

    Attributes:
        has_tried: Whether it has sent a create. Then a Device of its name is its own, also without a key.
        is_behind: Whether a shared reading of the PairingToken is not used.
        is_asked: Whether it counts as one of the requests of this second.
        is_new: Whether it counts as one of the new devices of this second.
    """

    verified: VerifiedClaims
    presented: Presented
    display_name: str | None
    has_tried: bool = False
    is_behind: bool = False
    is_asked: bool = False
    is_new: bool = False


class Enrolling:
    """The use case, for one replica. Between requests, it remembers only how many devices enrolled lately."""

    def __init__(
        self, cluster: Cluster, reader: FreshReader, signer: Signer, proofs: Proofs, ctx: Context, *, ids: Ids
    ) -> None:
        self._cluster = cluster
        self._reader = reader
        self._signer = signer
        self._proofs = proofs
        self._copies = DeviceCopies(signer)
        self._places = Places(cluster, reader, self._copies, ctx)
        self._new, self._asked = (EnrollmentRate(ctx.clock, most) for most in (NEW_PER_SECOND, ASKED_PER_SECOND))
        self._clock = ctx.clock
        self._server_clock = ctx.server_clock
        self._audit = ctx.audit
        self._ids = ids

    async def enroll(self, request: EnrollRequest) -> Enrolled:
        """Enroll a device, or answer one that has enrolled.

        Raises:
            DeviceRefusedError: The request is rejected. The device may see the text.
            NotYetError: The objects cannot be read or written now. The device can repeat the request with its key.
        """
        attempt = self._verified(request)
        facts = {**facts_of(attempt.verified), "device": attempt.presented.device_name, "source": request.source}
        try:
            enrolled = await self._enrolled(attempt)
        except DeviceRefusedError as refused:
            self._audit.record("enroll", "refused", **facts, reason=refused.code)
            raise
        self._audit.record(
            "enroll",
            "ok" if enrolled.created else "already",
            **facts,
            copy_id=enrolled.copy.token_id,
            generation=enrolled.copy.generation,
            key_thumbprint=attempt.presented.proved_key,
        )
        return enrolled

    def _verified(self, request: EnrollRequest) -> _Attempt:
        """(1) Everything that is wrong before the signature verified has one text, and counts against the source."""
        try:
            verified = self._signer.verify(request.unverified_jwt, ENROLLMENT, self._clock.now())
        except ExpiredTokenError as expired:
            facts = {**facts_of(expired.claims), "source": request.source}
            self._audit.record("enroll", "refused", **facts, reason="expired")
            text = value_expired_text(expired.claims.token_id, expired.claims.expiration_time)
            raise DeviceRefusedError("invalid_token", text) from None
        except InvalidTokenError as invalid:
            self._audit.record("enroll", "refused", reason=invalid.reason, source=request.source)
            raise DeviceRefusedError("invalid_token", NOT_A_VALUE, verified=False) from None
        try:
            key = self._proofs.proven_key(request.unverified_proofs, source=request.source)
        except ExchangeRefusedError as refused:
            raise DeviceRefusedError(refused.code, INVALID_PROOF) from None
        uid = verified.reference.uid
        presented = Presented(
            token_id=verified.token_id,
            uid=uid,
            serial=verified.reference.serial or 0,
            generation=verified.claims["tallystick"]["generation"],
            expires=verified.expiration_time,
            device_name=device_name(uid, key) if key is not None else device_name_without_key(self._random()),
            proved_key=key,
        )
        return _Attempt(verified, presented, request.display_name)

    async def _enrolled(self, attempt: _Attempt) -> Enrolled:
        for _ in range(MOST_TRIES):
            token = await self._token(attempt)
            self._count_asked(attempt, token)
            body = await self._device(attempt, token)
            target = self._places.counted(target_of(token))
            device = device_facts(body) if body is not None else None
            decision = self._decide(attempt, target, device)
            if isinstance(decision, TakePlace):
                self._count_new(attempt, target)
                taken = await self._places.take(attempt.presented, token)
                attempt.is_behind = True
                if taken is None:
                    continue
                token, decision = taken, Create(attempt.presented.generation)
            if isinstance(decision, Create):
                attempt.has_tried = True
                body = await self._places.create(attempt.presented, token, attempt.display_name)
                if body is None:
                    continue
                return self._answer(attempt, token, body, decision.generation)
            if isinstance(decision, OfferCopy) and body is not None and device is not None:
                body = await self._offer(target, body, device, decision.generation)
                attempt.is_behind = True
                if body is None:
                    continue
                return self._answer(attempt, token, body, decision.generation)
            if isinstance(decision, Answer) and body is not None:
                return self._answer(attempt, token, body, decision.generation)
            self._end(decision, attempt, token)
        raise NotYetError("temporarily_unavailable", "other requests are writing the PairingToken; try again")

    async def _token(self, attempt: _Attempt) -> PairingToken:
        """Read the PairingToken that the value names. One with another UID is another object."""
        reference, presented = attempt.verified.reference, attempt.presented
        where = (PAIRING_TOKENS, reference.namespace, reference.name)
        if attempt.is_behind:
            raw = await self._reader.get_uncached(*where)
        else:
            reached = has_value(presented.serial, presented.generation)
            raw = await self._reader.get(*where, uid=presented.uid, reached=reached)
        if raw is None or raw["metadata"]["uid"] != presented.uid:
            raise DeviceRefusedError("invalid_token", NOT_A_VALUE)
        return PairingToken.model_validate(raw)

    async def _device(self, attempt: _Attempt, token: PairingToken) -> Json | None:
        """Read the Device of the key, after the PairingToken. A name without a key is new until a create was sent."""
        presented = attempt.presented
        if presented.proved_key is None and not attempt.has_tried:
            return None
        body = await self._reader.get_uncached(DEVICES, token.metadata.namespace, presented.device_name)
        if body is None:
            return None
        same_key = body["spec"].get("keyThumbprint") == presented.proved_key
        if not same_key or pairing_token_of(body)[1] != presented.uid:
            # The name is a hash of both: only a writer of Devices beside the exchange can have made it.
            raise NotYetError("temporarily_unavailable", "another object has the name of this device", retry_after=5)
        return body

    def _decide(self, attempt: _Attempt, target: Target, device: DeviceFacts | None) -> Decision:
        self._server_clock.check()
        decision = decide(attempt.presented, target, device, self._clock.now())
        if device is None or attempt.presented.proved_key is not None or decision in _ENDS:
            return decision
        return Answer(device.proved)  # the answer to the create of this request was lost

    def _count_asked(self, attempt: _Attempt, token: PairingToken) -> None:
        """Reject a request while too many others ask: each of them reads a Device."""
        wait = 0 if attempt.is_asked else self._asked.wait_of(token.metadata.uid)
        attempt.is_asked = True
        if wait:
            text = asked_too_often_text(target_of(token), ASKED_PER_SECOND)
            raise DeviceRefusedError("too_many_requests", text, retry_after=wait)

    def _count_new(self, attempt: _Attempt, target: Target) -> None:
        """Reject a new device while too many others enroll. One that asks again takes no new place."""
        wait = 0 if attempt.is_new else self._new.wait_of(target.uid)
        attempt.is_new = True
        if wait:
            raise DeviceRefusedError("too_many_requests", too_fast_text(target, NEW_PER_SECOND), retry_after=wait)

    def _end(self, decision: Decision, attempt: _Attempt, token: PairingToken) -> None:
        """Raise the error of a decision that ends the request. A newer value than the reading is read once more."""
        if isinstance(decision, ReadAgain) and not attempt.is_behind:
            attempt.is_behind = True
            return
        if isinstance(decision, Refuse):
            secret = pairing_secret_name(token)
            text = enrollment_refusal_text(decision.why, attempt.presented, target_of(token), secret)
            code = ENROLLMENT_CODES[decision.why]
            raise DeviceRefusedError(code, text)
        raise NotYetError("temporarily_unavailable", "the PairingToken takes no device at this moment; try again")

    async def _offer(self, target: Target, body: Json, device: DeviceFacts, generation: int) -> Json | None:
        """Write an offer of the present generation; None if it is not stored, or this is unclear."""
        now = self._clock.now()
        if target.lock is None:
            raise NotYetError("temporarily_unavailable", "the rotation of the PairingToken is not recorded; try again")
        after = offered(device, generation, key_id=self._copies.signing_key_id(now), now=now, rotation=target.lock.name)
        return await try_swap(self._cluster, self._clock, DEVICES, body, device_status(body, after, now))

    def _answer(self, attempt: _Attempt, token: PairingToken, body: Json, generation: int) -> Enrolled:
        meta = body["metadata"]
        return Enrolled(
            device_id=meta["name"],
            project=project_of(meta["namespace"], body["spec"]["projectKey"]),
            copy=self._copies.sign(body, device_facts(body), generation),
            check_in_seconds=round(target_of(token).check_in_period.total_seconds()),
            created=attempt.has_tried,
        )

    def _random(self) -> bytes:
        """Return 32 bytes with 244 bits of randomness."""
        return hashlib.sha256(f"{self._ids.new()}{self._ids.new()}".encode()).digest()
