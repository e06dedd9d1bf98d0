"""Decide on an enrollment: take a place, create the Device, or answer a repetition. `_RULES` lists the rejections.

    value and key ---> TakePlace ---> Create ---> Answer
                       one swap       by name     the copy

The swap is of `PairingToken.status`. It reserves a place by the name of the Device and compares the generation of the
value, so there are never too many devices, and an ended value takes no place. The same key is always the same Device:
it may ask again after a lost answer.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum

from tallystick.fleet.domain.facts import DeviceFacts, Enrolling, Offer, Target
from tallystick.objects.rules import first
from tallystick.pairing.api.device_project import MOST_ENROLLING
from tallystick.pairing.domain.enrollment_values import value_id

# No request takes as long, so an entry of this age without a Device has failed and its place is free again.
PLACE_KEPT = timedelta(minutes=10)
# A place of this age is taken again before a Device is created by it. Otherwise the leader could give it up meanwhile.
PLACE_USED = PLACE_KEPT / 2


class Refusal(Enum):
    """Why an enrollment is rejected."""

    UNKNOWN = "the value is not a value of this PairingToken"
    REVOKED = "the value is revoked"
    EXPIRED = "the value has expired"
    REPLACED = "the value was replaced"
    KEY_REQUIRED = "the PairingToken requires a proof of a key"
    CLOSED = "spec.enrolment is Closed"
    FULL = "spec.maxDevices is reached"
    DEVICE_REVOKED = "the Device of this key is revoked"


@dataclass(frozen=True, slots=True)
class Presented:
    """The facts of a verified value, and of the device that presents it.

    Attributes:
        token_id: Its `jti`.
        uid: The UID of the PairingToken in it.
        serial: Its claim `serial`.
        generation: Its claim `generation`.
        expires: Its `exp`; None if it has none.
        device_name: The name of the Device of the key, or a random one without a key.
        proved_key: The thumbprint of the key of a valid proof (RFC 9449); None without a proof.
    """

    token_id: str
    uid: str
    serial: int
    generation: int
    expires: datetime | None
    device_name: str
    proved_key: str | None


@dataclass(frozen=True, slots=True)
class Refuse:
    """Reject the enrollment."""

    why: Refusal


@dataclass(frozen=True, slots=True)
class Retry:
    """The client retries soon: the status is not recorded yet, too many enroll now, or a Device is being deleted."""


@dataclass(frozen=True, slots=True)
class ReadAgain:
    """The value is newer than this reading of the PairingToken."""


@dataclass(frozen=True, slots=True)
class TakePlace:
    """Swap the status of the PairingToken to one with this entry, and decide again after a conflict."""

    entry: Enrolling


@dataclass(frozen=True, slots=True)
class Create:
    """Create the Device with this first generation, or read back the one that exists."""

    generation: int


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer with this copy of the Device."""

    generation: int


@dataclass(frozen=True, slots=True)
class OfferCopy:
    """Write an offer of the present generation, and then answer with it: the other copies are revoked."""

    generation: int


Decision = Refuse | Retry | ReadAgain | TakePlace | Create | Answer | OfferCopy


def decide(presented: Presented, target: Target | None, device: DeviceFacts | None, now: datetime) -> Decision:
    """Decide on an enrollment.

    Args:
        presented: The facts of the verified value and of the device.
        target: The PairingToken that the value names, as it was just read; None if it does not exist.
        device: The Device of the key, as it was read after the PairingToken; None if it does not exist.
        now: The time.
    """
    if target is None:
        return Refuse(Refusal.UNKNOWN)
    return first(_RULES, presented, target, device, now) or _place(presented, target, now)


def offered(device: DeviceFacts, generation: int, *, key_id: str, now: datetime, rotation: str) -> DeviceFacts:
    """Return the Device that an `OfferCopy` writes, with the key that signs now. It has not checked in by that."""
    return replace(device, offer=Offer(generation, key_id, now, rotation))


def with_place(target: Target, entry: Enrolling) -> Target:
    """Return the PairingToken that a swap writes to take a place. A device has one place, also if it takes it again."""
    others = (one for one in target.enrolling if one.name != entry.name)
    return replace(target, enrolling=(*others, entry))


def settled(target: Target, existing: Collection[str], missing: Collection[str], now: datetime) -> Target:
    """Return the PairingToken after enrollments are counted or given up, which one swap writes.

    Args:
        target: The PairingToken as it was read.
        existing: Entries whose Device exists. Each becomes a counted device.
        missing: Entries whose Device did not exist at a GET that was sent after the PairingToken was read.
        now: The time.
    """
    counted = [entry for entry in target.enrolling if entry.name in existing]
    given_up = [entry for entry in target.enrolling if entry.name in missing and is_overdue(entry, now)]
    left = tuple(entry for entry in target.enrolling if entry not in counted and entry not in given_up)
    return replace(target, devices=target.devices + len(counted), enrolling=left)


def is_present(token_id: str, serial: int, generation: int, target: Target) -> bool:
    """Return whether a value is the one of its PairingToken now: introspection says active until it expires.

    Args:
        token_id: Its `jti`.
        serial: Its claim `serial`.
        generation: Its claim `generation`.
        target: The PairingToken that it names, with the same UID.
    """
    present = (serial, generation) == (target.serial, target.generation) and serial == target.recorded_serial
    return present and not target.is_ended and token_id == value_id(target.uid, serial, generation)


