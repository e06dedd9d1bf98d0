"""The messages of conditions and events of a MasterKey, each with the next action."""

from tallystick.clusterkeys.api.master_key import MasterKey
from tallystick.clusterkeys.api.reasons import MasterKeyReason as Reason
from tallystick.clusterkeys.domain.join_key_facts import JoinKeyFacts
from tallystick.clusterkeys.domain.keys import KeyProblem, Purpose
from tallystick.clusterkeys.domain.master_key_secret import Absent, Foreign, Held, Unusable, secret_name, secret_place
from tallystick.clusterkeys.domain.master_key_view import Memory
from tallystick.objects.conditions import Readiness, reconciling, stalled
from tallystick.objects.reasons import SharedReason
from tallystick.schema.times import rfc3339

_KEY = Purpose.MASTER.value
_TYPE = Purpose.MASTER.secret_type
RUNS_ON = "what runs goes on meanwhile"


def stored_text(key: MasterKey) -> str:
    """Return the message that the Secret holds the key."""
    return f"Secret {secret_place(key)} holds the key; keep a copy of it in a safe place outside this cluster"


def in_memory_text(key: MasterKey, memory: Memory, found: Absent | Foreign | Unusable | Held) -> str:
    """Return the message that only memory holds the key, and whether its Secret is in place for the next start."""
    since = f"the key is in the memory of {memory.identity} alone since {rfc3339(memory.loaded_time)}"
    place = f"Secret {secret_place(key)} ({_form(key)})"
    match found:
        case Held(newest=newest) if newest.fingerprint == key.status.fingerprint:
            return f"{since}. {place} is in place for the next start."
        case Held(newest=newest):
            problem = f"Secret {secret_place(key)} holds {newest.fingerprint} instead"
            back = f"Put {key.status.fingerprint} back before the controller restarts, {_or_raise(key, 'rotate')}"
            return f"{since}. {problem}. {back}."
        case Unusable(problem=unusable):
            again = f"Place fingerprint {key.status.fingerprint} again before the controller restarts"
            return f"{since}. {again}. Now, {unusable.text}."
        case _:
            return f"{since}; place {place} again before the controller restarts"


def removal_text(key: MasterKey, blocking: JoinKeyFacts | None, *, is_terminating: bool) -> str:
    """Return the message that the Secret of an external key still exists, and why."""
    secret = f"Secret {secret_place(key)}"
    if is_terminating:
        return f"the key is loaded; {secret} is deleted as soon as its finalizers are removed"
    if blocking is None:
        return f"the key is loaded; {secret} is deleted once every join key is sealed with it"
    which = f"{blocking.namespace}/{blocking.name} is not ({blocking.reason or 'not reconciled yet'})"
    return f"the key is loaded; {secret} is deleted once every join key is Ready: {which}"


def new_key_text(key: MasterKey, found: Absent | Foreign | Unusable | Held) -> str:
    """Return the message that a rotation waits for the user's new key."""
    match found:
        case Held():
            return (
                f"spec.serial asks for a new master key, but Secret {secret_place(key)} still holds "
                f"{key.status.fingerprint}; put the new one into it"
            )
        case Unusable(problem=problem):
            return f"spec.serial asks for a new master key. {_capitalized(problem.text)}."
        case _:
            return f"spec.serial asks for a new master key; place it in Secret {secret_place(key)} ({_type_and_key()})"


def rotating_text(key: MasterKey, outdated: int, total: int, *, has_previous: bool) -> str:
    """Return the message that join keys are still sealed with the previous key."""
    are = "is" if outdated == 1 else "are"
    still = f"{outdated} of {total} join keys {are} still sealed with {key.status.previous_fingerprint}"
    if has_previous:
        return f"{still}, which is kept until there are none"
    return f"{still}, which no Secret holds; each is sealed again from its Secret"


def rotated_text(key: MasterKey, newest: str) -> str:
    """Return the message of the event that another key seals now."""
    return (
        f"master key {newest} seals now; the join keys that are sealed with {key.status.fingerprint} are sealed again"
    )


