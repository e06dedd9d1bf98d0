"""Judge the copies of devices, and the values that devices enroll with, by a fresh read of their objects."""

from collections.abc import Mapping
from functools import partial

from tallystick.crypto.tokens import VerifiedClaims
from tallystick.fleet.api.device import DEVICES
from tallystick.fleet.domain.check_in import is_accepted
from tallystick.fleet.domain.copies import DEVICE, copy_id
from tallystick.fleet.domain.device_messages import (
    COPY_NOT_EXCHANGED,
    COPY_NOT_REVOKED,
    VALUE_NOT_EXCHANGED,
    VALUE_NOT_REVOKED,
)
from tallystick.fleet.domain.device_status import revoked_status
from tallystick.fleet.domain.enrolling import is_present
from tallystick.fleet.domain.facts import DeviceFacts
from tallystick.fleet.domain.readings import device_facts, target_of
from tallystick.fleet.domain.token_types import has_copy, has_value
from tallystick.objects.context import Context
from tallystick.objects.fresh_reader import FreshReader
from tallystick.objects.ports import Cluster, Json
from tallystick.objects.status_swap import swap_status
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS, PairingToken
from tallystick.pairing.api.reasons import PairingEventReason
from tallystick.pairing.domain.enrollment_values import ENROLLMENT
from tallystick.pairing.domain.messages import revoked_by_holder_text
from tallystick.tokens.token_type import Hints, Judge, NotPermitted


def judges(cluster: Cluster, reader: FreshReader, ctx: Context) -> Mapping[str, Judge]:
    """Return the judges of one replica, by the `typ` of their tokens."""
    return {DEVICE.typ: CopyJudge(cluster, reader, ctx), ENROLLMENT.typ: EnrollmentJudge(reader)}


class CopyJudge:
    """Judges the copies of devices."""

    def __init__(self, cluster: Cluster, reader: FreshReader, ctx: Context) -> None:
        self._cluster = cluster
        self._reader = reader
        self._clock = ctx.clock
        self._events = ctx.events

    async def is_active(self, verified: VerifiedClaims, _: Hints) -> bool:
        """Return whether the copy is accepted: it is proved or offered, and not below the revoked generations."""
        reference, generation = verified.reference, verified.reference.serial or 0
        body = await self._reader.get(
            DEVICES, reference.namespace, reference.name, uid=reference.uid, reached=has_copy(generation)
        )
        enrolled_with = verified.claims["pairingToken"]
        raw = await self._reader.get(PAIRING_TOKENS, reference.namespace, enrolled_with["name"])
        if body is None or raw is None or raw["metadata"]["uid"] != enrolled_with["uid"]:
            return False
        device = device_facts(body)
        target = target_of(PairingToken.model_validate(raw))
        return _is_copy(verified, device) and is_accepted(device, generation, target)

    async def revoke(self, verified: VerifiedClaims) -> bool | NotPermitted:
        """Revoke the Device. The request has proved its key: without a key, a thief could end a device."""
        if verified.key_thumbprint is None:
            return NotPermitted("NotBound", "unsupported_token_type", COPY_NOT_REVOKED)
        reference = verified.reference
        read = partial(self._reader.get_uncached, DEVICES, reference.namespace, reference.name)
        change = partial(self._revoked, verified)
        swapped = await swap_status(self._cluster, self._clock, DEVICES, read=read, change=change)
        if swapped is None:
            return False
        text = revoked_by_holder_text(verified.token_id)
        self._events.warn(swapped.after, PairingEventReason.REVOKED_BY_HOLDER.value, text)
        return True

    async def not_exchanged(self, _: VerifiedClaims, __: Hints) -> NotPermitted:
        """Return that a copy is presented as it is."""
        return NotPermitted("DeviceToken", "invalid_request", COPY_NOT_EXCHANGED)

    async def _revoked(self, verified: VerifiedClaims, body: Json) -> Json | None:
        device, generation = device_facts(body), verified.reference.serial
        accepted = generation in (device.proved, device.offered) and not device.revoked
        return revoked_status(body, self._clock.now()) if accepted and _is_copy(verified, device) else None


class EnrollmentJudge:
    """Judges the values that devices enroll with."""

    def __init__(self, reader: FreshReader) -> None:
        self._reader = reader

    async def is_active(self, verified: VerifiedClaims, _: Hints) -> bool:
        """Return whether the value is the present one, and not revoked. `enrolment: Closed` does not end it."""
        reference, serial = verified.reference, verified.reference.serial or 0
        generation = verified.claims["tallystick"]["generation"]
        raw = await self._reader.get(
            PAIRING_TOKENS,
            reference.namespace,
            reference.name,
            uid=reference.uid,
            reached=has_value(serial, generation),
        )
        if raw is None or raw["metadata"]["uid"] != reference.uid:
            return False
        return is_present(verified.token_id, serial, generation, target_of(PairingToken.model_validate(raw)))

    async def revoke(self, _: VerifiedClaims) -> NotPermitted:
        """Return that possession does not permit it: many devices have the same value (docs/rules.md#s10)."""
        return NotPermitted("Shared", "unsupported_token_type", VALUE_NOT_REVOKED)

    async def not_exchanged(self, _: VerifiedClaims, __: Hints) -> NotPermitted:
        """Return that a value is for devices."""
        return NotPermitted("EnrollmentToken", "invalid_request", VALUE_NOT_EXCHANGED)


def _is_copy(verified: VerifiedClaims, device: DeviceFacts) -> bool:
    """Return whether a copy is one of this Device: `jti` is derived, and the key is that of the Device."""
    derived = copy_id(device.uid, verified.reference.serial or 0)
    same = verified.reference.uid == device.uid and verified.token_id == derived
    return same and verified.key_thumbprint == device.key_thumbprint