def is_overdue(entry: Enrolling, now: datetime) -> bool:
    """Return whether no request can create the Device of an entry any more."""
    return now - entry.time >= PLACE_KEPT


def recounted(target: Target, listed: Collection[str]) -> Target:
    """Return the PairingToken with its devices counted again.

    Args:
        target: The PairingToken as it was read before the list. The swap fails if it has changed since.
        listed: The names of its Devices in a consistent list. Devices with an entry are not counted yet.
    """
    enrolling = {entry.name for entry in target.enrolling}
    return replace(target, devices=len(set(listed) - enrolling))


def value_unknown(presented: Presented, target: Target, _: DeviceFacts | None, __: datetime) -> Decision | None:
    """The `jti` is derived, so a writer of a status cannot make a value valid (docs/rules.md#s2, docs/rules.md#s24)."""
    derived = value_id(target.uid, presented.serial, presented.generation)
    known = presented.uid == target.uid and presented.token_id == derived
    return None if known else Refuse(Refusal.UNKNOWN)


def value_revoked(presented: Presented, target: Target, _: DeviceFacts | None, __: datetime) -> Decision | None:
    """A revocation takes effect when it is stored in the spec."""
    ended = target.deleting or target.has_revoked(presented.serial)
    return Refuse(Refusal.REVOKED) if ended else None


def value_expired(presented: Presented, _: Target, __: DeviceFacts | None, now: datetime) -> Decision | None:
    """An expired value enrolls no device, and touches none."""
    return Refuse(Refusal.EXPIRED) if presented.expires is not None and now >= presented.expires else None


def not_recorded_yet(presented: Presented, target: Target, _: DeviceFacts | None, __: datetime) -> Decision | None:
    """The Secret can be read before the status is written, or before a shared reading shows it."""
    recorded = target.recorded_serial or 0
    if presented.serial > target.serial or presented.generation > target.generation:
        return ReadAgain()
    return Retry() if recorded < presented.serial else None


def device_ended(_: Presented, target: Target, device: DeviceFacts | None, __: datetime) -> Decision | None:
    """The key of a revoked device does not enroll again until a user deletes the Device (docs/rules.md#s17)."""
    if device is None:
        return None
    if device.revoked or target.has_revoked(device.serial):
        return Refuse(Refusal.DEVICE_REVOKED)
    return Retry() if device.deleting else None


def same_key(presented: Presented, target: Target, device: DeviceFacts | None, _: datetime) -> Decision | None:
    """The same key is the same Device, also where enrollment is closed: it asks again after a lost answer.

    Until its first check-in it may do so by the value that it enrolled with, and then by the present value.
    """
    if device is None or presented.proved_key is None or device.key_thumbprint != presented.proved_key:
        return None
    if _is_present(presented, target):
        return _copy_for(device, target)
    by_first = (presented.serial, presented.generation) == (device.serial, device.first_generation)
    answered = device.checked_in or device.proved < target.revoked_below
    return Answer(device.proved) if by_first and not answered else None


def value_replaced(presented: Presented, target: Target, _: DeviceFacts | None, __: datetime) -> Decision | None:
    """A rotation or a higher serial ends the value: a leaked one enrolls no device afterwards."""
    return None if _is_present(presented, target) else Refuse(Refusal.REPLACED)


def key_missing(presented: Presented, target: Target, _: DeviceFacts | None, __: datetime) -> Decision | None:
    """Copies are bound to a key by default (docs/rules.md#s14)."""
    return Refuse(Refusal.KEY_REQUIRED) if target.key_required and presented.proved_key is None else None


def closed(presented: Presented, target: Target, _: DeviceFacts | None, __: datetime) -> Decision | None:
    """`enrolment: Closed` takes no new device. An enrollment that has its place already goes on."""
    return None if target.enrollment_open or _place_of(presented, target) else Refuse(Refusal.CLOSED)


# Ordered: the value first, then the Device of the key, and then whether there is a place for a new one.
_RULES = (
    value_unknown,
    value_revoked,
    value_expired,
    not_recorded_yet,
    device_ended,
    same_key,
    value_replaced,
    key_missing,
    closed,
)


def _place(presented: Presented, target: Target, now: datetime) -> Decision:
    entry = Enrolling(presented.device_name, presented.generation, now)
    taken = _place_of(presented, target)
    if taken is not None:
        return Create(presented.generation) if now - taken.time < PLACE_USED else TakePlace(entry)
    if target.devices + len(target.enrolling) >= target.max_devices:
        return Refuse(Refusal.FULL)
    if len(target.enrolling) >= MOST_ENROLLING:
        return Retry()
    return TakePlace(entry)


def _is_present(presented: Presented, target: Target) -> bool:
    return (presented.serial, presented.generation) == (target.serial, target.generation)


def _place_of(presented: Presented, target: Target) -> Enrolling | None:
    return next((entry for entry in target.enrolling if entry.name == presented.device_name), None)


def _copy_for(device: DeviceFacts, target: Target) -> Decision:
    """Return an accepted copy. If all are revoked for a compromise, the key gets a newer one (docs/rules.md#s14)."""
    if device.proved >= target.revoked_below:
        return Answer(device.proved)
    if device.offer is not None:
        # An offer ends only by being proved. If it is revoked, too, the device proves it, and is handed a newer one.
        return Answer(device.offer.generation)
    return OfferCopy(target.generation)