def problem_of(key: MasterKey, problem: KeyProblem) -> Readiness:
    """Return the readiness of an object whose Secret holds no usable key."""
    recorded = key.status.fingerprint
    needed = f"; the required key has fingerprint {recorded}" if recorded is not None else ""
    return stalled(Reason(problem.reason), problem.text + needed)


def waiting(key: MasterKey) -> Readiness:
    """Return the readiness of an object whose provided Secret does not exist."""
    wanted = f'create it with type {_TYPE} and key "{_KEY}"'
    recorded = key.status.fingerprint
    text = f"Secret {secret_place(key)} does not exist yet; {wanted}"
    if recorded is not None and key.spec.serial == key.status.serial:
        text += f" (fingerprint {recorded}); if that key is lost, raise spec.serial to {key.spec.serial + 1}"
    return reconciling(Reason.WAITING_FOR_KEY, text)


def lost(key: MasterKey) -> Readiness:
    """Return the readiness of an object whose generated Secret was deleted."""
    again = f"Create it again with that key ({_form(key)}), {_or_raise(key, 'get a new one')}."
    text = f"Generated key Secret {secret_place(key)} was deleted. {again} Services keep their join keys."
    return stalled(Reason.KEY_LOST, text)


def changed(key: MasterKey, newest: str) -> Readiness:
    """Return the readiness of an object whose Secret holds another key than the recorded one."""
    recorded = key.status.fingerprint
    now = f"Secret {secret_place(key)} now holds {newest}, but join keys are sealed with {recorded}."
    put_back = f"Put {recorded} back into it, {_or_raise(key, f'seal them with {newest}')}."
    return stalled(Reason.MASTER_KEY_CHANGED, f"{now} {put_back}")


def required(key: MasterKey) -> Readiness:
    """Return the readiness of an object whose external key is not in memory."""
    place = f"Place Secret {secret_place(key)} ({_form(key)}); {RUNS_ON}."
    lost = f"If that key is lost, raise spec.serial to {key.spec.serial + 1} and place a new key there."
    return stalled(Reason.MASTER_KEY_REQUIRED, f"The external master key is not in memory. {place} {lost}")


def mismatch(key: MasterKey, newest: str) -> Readiness:
    """Return the readiness of an object for which another external key than the required one was placed."""
    held = f"Secret {secret_place(key)} holds {newest}, needed is {key.status.fingerprint}; it was left alone."
    place = f"Place the required key there, {_or_raise(key, 'seal join keys with this one')}; {RUNS_ON}."
    return stalled(Reason.MASTER_KEY_MISMATCH, f"{held} {place}")


def conflict(key: MasterKey) -> Readiness:
    """Return the readiness of an object whose generated Secret has a name that is taken."""
    name = secret_name(key)
    go_on = f"to go on with it, set spec.secretRef.name to {name} and raise spec.serial to {key.spec.serial + 1}"
    text = f"Secret {secret_place(key)} exists and was not made by this MasterKey; {go_on}"
    return stalled(SharedReason.SECRET_CONFLICT, text)


def required_for_join_keys_text(namespace: str, name: str, fingerprint: str) -> str:
    """Return the message for a JoinKey whose next step needs an external master key that is not in memory."""
    see = f"see MasterKey {namespace}/{name}"
    return f"external master key {fingerprint} is not in memory, so the sealed copy waits; {see}"


def no_master_key_text(namespace: str, name: str) -> str:
    """Return the message for a JoinKey whose MasterKey does not exist."""
    return f'MasterKey {namespace}/{name} does not exist; apply one ("spec: {{}}" generates its key)'


def not_ready_text(namespace: str, name: str, reason: str) -> str:
    """Return the message for a JoinKey whose MasterKey is not ready."""
    return f"MasterKey {namespace}/{name} is not ready ({reason or 'not reconciled yet'}); its message says why"


def _form(key: MasterKey) -> str:
    return f"{_type_and_key()}, fingerprint {key.status.fingerprint}"


def _type_and_key() -> str:
    return f'type {_TYPE}, key "{_KEY}"'


def _or_raise(key: MasterKey, purpose: str) -> str:
    return f"or raise spec.serial to {key.spec.serial + 1} to {purpose}"


def _capitalized(text: str) -> str:
    return text[:1].upper() + text[1:]
