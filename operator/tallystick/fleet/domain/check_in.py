"""Decide on a check-in: hand out, prove, record a failure, or nothing to do.

`_RULES` lists the rejections, in order. A copy that passes them gets one of these decisions:

    copy of the device         decision
    proved, may start          OfferCopy: one conditional write, and then the answer leaves
    proved, offered before     Again: the same copy, without a write
    offered                    Prove: one conditional write ends the older copy, and nothing else ends one
"""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum

from tallystick.fleet.domain.copies import copy_id, key_of_copy, last_seen_age
from tallystick.fleet.domain.facts import DeviceFacts, Failure, Offer, RotationFacts, Target
from tallystick.fleet.domain.permission import may_start
from tallystick.objects.rules import first


class Refusal(Enum):
    """Why a check-in is rejected with 401."""

    UNKNOWN = "unknown"
    NOT_PROVED_KEY = "the copy is bound to a key, and the request has no proof of it"
    ENDED = "ended when its successor was proved"
    COMPROMISED = "revoked for a compromise"
    DEVICE_REVOKED = "the device is revoked"
    TOKEN_REVOKED = "the PairingToken is revoked"  # noqa: S105 - a text


@dataclass(frozen=True, slots=True)
class Presented:
    """The facts of a verified copy, and of the device that presents it.

    Attributes:
        token_id: Its `jti`.
        uid: The UID of the Device in it.
        generation: Its claim `serial`.
        pairing_token_uid: The UID of the PairingToken in it.
        bound_to: Its `cnf.jkt`; None for a bearer token.
        proved_key: The thumbprint of the key of a valid proof (RFC 9449); None without a proof.
        failed: The failure that the device reports.
    """

    token_id: str
    uid: str
    generation: int
    pairing_token_uid: str
    bound_to: str | None = None
    proved_key: str | None = None
    failed: Failure | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """The objects as the exchange has read them.

    Attributes:
        device: The Device that the copy names; None if it does not exist.
        target: The PairingToken that the copy names; None if it does not exist.
        rotation: The TokenRotation that holds the lock of the PairingToken.
    """

    device: DeviceFacts | None
    target: Target | None
    rotation: RotationFacts | None = None


@dataclass(frozen=True, slots=True)
class Refuse:
    """Reject the copy: 401."""

    why: Refusal

    @property
    def is_reuse(self) -> bool:
        """Whether an ended copy was used again: an event on the Device."""
        return self.why is Refusal.ENDED


@dataclass(frozen=True, slots=True)
class Removed:
    """The Device was removed, so the device stops calling: 410."""


@dataclass(frozen=True, slots=True)
class Unavailable:
    """The PairingToken does not exist: 503. A restore that is under way must not stop a fleet."""


@dataclass(frozen=True, slots=True)
class Nothing:
    """There is nothing to do: 204. With `touch`, the exchange writes when the device was last seen."""

    touch: bool


@dataclass(frozen=True, slots=True)
class Again:
    """Hand out the same copy again: 200, without a write."""

    generation: int


@dataclass(frozen=True, slots=True)
class OfferCopy:
    """Write the offer, and then hand out the copy: 200."""

    generation: int
    rotation: str


@dataclass(frozen=True, slots=True)
class Prove:
    """Write that the device uses the offered copy: 204. This ends the older one."""

    generation: int


@dataclass(frozen=True, slots=True)
class Record:
    """Write the failure that the device reports: 204. The next check-in gets the same copy again."""

    failure: Failure


Decision = Refuse | Removed | Unavailable | Nothing | Again | OfferCopy | Prove | Record


def decide(presented: Presented, read: Reading, now: datetime) -> Decision:
    """Decide on a check-in. The reading of the Device must not be behind: see `is_behind`."""
    return first(_RULES, presented, read) or _accepted(presented, read, now)


def is_behind(presented: Presented, device: DeviceFacts | None) -> bool:
    """Return whether a reading is older than the copy: then it is read again before the copy is rejected.

    A copy leaves only after it is recorded, so a verified copy of a newer generation is newer than the reading.
    """
    return device is None or device.uid != presented.uid or presented.generation > device.newest


def needs_no_fresh_reading(decision: Decision) -> bool:
    """Return whether a decision holds by an older reading of the Device (see `copies.idle_reading_age`).

    A device that waits a little longer loses nothing. All other decisions need a GET that was sent after the request.
    """
    return decision == Nothing(touch=False)


