"""Decide what the controller must do for a JoinKey that has a key on record.

It looks at digests only. So a look at a join key whose Secrets are as they must be reads no Secret and writes nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from tallystick.clusterkeys.api.join_key import JoinKey
from tallystick.clusterkeys.domain.join_key_copies import Place, copy_digest, places, sealed_digest, sealed_name
from tallystick.clusterkeys.domain.join_key_replacement import (
    Change,
    Picture,
    Publish,
    change_due,
    next_picture,
    present_picture,
)
from tallystick.objects.held_secrets import HeldSecret


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts by which the work is decided.

    Attributes:
        join_key: The object, whose status names a key.
        copies: Its Secrets as the watch has read them, by namespace and name; also those of former targets.
        sealed: The Secret with the sealed copy as the watch has read it.
        master: The fingerprint of the newest master key, according to the MasterKey; None if there is none.
        provided: The fingerprint of the key in the user's Secret; None if there is none.
        now: The time.
    """

    join_key: JoinKey
    copies: Mapping[tuple[str, str], HeldSecret]
    sealed: HeldSecret | None
    master: str | None
    provided: str | None
    now: datetime


@dataclass(frozen=True, slots=True)
class Work:
    """The work of the controller, in this order.

    Attributes:
        change: A change of the key. It writes all Secrets, so that nothing else is left to do.
        reseal: Whether the sealed copy must be written.
        copies: The copies that must be written.
        drifted: Names of the Secrets among them that another writer has changed.
        orphans: The copies of former targets, which must be deleted.
    """

    change: Change | None
    reseal: bool
    copies: tuple[Place, ...]
    drifted: tuple[str, ...]
    orphans: tuple[HeldSecret, ...]

    @property
    def is_none(self) -> bool:
        """Whether all Secrets are as they must be."""
        return self.change is None and not (self.reseal or self.copies or self.orphans)


def work_of(facts: Facts) -> Work:
    """Return what must be done for a join key that has a key on record."""
    join_key, meta = facts.join_key, facts.join_key.metadata
    change = change_due(join_key, provided=facts.provided, now=facts.now)
    wanted = places(join_key)
    pictures = _allowed(join_key, change)
    copies = tuple(place for place in wanted if not _is_intact(facts, place, pictures))
    is_damaged, sealed = not _is_sealed(facts), join_key.status.sealed
    drifted = [str(place) for place in copies if _was_in_sync(join_key, place)]
    # Under a newer master key it may be the controller itself that has sealed the key again, and then stopped.
    if is_damaged and sealed is not None and sealed.master_key == facts.master:
        drifted.append(f"{meta.namespace}/{sealed_name(join_key)}")
    return Work(
        change=change,
        reseal=is_damaged or sealed is None or facts.master != sealed.master_key,
        copies=copies,
        drifted=tuple(drifted),
        orphans=orphans(join_key, facts.copies, wanted),
    )


def orphans(
    join_key: JoinKey, copies: Mapping[tuple[str, str], HeldSecret], wanted: Sequence[Place]
) -> tuple[HeldSecret, ...]:
    """Return the copies that no target asks for any more. A Secret that is not ours any more is not among them."""
    kept = {(place.namespace, place.name) for place in wanted}
    kept.add((join_key.metadata.namespace, sealed_name(join_key)))
    return tuple(copy for key, copy in copies.items() if key not in kept and not copy.is_terminating)


def is_our_secret(join_key: JoinKey, secret: HeldSecret | None) -> bool:
    """Return whether a cached Secret is one of the join key (docs/rules.md#s22)."""
    return secret is not None and secret.owner_uid == join_key.metadata.uid


def _allowed(join_key: JoinKey, change: Change | None) -> tuple[Picture, ...]:
    """Return what a copy may hold. A change that was cut off has left some copies in the next picture."""
    present = present_picture(join_key)
    if change is None or change == Publish(None):
        return (present,)
    published = change.fingerprint if isinstance(change, Publish) and change.fingerprint is not None else ""
    return present, next_picture(join_key, change, published)


def _is_intact(facts: Facts, place: Place, pictures: Sequence[Picture]) -> bool:
    held = facts.copies.get((place.namespace, place.name))
    if held is None or not is_our_secret(facts.join_key, held):
        return False
    return any(held.content_digest == copy_digest(facts.join_key, place, picture) for picture in pictures)


def _is_sealed(facts: Facts) -> bool:
    held, recorded = facts.sealed, facts.join_key.status.sealed
    if held is None or recorded is None or not is_our_secret(facts.join_key, held):
        return False
    return sealed_digest(held.content_digest) == recorded.digest


def _was_in_sync(join_key: JoinKey, place: Place) -> bool:
    """Return whether a copy held what the present spec asks for, so that only another writer can have changed it."""
    if join_key.status.observed_generation != join_key.metadata.generation:
        return False
    return any(
        target.in_sync and (target.namespace, target.secret_name) == (place.namespace, place.name)
        for target in join_key.status.targets
    )
