"""Keep the Secrets of a JoinKey as its status requires: seal its keys again, and restore and write copies."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tallystick.clusterkeys.api.join_key import JoinKey, ReplacementPhase, SealedCopy
from tallystick.clusterkeys.domain.join_key_copies import Place, sealed_place
from tallystick.clusterkeys.domain.join_key_messages import Problem, conflict_problem, stuck_problem
from tallystick.clusterkeys.domain.join_key_replacement import Cancel, Change, Publish, Retire, present_picture
from tallystick.clusterkeys.domain.join_key_steps import Work
from tallystick.clusterkeys.domain.keys import ClusterKey
from tallystick.clusterkeys.services.join_key_finding import KeyFinder
from tallystick.clusterkeys.services.join_key_replacing import Random
from tallystick.clusterkeys.services.join_key_sealing import kept_texts, seal_picture
from tallystick.clusterkeys.services.join_key_secrets import Attempt, JoinKeySecrets
from tallystick.clusterkeys.services.join_key_sharing import Seen, Sharing, audit_seal, target_statuses
from tallystick.objects.ownership import SecretConflict
from tallystick.objects.reconciler import Reconciler


@dataclass(frozen=True, slots=True)
class Kept:
    """The work that was done on the Secrets of a join key.

    Attributes:
        seen: The object, with or without its finalizer.
        changes: The members of the status that record it.
        problem: The reason why something is left to do; None if nothing is.
        restored: Names of the Secrets that another writer had changed, and that are as they must be again.
    """

    seen: Seen
    changes: Mapping[str, Any]
    problem: Problem | None = None
    restored: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The key that does not sign is lost. This change removes it."""

    change: Change


@dataclass(slots=True)
class _Look:
    seen: Seen
    attempt: Attempt
    work: Work
    given: Mapping[str, ClusterKey] = field(repr=False)


class Keeping:
    """Keeps the Secrets of JoinKeys that have a key on record.

    Args:
        secrets: The Secrets of JoinKeys.
        finder: Finds keys by their fingerprints.
        sharing: Writes the copies.
        reconciler: Writes the audit log.
        random: Returns so many random bytes.
    """

    def __init__(
        self,
        secrets: JoinKeySecrets,
        finder: KeyFinder,
        sharing: Sharing,
        reconciler: Reconciler[JoinKey],
        random: Random,
    ) -> None:
        self._secrets = secrets
        self._finder = finder
        self._sharing = sharing
        self._reconciler = reconciler
        self._random = random

    async def keep(self, seen: Seen, work: Work, provided: ClusterKey | None) -> Kept | GiveUp:
        """Do the work, unless the key that does not sign is lost: then a change is due first."""
        given = {provided.fingerprint: provided} if provided is not None else {}
        look = _Look(seen, self._secrets.of(seen.object), work, given)
        sealed = await self._reseal(look) if work.reseal else None
        if isinstance(sealed, GiveUp):
            return sealed
        outcomes = await self._copies(look)
        if isinstance(outcomes, GiveUp):
            return outcomes
        await self._sharing.remove_former(look.seen, work.orphans)
        look.seen = await self._sharing.release(look.seen)
        version = present_picture(seen.object).signs.version
        changes: dict[str, Any] = {"targets": target_statuses(seen.object, outcomes, version)}
        if isinstance(sealed, SealedCopy):
            changes["sealed"] = sealed
        lost = next((one for one in outcomes.values() if one is not None and one.is_of_key), None)
        problem = lost or (sealed if isinstance(sealed, Problem) else None)
        return Kept(look.seen, changes, problem, self._restored(look, sealed, outcomes))

    async def _reseal(self, look: _Look) -> SealedCopy | Problem | GiveUp:
        """Seal the keys with the newest master key, from the sealed copy or from a copy with the recorded keys."""
        join_key, picture = look.seen.object, present_picture(look.seen.object)
        masters = await self._finder.masters_of(join_key)
        if isinstance(masters, Problem):
            return masters
        body = await look.attempt.sealed()
        if isinstance(body, SecretConflict):
            return conflict_problem(join_key, sealed_place(join_key))
        recorded = join_key.status.sealed
        if recorded is not None and recorded.master_key == masters.newest.fingerprint and kept_texts(join_key, body):
            return recorded  # the watch is behind
        found = await self._finder.find_sealed_first(join_key, look.attempt, picture.keys, masters, look.given)
        if not found.has(picture.signs):
            return found.lost()
        if not found.has(picture.accepted):
            return GiveUp(without_accepted(join_key))
        # No text is kept: all of them are sealed with the recorded master key, which is not the newest.
        sealed = seal_picture(join_key, picture, found.keys, masters, kept={}, random=self._random)
        if isinstance(sealed, Problem):
            return sealed
        stuck = await look.attempt.write_sealed(sealed.body)
        if stuck is not None:
            return stuck_problem(sealed_place(join_key), stuck)
        for held in sealed.resealed:
            audit_seal(self._reconciler, look.seen, held, sealed.status)
        return sealed.status

    async def _copies(self, look: _Look) -> dict[Place, Problem | None] | GiveUp:
        """Write the copies that are not as they must be."""
        if not look.work.copies:
            return {}
        join_key, picture = look.seen.object, present_picture(look.seen.object)
        found = await self._finder.find(join_key, look.attempt, picture.keys, look.given)
        if not found.has(picture.signs) or (found.problem is not None and found.may_come_back):
            return dict.fromkeys(look.work.copies, found.lost())
        if not found.has(picture.accepted):
            return GiveUp(without_accepted(join_key))
        look.seen = await self._sharing.hold(look.seen)
        drifted = [place for place in look.work.copies if str(place) in look.work.drifted]
        outcomes = await self._sharing.share(
            look.seen, look.attempt, look.work.copies, picture, found.keys, healed=frozenset(drifted)
        )
        if found.from_seal and None in outcomes.values():
            held = picture.signs
            self._reconciler.audit("restore-key", look.seen, key_id=held.fingerprint, version=held.version)
        return outcomes

    def _restored(
        self, look: _Look, sealed: SealedCopy | Problem | None, outcomes: Mapping[Place, Problem | None]
    ) -> tuple[str, ...]:
        written = {str(place) for place, problem in outcomes.items() if problem is None}
        if isinstance(sealed, SealedCopy):
            written.add(str(sealed_place(look.seen.object)))
        return tuple(name for name in look.work.drifted if name in written)


def without_accepted(join_key: JoinKey) -> Change:
    """Return the change that gives up the key that does not sign, because no Secret holds it any more."""
    replacement = join_key.status.replacement
    if replacement is not None and replacement.phase is ReplacementPhase.RETIRING:
        return Retire()
    return Publish(None) if join_key.spec.secret_ref is None else Cancel()