def written(device: DeviceFacts, decision: Decision, *, key_id: str, now: datetime) -> DeviceFacts:
    """Return the Device that a decision writes, with when it was seen. Refusals and repetitions write nothing.

    Args:
        device: The Device as it was read. The write names its resourceVersion.
        decision: The decision on it.
        key_id: The ID of the key that signs now.
        now: The time.
    """
    seen = replace(device, checked_in=True, last_seen=now)
    match decision:
        case OfferCopy(generation, rotation):
            return replace(seen, offer=Offer(generation, key_id, now, rotation))
        case Prove(generation):
            key = key_of_copy(device, generation)
            return replace(seen, generation=generation, key_id=key, proved_time=now, offer=None)
        case Record(failure):
            return replace(seen, failure=failure)
        case Nothing(touch=True):
            return seen
        case _:
            return device


def key_not_proved(presented: Presented, _: Reading) -> Decision | None:
    """A key-bound copy is worth nothing without its key, so its thief learns nothing (docs/rules.md#s14)."""
    unproved = presented.bound_to is not None and presented.bound_to != presented.proved_key
    return Refuse(Refusal.NOT_PROVED_KEY) if unproved else None


def no_pairing_token(presented: Presented, read: Reading) -> Decision | None:
    """Validity is existence. A missing object may be restored soon, so this is no verdict on the device."""
    there = read.target is not None and read.target.uid == presented.pairing_token_uid and not read.target.deleting
    return None if there else Unavailable()


def device_gone(presented: Presented, read: Reading) -> Decision | None:
    """While the PairingToken exists, a missing Device was removed. A new Device of the same name has another UID."""
    device = read.device
    there = device is not None and device.uid == presented.uid and not device.deleting
    return None if there else Removed()


def revoked(_: Presented, read: Reading) -> Decision | None:
    """A revocation takes effect when it is stored in the spec, also while the controller is stopped."""
    if read.device is None or read.target is None:
        return None
    if read.target.has_revoked(read.device.serial):
        return Refuse(Refusal.TOKEN_REVOKED)
    return Refuse(Refusal.DEVICE_REVOKED) if read.device.revoked else None


def not_a_copy(presented: Presented, read: Reading) -> Decision | None:
    """Accepted are the proved and the offered generation, with their derived `jti` and the key of the Device."""
    device = read.device
    if device is None:
        return None
    generation = presented.generation
    if presented.token_id != copy_id(device.uid, generation) or presented.bound_to != device.key_thumbprint:
        return Refuse(Refusal.UNKNOWN)
    if generation in (device.proved, device.offered):
        return None
    ended = device.first_generation <= generation < device.proved
    return Refuse(Refusal.ENDED if ended else Refusal.UNKNOWN)


def revoked_for_compromise(presented: Presented, read: Reading) -> Decision | None:
    """A copy below `revokedBelowGeneration` serves one purpose, with its key: to get the new one."""
    if read.target is None or presented.generation >= read.target.revoked_below or presented.bound_to is not None:
        return None
    return Refuse(Refusal.COMPROMISED)


# Ordered: a request without the key of its copy learns nothing else, and 410 needs the PairingToken.
_RULES = (
    key_not_proved,
    no_pairing_token,
    device_gone,
    revoked,
    not_a_copy,
    revoked_for_compromise,
)


def is_accepted(device: DeviceFacts, generation: int, target: Target) -> bool:
    """Return whether verifiers accept a copy: introspection says active. Below the floor it serves a check-in only."""
    if device.revoked or device.deleting or target.deleting or target.has_revoked(device.serial):
        return False
    return generation in (device.proved, device.offered) and generation >= max(target.revoked_below, 1)


def _accepted(presented: Presented, read: Reading, now: datetime) -> Decision:
    device, target, failed = read.device, read.target, presented.failed
    if device is None or target is None:
        return Unavailable()  # the rules have decided on both
    if presented.generation == device.offered:
        return Prove(device.offered)
    if failed is not None and failed.generation == device.offered:
        return Nothing(touch=_unseen(device, target, now)) if _is_recorded(device, failed) else Record(failed)
    if device.offer is not None:
        return Again(device.offer.generation)
    if read.rotation is not None and may_start(device, target, read.rotation, now):
        return OfferCopy(read.rotation.generation, read.rotation.name)
    if presented.generation < target.revoked_below and not (target.lock is not None and target.lock.is_held):
        # No rotation will move it. After this answer the device enrolls again with its key, and gets the present copy.
        return Refuse(Refusal.COMPROMISED)
    return Nothing(touch=_unseen(device, target, now))


def _is_recorded(device: DeviceFacts, failed: Failure) -> bool:
    """The same failure is written once: a device that fails for days does not write for days."""
    return device.failure is not None and replace(device.failure, time=failed.time) == failed


def _unseen(device: DeviceFacts, target: Target, now: datetime) -> bool:
    return not device.checked_in or device.last_seen is None or now - device.last_seen > last_seen_age(target.devices)
