"""Decide how one join key replaces another, without a service that meets a key that it does not accept.

    Active --Publish--> Publishing --Switch--> Retiring --Retire--> Active
                            |  ^
                     Cancel |  | Publish: a key that has not signed is replaced itself

While a replacement is Publishing, every copy accepts the new key. While it is Retiring, the new key signs, and every
copy accepts the old one. Each phase lasts `spec.overlap`, counted from the last copy that could be written. So a
service that reads its copy within `overlap` accepts each token, if token life and that delay together fit into it.

Every change writes the sealed copy first, then the copies, then the status. If the controller stops in between, the
status is as before, and the next attempt decides the same change.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tallystick.clusterkeys.api.fields import KeySource
from tallystick.clusterkeys.api.join_key import JoinKey, Replacement, ReplacementPhase
from tallystick.schema.durations import parse_duration
from tallystick.schema.times import whole_second

FIRST_VERSION = 1


@dataclass(frozen=True, slots=True)
class Held:
    """A key by its fingerprint, and the version that it has when it signs."""

    fingerprint: str
    version: int


@dataclass(frozen=True, slots=True)
class Picture:
    """The keys that each copy must hold.

    Attributes:
        signs: The key to sign with, and to accept.
        accepted: A further key to accept; None if the key is not being replaced.
    """

    signs: Held
    accepted: Held | None = None

    @property
    def keys(self) -> tuple[Held, ...]:
        """Both keys, or the one."""
        return (self.signs,) if self.accepted is None else (self.signs, self.accepted)


@dataclass(frozen=True, slots=True)
class Publish:
    """Let all copies accept a new key. Its fingerprint is None if it is generated."""

    fingerprint: str | None


@dataclass(frozen=True, slots=True)
class Cancel:
    """Give up a new key that has not signed, because the old one was put back."""


@dataclass(frozen=True, slots=True)
class Switch:
    """Sign with the new key, and accept the old one."""


@dataclass(frozen=True, slots=True)
class Retire:
    """Accept the old key no more."""


Change = Publish | Cancel | Switch | Retire


def first_picture(fingerprint: str) -> Picture:
    """Return what the copies hold when the first key is shared."""
    return Picture(Held(fingerprint, FIRST_VERSION))


def present_picture(join_key: JoinKey) -> Picture:
    """Return what the copies hold according to the status, which names a key."""
    status = join_key.status
    version = status.key_version or FIRST_VERSION
    signs, replacement = Held(status.fingerprint or "", version), status.replacement
    if replacement is None:
        return Picture(signs)
    step = 1 if replacement.phase is ReplacementPhase.PUBLISHING else -1
    return Picture(signs, Held(replacement.fingerprint, version + step))


def change_due(join_key: JoinKey, *, provided: str | None, now: datetime) -> Change | None:
    """Return the next change of a join key that has one on record; None if no change is due.

    Args:
        join_key: The object.
        provided: The fingerprint of the key in the user's Secret. None: there is no such Secret, or it holds no key.
        now: The time.
    """
    replacement = join_key.status.replacement
    is_over = replacement is not None and (now >= replacement.until or is_at_once(join_key))
    if replacement is not None and replacement.phase is ReplacementPhase.RETIRING:
        return Retire() if is_over else None  # a further change waits: two keys are the most that a copy holds
    wanted = _wanted(join_key, provided)
    if wanted is not None:
        return wanted
    return Switch() if is_over else None


def next_picture(join_key: JoinKey, change: Change, published: str) -> Picture:
    """Return what the copies hold after a change.

    Args:
        join_key: The object.
        change: The change.
        published: The fingerprint of the key that `Publish` shares. '' for any other change.
    """
    now = present_picture(join_key)
    match change:
        case Publish():
            return Picture(now.signs, Held(published, now.signs.version + 1))
        case Switch() if now.accepted is not None:
            return Picture(now.accepted, None if is_at_once(join_key) else now.signs)
        case _:
            return Picture(now.signs)


def replaced_status(
    join_key: JoinKey, picture: Picture, change: Change, *, bits: int, now: datetime, at_once: bool = False
) -> dict[str, Any]:
    """Return the members of the status that a change sets, once all copies that can be written are written.

    Args:
        join_key: The object, before the change.
        picture: What the copies hold.
        change: The change.
        bits: The size of the key that signs.
        now: The time.
        at_once: Whether a published key signs as soon as this is recorded.
    """
    overlap = timedelta(0) if at_once else _overlap(join_key)
    match change:
        case Publish():
            replacement = _replacement(ReplacementPhase.PUBLISHING, picture.accepted, now + overlap)
            return {"replacement": replacement, "serial": join_key.spec.serial}
        case Switch():
            return {
                "fingerprint": picture.signs.fingerprint,
                "key_version": picture.signs.version,
                "key_size": bits,
                "source": source_of(join_key),
                "replacement": _replacement(ReplacementPhase.RETIRING, picture.accepted, now + overlap),
            }
        case _:
            return {"replacement": None}


def source_of(join_key: JoinKey) -> KeySource:
    """Return where the key of the present spec is from."""
    return KeySource.GENERATED if join_key.spec.secret_ref is None else KeySource.PROVIDED


def is_at_once(join_key: JoinKey) -> bool:
    """Return whether `spec.overlap` is 0s: a key that others know is replaced without a time of transition."""
    return _overlap(join_key) == timedelta(0)


def _wanted(join_key: JoinKey, provided: str | None) -> Change | None:
    """Return the change that the user has asked for, and that the status does not show yet."""
    status, replacement = join_key.status, join_key.status.replacement
    if join_key.spec.secret_ref is None:
        return Publish(None) if join_key.spec.serial > (status.serial or 0) else None
    if provided is None:  # without its Secret, the key stays what it is
        return None
    if provided == status.fingerprint:
        return Cancel() if replacement is not None else None
    return None if replacement is not None and replacement.fingerprint == provided else Publish(provided)


def _replacement(phase: ReplacementPhase, accepted: Held | None, end: datetime) -> Replacement | None:
    if accepted is None:
        return None
    # Rounded up: a phase must not be shorter than the overlap.
    until = whole_second(end + timedelta(seconds=1, microseconds=-1))
    return Replacement(phase=phase, fingerprint=accepted.fingerprint, until=until)


def _overlap(join_key: JoinKey) -> timedelta:
    return parse_duration(join_key.spec.overlap)
