"""Replace a join key: carry out one change that `domain/join_key_replacement.py` decides.

    sealed copy --> copies --> status

If the controller stops between two writes, the status is as before, and the next attempt carries out the same change.
The new key of a generated replacement is then in the sealed copy, from which it is taken.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tallystick.clusterkeys.api.join_key import JoinKey, ReplacementPhase
from tallystick.clusterkeys.api.reasons import JoinKeyReason, KeyEventReason
from tallystick.clusterkeys.domain import join_key_replacement as replacing
from tallystick.clusterkeys.domain.join_key_copies import SEALED_ACCEPTED_KEY, sealed_place
from tallystick.clusterkeys.domain.join_key_messages import (
    KEY_REUSE_TEXT,
    Problem,
    conflict_problem,
    replaced_text,
    stuck_problem,
)
from tallystick.clusterkeys.domain.join_key_replacement import Change, Picture
from tallystick.clusterkeys.domain.keys import ClusterKey, Purpose
from tallystick.clusterkeys.services.join_key_finding import Found, KeyFinder
from tallystick.clusterkeys.services.join_key_sealing import (
    NewlySealed,
    is_reused,
    kept_texts,
    open_text,
    seal_picture,
    seal_with_kept,
)
from tallystick.clusterkeys.services.join_key_secrets import Attempt, JoinKeySecrets
from tallystick.clusterkeys.services.join_key_sharing import Outcomes, Seen, Sharing, audit_seal, target_statuses
from tallystick.clusterkeys.services.master_keyring import MasterKeys
from tallystick.errors import NotYetError
from tallystick.objects.conditions import Progress
from tallystick.objects.context import Context
from tallystick.objects.ownership import SecretConflict
from tallystick.objects.ports import Json
from tallystick.objects.reasons import SharedReason
from tallystick.objects.reconciler import Reconciler

Random = Callable[[int], bytes]
DEFAULT_BITS = 256


@dataclass(frozen=True, slots=True)
class Replaced:
    """A change that all Secrets show now.

    Attributes:
        changes: The members of the status that record it.
        report: Writes the audit lines and events about it, once it is recorded.
    """

    changes: Mapping[str, Any]
    report: Callable[[], None]


@dataclass(slots=True)
class _Step:
    """One change while it is carried out."""

    seen: Seen
    attempt: Attempt
    change: Change
    given: dict[str, ClusterKey] = field(repr=False)
    body: Json | None = field(repr=False)
    at_once: bool


class Replacing:
    """Carries out the changes of join keys.

    Args:
        secrets: The Secrets of JoinKeys.
        finder: Finds keys by their fingerprints.
        sharing: Writes the copies.
        reconciler: Writes the audit log and events.
        random: Returns so many random bytes.
        ctx: Time.
    """

    def __init__(
        self,
        secrets: JoinKeySecrets,
        finder: KeyFinder,
        sharing: Sharing,
        reconciler: Reconciler[JoinKey],
        random: Random,
        ctx: Context,
    ) -> None:
        self._secrets = secrets
        self._finder = finder
        self._sharing = sharing
        self._reconciler = reconciler
        self._random = random
        self._ctx = ctx

    async def replace(self, seen: Seen, change: Change, provided: ClusterKey | None) -> Replaced | Problem:
        """Carry out a change up to its record in the status; return the problem for which it waits."""
        unsafe = clock_problem(self._ctx)
        if unsafe is not None:
            return unsafe
        join_key = seen.object
        attempt = self._secrets.of(join_key)
        if isinstance(change, replacing.Publish | replacing.Cancel) and await self._has_begun_to_sign(seen, attempt):
            change = replacing.Switch()  # a key that has signed is not given up
        body = await attempt.sealed()
        if isinstance(body, SecretConflict):
            return conflict_problem(join_key, sealed_place(join_key))
        given = {provided.fingerprint: provided} if provided is not None else {}
        step = _Step(seen, attempt, change, given, body, replacing.is_at_once(join_key))
        return await self._publish(step, provided) if isinstance(change, replacing.Publish) else await self._go(step)

    async def _has_begun_to_sign(self, seen: Seen, attempt: Attempt) -> bool:
        """Return whether a switch was cut off: a copy signs with the new key, and the status does not show it."""
        replacement = seen.object.status.replacement
        if replacement is None or replacement.phase is not ReplacementPhase.PUBLISHING:
            return False
        return await attempt.any_signs_with(replacement.fingerprint)

    async def _publish(self, step: _Step, provided: ClusterKey | None) -> Replaced | Problem:
        join_key = step.seen.object
        masters = await self._finder.masters_of(join_key)
        if isinstance(masters, Problem):
            return masters
        new = provided if join_key.spec.secret_ref is not None else self._pending(step, masters)
        if new is None:
            new = self._generate(join_key)
        if is_reused(new, masters):
            return Problem(JoinKeyReason.KEY_REUSE, KEY_REUSE_TEXT)
        step.given[new.fingerprint] = new
        picture = replacing.next_picture(join_key, step.change, new.fingerprint)
        found = await self._finder.find(join_key, step.attempt, picture.keys, step.given)
        # A key that no Secret holds cannot be accepted for a time of transition.
        step.at_once = step.at_once or not found.has(picture.signs)
        return await self._write(step, picture, found)

    def _pending(self, step: _Step, masters: MasterKeys) -> ClusterKey | None:
        """Return the generated key that was sealed before the controller stopped; None if there is none."""
        join_key, status = step.seen.object, step.seen.object.status
        if step.body is None:
            return None
        version = replacing.present_picture(join_key).signs.version + 1
        key = open_text(join_key, step.body, SEALED_ACCEPTED_KEY, masters, version)
        recorded = status.replacement.fingerprint if status.replacement is not None else None
        is_new = isinstance(key, ClusterKey) and key.fingerprint not in (recorded, status.fingerprint)
        return key if isinstance(key, ClusterKey) and is_new else None

    def _generate(self, join_key: JoinKey) -> ClusterKey:
        return ClusterKey.generate(Purpose.JOIN, join_key.spec.key_size or DEFAULT_BITS, self._random)

    async def _go(self, step: _Step) -> Replaced | Problem:
        """Carry out a change that brings no new key."""
        join_key = step.seen.object
        picture = replacing.next_picture(join_key, step.change, "")
        found = await self._finder.find(join_key, step.attempt, picture.keys, step.given)
        if found.problem is not None and found.may_come_back:
            return found.problem
        if found.has(picture.signs):
            # An old key that is lost is accepted no longer.
            return await self._write(step, picture if found.has(picture.accepted) else Picture(picture.signs), found)
        if not isinstance(step.change, replacing.Switch):
            return found.lost()
        # The new key is lost before it signed: a generated one is made again, a provided one is waited for.
        is_generated = join_key.spec.secret_ref is None
        step.change = replacing.Publish(None) if is_generated else replacing.Cancel()
        return await self._publish(step, None) if is_generated else await self._go(step)

    async def _write(self, step: _Step, picture: Picture, found: Found) -> Replaced | Problem:
        join_key = step.seen.object
        sealed = await self._seal(step, picture, found)
        if isinstance(sealed, Problem):
            return sealed
        stuck = await step.attempt.write_sealed(sealed.body)
        if stuck is not None:
            return stuck_problem(sealed_place(join_key), stuck)
        outcomes: Outcomes = {}
        is_hidden = isinstance(step.change, replacing.Publish) and step.at_once
        if not is_hidden:
            todo = self._sharing.outdated(join_key, picture)
            outcomes = await self._sharing.share(step.seen, step.attempt, todo, picture, found.keys)
        signing = found.keys.get(picture.signs.fingerprint)
        changes = {
            **replacing.replaced_status(
                join_key,
                picture,
                step.change,
                bits=signing.bits if signing is not None else 0,
                now=self._ctx.clock.now(),
                at_once=step.at_once,
            ),
            "sealed": sealed.status,
        }
        if not is_hidden:
            changes["targets"] = target_statuses(join_key, outcomes, picture.signs.version)
        return Replaced(changes, lambda: self._report(step, picture, sealed, changes))

    async def _seal(self, step: _Step, picture: Picture, found: Found) -> NewlySealed | Problem:
        join_key = step.seen.object
        kept = kept_texts(join_key, step.body)
        moved = seal_with_kept(join_key, picture, kept)
        if moved is not None:
            return moved
        masters = await self._finder.masters_of(join_key)
        if isinstance(masters, Problem):
            return masters
        return seal_picture(join_key, picture, found.keys, masters, kept=kept, random=self._random)

    def _report(self, step: _Step, picture: Picture, sealed: NewlySealed, changes: Mapping[str, Any]) -> None:
        seen, audit = step.seen, self._reconciler.audit
        signs, accepted = picture.signs, picture.accepted
        if isinstance(step.change, replacing.Publish) and accepted is not None:
            is_generated = seen.object.spec.secret_ref is None
            action = "generate-key" if is_generated else "import-key"
            audit(action, seen, key_id=accepted.fingerprint, version=accepted.version)
        for held in sealed.resealed:
            audit_seal(self._reconciler, seen, held, sealed.status)
        if isinstance(step.change, replacing.Switch):
            audit("replace-key", seen, key_id=signs.fingerprint, version=signs.version)
            after = seen.object.model_copy(update={"status": seen.object.status.model_copy(update=dict(changes))})
            self._reconciler.warn(seen, KeyEventReason.JOIN_KEY_REPLACED, replaced_text(after))
        before = replacing.present_picture(seen.object).keys
        for held in before:
            if held.fingerprint not in {one.fingerprint for one in picture.keys}:
                audit("forget-key", seen, key_id=held.fingerprint, version=held.version)


def clock_problem(ctx: Context) -> Problem | None:
    """Return the problem that the local clock differs too much from the API server's; None if it does not."""
    try:
        ctx.server_clock.check()
    except NotYetError as error:
        return Problem(SharedReason.CLOCK_UNSAFE, error.message, Progress.RECONCILING)
    return None
