"""The messages of conditions and events of a JoinKey, each with the next action."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from tallystick.clusterkeys.api.join_key import JoinKey, ReplacementPhase, TargetStatus
from tallystick.clusterkeys.api.reasons import JoinKeyReason as Reason
from tallystick.clusterkeys.domain.join_key_copies import Place, places, sealed_name
from tallystick.clusterkeys.domain.keys import KeyProblem
from tallystick.objects.conditions import Progress, Readiness, ready, reconciling, stalled
from tallystick.objects.ownership import SecretConflict
from tallystick.objects.reasons import SharedReason
from tallystick.schema.times import rfc3339

LONGEST_TARGET_MESSAGE = 512
_MOST_NAMED = 3

KEY_REUSE_TEXT = "join key and master key must differ; use another key for one of them"

# The other reasons of a target need a user. A namespace that is being deleted is soon gone, and a rejected write is
# repeated.
_PASSING = frozenset({Reason.TARGET_NAMESPACE_TERMINATING.value, SharedReason.WRITE_REJECTED.value})


@dataclass(frozen=True, slots=True)
class Problem:
    """The reason why the next step of a join key, or one of its copies, waits.

    Attributes:
        reason: The reason in one word.
        message: The reason, and the next action.
        progress: STALLED if a user must act; RECONCILING if not.
        is_of_key: Whether the key itself is in the way, and not one copy.
    """

    reason: StrEnum
    message: str
    progress: Progress = Progress.STALLED
    is_of_key: bool = False


def readiness_of(join_key: JoinKey) -> Readiness:
    """Return the readiness of a join key by its status: which copies hold the key, and which key is replaced."""
    if join_key.metadata.deletion_timestamp is not None:
        message = "the object is being deleted; the controller deletes its copies in other namespaces"
        return reconciling(Reason.JOIN_KEY_DELETED, message)
    if join_key.status.fingerprint is None:
        return reconciling(Reason.PROPAGATING, "the controller stores and shares the key")
    in_the_way = next((target for target in join_key.status.targets if not target.in_sync), None)
    if in_the_way is not None:
        return _of_target(join_key, in_the_way)
    replacement = _replacement_text(join_key)
    if replacement:
        return ready(Reason.REPLACING_KEY, replacement)
    own = join_key.status.targets[0].secret_name if join_key.status.targets else ""
    mount = f"mount {own}, and see docs/join-keys.md for how a service signs with it"
    return ready(Reason.SHARED, f"{_held_text(join_key.status.targets)}; {mount}")


def replaced_text(join_key: JoinKey) -> str:
    """Return the message that another key signs, of a join key whose status names it."""
    signs = f"{join_key.status.fingerprint} signs"
    return _replacement_text(join_key) or f"{signs}; the key before it is accepted no longer"


def drift_text(changed: Sequence[str]) -> str:
    """Return the message that another writer has changed Secrets of a join key."""
    return f"another client changed or deleted Secret {_named(changed)}; the controller restored it"


def conflict_problem(join_key: JoinKey, place: Place) -> Problem:
    """Return the problem that the Secret of a copy is not one of this join key (docs/rules.md#s22)."""
    meta = join_key.metadata
    is_target = place in places(join_key)[1:]
    other = "set another secretName in spec.targets" if is_target else "create a JoinKey with another name"
    managed = f"exists and is not managed by JoinKey {meta.namespace}/{meta.name}"
    return Problem(SharedReason.SECRET_CONFLICT, f"Secret {place} {managed}; delete it, or {other}")


def stuck_problem(place: Place, found: SecretConflict) -> Problem:
    """Return the problem that a Secret of this join key cannot be replaced yet."""
    return Problem(SharedReason.SECRET_CONFLICT, f"Secret {place} {found.problem}. {found.remedy}")


def namespace_missing(namespace: str) -> Problem:
    """Return the problem that the namespace of a target does not exist."""
    remedy = "create it, or remove it from spec.targets"
    return Problem(Reason.TARGET_NAMESPACE_NOT_FOUND, f"namespace {namespace} does not exist; {remedy}")


def namespace_terminating(namespace: str) -> Problem:
    """Return the problem that the namespace of a target is being deleted."""
    message = f"namespace {namespace} is being deleted; remove it from spec.targets"
    return Problem(Reason.TARGET_NAMESPACE_TERMINATING, message, Progress.RECONCILING)


def namespace_not_served(namespace: str) -> Problem:
    """Return the problem that the operator does not serve the namespace of a target."""
    remedy = "add it there, or remove it from spec.targets and delete the Secret"
    served = "is not among those that the operator serves (--watch-namespaces), so a copy in it stays as it is"
    return Problem(Reason.TARGET_NOT_WATCHED, f"namespace {namespace} {served}; {remedy}")


def rejected(place: Place, words: str) -> Problem:
    """Return the problem that the API server rejects the write of a copy; `words` are its text and the advice."""
    return Problem(SharedReason.WRITE_REJECTED, f"Secret {place}: {words}", Progress.RECONCILING)


def provided_problem(found: KeyProblem) -> Problem:
    """Return the problem of the user's Secret. The controller waits for a Secret that does not exist yet."""
    progress = Progress.RECONCILING if found.reason == "WaitingForKey" else Progress.STALLED
    return Problem(Reason(found.reason), found.text, progress)


def unopened_problem(join_key: JoinKey, why: str) -> Problem:
    """Return the problem that a sealed copy cannot be opened, of a join key that has no key on record."""
    where = f"Secret {join_key.metadata.namespace}/{sealed_name(join_key)}"
    remedy = f"put the master key back, or delete {where} for a new join key"
    return Problem(Reason.MASTER_KEY_MISMATCH, f"{why}; {remedy}")


def key_lost(join_key: JoinKey, fingerprint: str, looked_at: Sequence[Place], why: str) -> Problem:
    """Return the problem that no Secret holds a recorded key any more. The controller makes no other key in its place.

    Args:
        join_key: The object.
        fingerprint: The key that is lost.
        looked_at: The copies that were read.
        why: Why the sealed copy does not give the key, as a clause.
    """
    meta, spec = join_key.metadata, join_key.spec
    names = f"{_named([str(place) for place in looked_at])}, {meta.namespace}/{sealed_name(join_key)}"
    remedy = (
        "Put one of them back, or name a Secret with this key in spec.secretRef. "
        f"If the key is lost, raise spec.serial to {spec.serial + 1} for a new one."
        if spec.secret_ref is None
        else f"Put one of them back, or this or another key into Secret {meta.namespace}/{spec.secret_ref.name}."
    )
    return Problem(
        Reason.KEY_LOST,
        f"No Secret holds join key {fingerprint} any more (looked at: {names}). The sealed copy cannot be opened: "
        f"{why}. {remedy}",
        is_of_key=True,
    )


def _of_target(join_key: JoinKey, target: TargetStatus) -> Readiness:
    """Return the readiness of a join key by its first copy that is not in sync."""
    held = _held_text(join_key.status.targets)
    if target.reason is None:
        return reconciling(Reason.PROPAGATING, held)
    reason = _reason(target.reason)
    build = reconciling if target.reason in _PASSING else stalled
    return build(reason, f"{held}; {target.message}")


def _reason(name: str) -> StrEnum:
    return SharedReason(name) if name in list(SharedReason) else Reason(name)


def _named(secrets: Sequence[str]) -> str:
    more = len(secrets) - _MOST_NAMED
    return ", ".join(secrets[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _held_text(targets: Sequence[TargetStatus]) -> str:
    return f"{sum(target.in_sync for target in targets)} of {len(targets)} Secrets hold the key"


def _replacement_text(join_key: JoinKey) -> str:
    replacement = join_key.status.replacement
    if replacement is None:
        return ""
    until = rfc3339(replacement.until)
    if replacement.phase is ReplacementPhase.PUBLISHING:
        return f"{replacement.fingerprint} is accepted everywhere and signs from {until}"
    return f"{join_key.status.fingerprint} signs; {replacement.fingerprint} is accepted until {until}"
