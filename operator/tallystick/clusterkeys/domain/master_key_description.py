"""Describe a MasterKey: the part of its status that follows from its key, its Secret, memory and its join keys."""

from typing import Any

from tallystick.clusterkeys.api.master_key import Holder, JoinKeyCounts, MasterKey, MasterKeyState
from tallystick.clusterkeys.api.reasons import MasterKeyReason as Reason
from tallystick.clusterkeys.domain import master_key_messages as messages
from tallystick.clusterkeys.domain.master_key_secret import Held
from tallystick.clusterkeys.domain.master_key_view import Memory, View
from tallystick.objects.conditions import Description, DesiredCondition, Readiness, ready
from tallystick.schema.times import whole_second


def describe(key: MasterKey, view: View | None) -> Description:
    """Describe an object; without a view, it was not observed yet, so that its status stays as it is."""
    if view is None:
        return Description(messages.waiting(key))
    counts = counts_of(key, view)
    readiness, in_progress = readiness_of(key, view, counts)
    derived: dict[str, Any] = {
        "state": state_of(key, view),
        "join_keys": counts,
        "holder": _holder(view.memory) if key.spec.external else None,
    }
    # The key works, and the controller or the user has something left to do.
    going_on = DesiredCondition("Reconciling", status=True, reason=readiness.reason, message=readiness.message)
    return Description(readiness, conditions=(going_on,) if in_progress else (), derived=derived)


def counts_of(key: MasterKey, view: View) -> JoinKeyCounts:
    """Return the number of join keys as the status shows it."""
    shown = key.status.join_keys
    if view.holds_counts and shown is not None:
        return shown
    summary = view.join_keys
    return JoinKeyCounts(total=summary.total, outdated=summary.outdated(key.status.fingerprint))


def state_of(key: MasterKey, view: View) -> MasterKeyState:
    """Return the state: Sealed while a key is on record that the controller lacks."""
    if key.status.fingerprint is None:
        return MasterKeyState.PENDING
    if view.available(key) is None:
        return MasterKeyState.SEALED
    return MasterKeyState.ACTIVE if key.status.previous_fingerprint is None else MasterKeyState.ROTATING


def readiness_of(key: MasterKey, view: View, counts: JoinKeyCounts) -> tuple[Readiness, bool]:
    """Return the readiness of an object whose key is at hand, and whether there is work left."""
    if view.available(key) is None:
        return messages.required(key) if key.spec.external else messages.waiting(key), False
    if key.status.serial != key.spec.serial and key.spec.secret_ref is not None:
        return ready(Reason.WAITING_FOR_NEW_KEY, messages.new_key_text(key, view.found)), True
    if key.status.previous_fingerprint is not None:
        has_previous = view.previous(key) is not None
        text = messages.rotating_text(key, counts.outdated, counts.total, has_previous=has_previous)
        return ready(Reason.ROTATING, text), True
    memory = view.memory
    if not key.spec.external or memory is None:
        return ready(Reason.KEY_STORED, messages.stored_text(key)), False
    if memory.removed:
        return ready(Reason.KEY_IN_MEMORY, messages.in_memory_text(key, memory, view.found)), False
    terminating = isinstance(view.found, Held) and view.found.is_terminating
    text = messages.removal_text(key, view.join_keys.not_ready, is_terminating=terminating)
    return ready(Reason.REMOVAL_PENDING, text), False


def _holder(memory: Memory | None) -> Holder | None:
    if memory is None:
        return None
    return Holder(identity=memory.identity, loaded_time=whole_second(memory.loaded_time))
