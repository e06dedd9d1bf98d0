"""Decide what a controller that begins to lead does about the first admin token. `_RULES` lists it all, in order."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from tallystick.objects.rules import first
from tallystick.pairing.domain.admin_token import (
    AdminToken,
    Record,
    made_text,
    mark,
    new_record,
    not_served_text,
    too_late_text,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """The facts by which the next step is decided.

    Attributes:
        record: The record on the Secret with the signing keys; None if there is none.
        trigger: The uid of the ConfigMap; None if it does not exist.
        generation: The setting `--bootstrap-generation`.
        is_behind: Whether an admin token was made that the record does not know.
        is_served: Whether the operator serves its own namespace.
        delete_after: For how long after its `iat` the token is in its Secret.
        key_id: The key that signs now.
        now: The time.
    """

    record: Record | None
    trigger: str | None
    generation: int
    is_behind: bool
    is_served: bool
    delete_after: timedelta
    key_id: str
    now: datetime


@dataclass(frozen=True, slots=True)
class Store:
    """Write this record to the Secret with the signing keys, and decide again."""

    record: Record


@dataclass(frozen=True, slots=True)
class Make:
    """Make this token, as far as it is missing, and then delete its trigger."""

    token: AdminToken


@dataclass(frozen=True, slots=True)
class CleanUp:
    """Delete the trigger of a token that may not be made any more."""

    message: str


@dataclass(frozen=True, slots=True)
class Ignore:
    """Leave the trigger where it is, and report that."""

    message: str


@dataclass(frozen=True, slots=True)
class Done:
    """Do nothing."""


Step = Store | Make | CleanUp | Ignore | Done


def next_step(facts: Input) -> Step:
    """Return the next step."""
    return first(_RULES, facts) or Done()


def keyring_not_ours(facts: Input) -> Step | None:
    """A keyring that was restored or replaced counts as one whose token was made (docs/rules.md#s27)."""
    if facts.is_behind:
        return Store(mark(facts.now).model_copy(update={"generation": facts.generation}))
    if facts.record is not None and facts.record.generation is None:
        return Store(facts.record.model_copy(update={"generation": facts.generation}))
    return None


def no_trigger(facts: Input) -> Step | None:
    """Without a trigger, nothing is made."""
    return Done() if facts.trigger is None else None


def begun(facts: Input) -> Step | None:
    """A token on record is made to the end, while its Secret may still exist. Another setting changes nothing."""
    record = facts.record
    if record is None or record.token is None or record.token.trigger != facts.trigger:
        return None
    in_time = facts.now < record.token.issued_time + facts.delete_after
    return Make(record.token) if in_time else CleanUp(too_late_text(record))


def made_already(facts: Input) -> Step | None:
    """Each generation has one token (docs/rules.md#s27)."""
    record = facts.record
    if record is None or record.generation is None or facts.generation > record.generation:
        return None
    return Ignore(made_text(record))


def not_served(facts: Input) -> Step | None:
    """The token is good in the operator's own namespace alone."""
    return None if facts.is_served else Ignore(not_served_text())


def asked_for(facts: Input) -> Step | None:
    """The trigger asks for the token of this generation (docs/rules.md#r96)."""
    if facts.trigger is None:
        return None
    return Store(new_record(generation=facts.generation, trigger=facts.trigger, now=facts.now, key_id=facts.key_id))


_RULES = (keyring_not_ours, no_trigger, begun, made_already, not_served, asked_for)
