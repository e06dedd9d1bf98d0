"""The next step for a MasterKey, as a pure decision.

A key is on record once `status.fingerprint` names it. From then on another key is used only if `spec.serial` rises: a
Secret that is gone or holds another key is reported, and never replaced. A step writes at most one Secret before the
status names its key, so a crash between two writes leaves a Secret from which the next attempt continues.
"""

from dataclasses import dataclass

from tallystick.clusterkeys.api.fields import KeySource
from tallystick.clusterkeys.api.master_key import MasterKey
from tallystick.clusterkeys.domain import master_key_messages as messages
from tallystick.clusterkeys.domain.keys import ClusterKey
from tallystick.clusterkeys.domain.master_key_secret import Absent, Foreign, Held, SecretVersion, Unusable
from tallystick.clusterkeys.domain.master_key_view import Memory, View
from tallystick.objects.conditions import Readiness


@dataclass(frozen=True, slots=True)
class Generate:
    """Write a new key into the Secret.

    Attributes:
        over: The version of the Secret that is replaced; None to create the Secret.
        previous: The key that stays beside the new one.
    """

    over: SecretVersion | None = None
    previous: ClusterKey | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """Record the key of the Secret as the newest one.

    Attributes:
        held: The Secret.
        serial: The serial that the key serves.
        replaces: The fingerprint of another key that is on record, which becomes the previous one; None if there is
            none.
        loads: Whether the key is external, so that it is loaded into memory first.
        previous: The previous key, for memory.
    """

    held: Held
    serial: int
    replaces: str | None = None
    loads: bool = False
    previous: ClusterKey | None = None


@dataclass(frozen=True, slots=True)
class ForgetPrevious:
    """Forget the previous key, because no join key is sealed with it.

    Attributes:
        held: The Secret from which it is removed; None if the Secret is not the controller's, or does not hold it.
    """

    held: Held | None = None


@dataclass(frozen=True, slots=True)
class RemoveSecret:
    """Delete this version of the Secret of an external key: every join key is ready."""

    version: SecretVersion


@dataclass(frozen=True, slots=True)
class NoteRemoval:
    """Note that the Secret of an external key is gone."""


@dataclass(frozen=True, slots=True)
class Report:
    """Report why the key cannot be used. A user has to act."""

    readiness: Readiness


@dataclass(frozen=True, slots=True)
class Done:
    """Record the status: there is no other step to take now."""


Step = Generate | Record | ForgetPrevious | RemoveSecret | NoteRemoval | Report | Done


def next_step(key: MasterKey, view: View) -> Step:
    """Return the next step."""
    if key.metadata.deletion_timestamp is not None:
        return Done()
    if key.spec.external:
        return _next_of_loaded(key, view, view.memory) if view.memory is not None else _load(key, view)
    match view.found:
        case Foreign():
            return Report(messages.conflict(key))
        case Absent():
            return _without_secret(key)
        case Unusable() as unusable:
            return _with_unusable_secret(key, unusable)
        case Held() as held:
            return _with_key(key, view, held)


def asks_for_another(key: MasterKey) -> bool:
    """Return whether `spec.serial` asks for another key than the one on record."""
    return key.status.fingerprint is not None and key.status.serial != key.spec.serial


def _is_generated(key: MasterKey) -> bool:
    return key.spec.secret_ref is None


def _without_secret(key: MasterKey) -> Step:
    if not _is_generated(key):
        return Report(messages.waiting(key))
    if key.status.fingerprint is None or asks_for_another(key):
        return Generate()
    return Report(messages.lost(key))


def _with_unusable_secret(key: MasterKey, unusable: Unusable) -> Step:
    if _is_generated(key) and asks_for_another(key) and unusable.version is not None:
        return Generate(over=unusable.version)
    return Report(messages.problem_of(key, unusable.problem))


def _with_key(key: MasterKey, view: View, held: Held) -> Step:
    recorded = key.status.fingerprint
    if recorded is None:
        return Record(held, key.spec.serial)
    if _of(held) != recorded and not asks_for_another(key):
        return Report(messages.changed(key, _of(held)))
    if _of(held) != recorded:
        # Either the user has put it there and agrees, or a crash came between the two writes of a rotation.
        return Record(held, key.spec.serial, replaces=recorded)
    if asks_for_another(key):
        return _rotate(key, view, held)
    return _keep(key, view, held if _is_generated(key) and held.previous is not None else None)


def _rotate(key: MasterKey, view: View, held: Held) -> Step:
    """Go on from the recorded key to another one, if that is possible now."""
    if _changes_hands(key):
        return Record(held, key.spec.serial)
    outdated = view.join_keys.outdated(key.status.fingerprint)
    if not _is_generated(key) or (held.previous is not None and outdated):
        return Done()  # for the user's new key, or for the end of the rotation before this one
    return Generate(over=held.version, previous=held.newest)


def _changes_hands(key: MasterKey) -> bool:
    """Return whether the user's Secret takes the place of a generated one."""
    return key.status.source is KeySource.GENERATED and not _is_generated(key)


def _keep(key: MasterKey, view: View, holds_previous: Held | None) -> Step:
    outdated = view.join_keys.outdated(key.status.fingerprint)
    has_previous = holds_previous is not None or key.status.previous_fingerprint is not None
    return ForgetPrevious(holds_previous) if has_previous and not outdated else Done()


def _load(key: MasterKey, view: View) -> Step:
    """Return the step for an external key that is not in memory."""
    recorded = key.status.fingerprint
    match view.found:
        case Held() as held if recorded is None:
            return Record(held, key.spec.serial, loads=True)
        case Held() as held if _of(held) == recorded:
            # The user's new key is still to come, unless this is his own copy of a generated one.
            serves = key.spec.serial if _changes_hands(key) else key.status.serial or key.spec.serial
            return Record(held, serves, loads=True, previous=held.previous)
        case Held() as held if asks_for_another(key):
            return Record(held, key.spec.serial, replaces=recorded, loads=True, previous=held.previous)
        case Held() as held:
            return Report(messages.mismatch(key, _of(held)))
        case Unusable() as unusable:
            return Report(messages.problem_of(key, unusable.problem))
        case _:
            return Report(messages.required(key) if recorded is not None else messages.waiting(key))


def _next_of_loaded(key: MasterKey, view: View, memory: Memory) -> Step:
    """Return the step for an external key that is in memory."""
    held = view.found if isinstance(view.found, Held) else None
    is_source = held is not None and held.version.uid == memory.secret_uid and _of(held) == key.status.fingerprint
    if asks_for_another(key):
        if held is not None and _of(held) != key.status.fingerprint:
            replaced = key.status.fingerprint
            return Record(held, key.spec.serial, replaces=replaced, loads=True, previous=memory.newest)
        return Done()
    outdated = view.join_keys.outdated(key.status.fingerprint)
    if key.status.previous_fingerprint is not None and not outdated:
        return ForgetPrevious()
    if memory.removed:
        return Done()
    if held is None or not is_source:
        return NoteRemoval()
    if view.join_keys.not_ready is not None or outdated or held.is_terminating:
        return Done()
    return RemoveSecret(held.version)


def _of(held: Held) -> str:
    return held.newest.fingerprint
