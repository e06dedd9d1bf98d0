"""Decide the next step for one ConnectionConfiguration. Reading the list of rules is reading what the controller does.

The plan is stored before the Secret is written, and the Secret before a token counts as Active:

    status: plan, Pending --> Secret --> status: Active

So a crash leaves nothing that is not on record, and the Secret is always a function of the status.
"""

from dataclasses import dataclass

from tallystick.api.connection_configuration import ConnectionConfiguration, ConnectionTokenState
from tallystick.domain.held_secrets import HeldSecret
from tallystick.domain.slots import Plan, on_record


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of one ConnectionConfiguration.

    Args:
        expected_digest: the content digest that the Secret must have; None where it cannot be computed.
    """

    configuration: ConnectionConfiguration
    plan: Plan
    secret: HeldSecret | None
    expected_digest: bytes | None


@dataclass(frozen=True, slots=True)
class Settle:
    """Write into the status which tokens have ended, and which are to be made."""

    plan: Plan


@dataclass(frozen=True, slots=True)
class KeepSecret:
    """Make the Secret as the status says."""


@dataclass(frozen=True, slots=True)
class Activate:
    """Say in the status that the tokens which are in the Secret now are Active."""


@dataclass(frozen=True, slots=True)
class Rest:
    """Nothing to write, but for the status if it says something else than it should."""


Step = Settle | KeepSecret | Activate | Rest


def next_step(seen: Seen) -> Step:
    """Return the first thing to do; the object is looked at again after each."""
    for rule in _RULES:
        step = rule(seen)
        if step is not None:
            return step
    return Rest()


def tokens_not_as_planned(seen: Seen) -> Step | None:
    """What has ended is recorded first, together with what takes its place."""
    status, plan = seen.configuration.status, seen.plan
    as_planned = on_record(plan.tokens) == status.tokens and not plan.mint and list(plan.vacant) == status.vacant_slots
    return None if as_planned else Settle(plan)


def being_deleted(seen: Seen) -> Step | None:
    """The Secret goes with an object that is going; to heal it would be in the garbage collector's way."""
    return Rest() if seen.configuration.metadata.deletion_timestamp is not None else None


def secret_missing_or_changed(seen: Seen) -> Step | None:
    """S22: a Secret that was deleted, edited or never written is made as it must be."""
    intact = seen.secret is not None and seen.secret.content_digest == seen.expected_digest
    return None if intact or not _ever_had_token(seen.configuration) else KeepSecret()


def minted_but_pending(seen: Seen) -> Step | None:
    """Only what is in the Secret counts as Active."""
    pending = any(token.state is ConnectionTokenState.PENDING for token in seen.configuration.status.tokens)
    return Activate() if pending else None


# Ordered: the status is ahead of the Secret in what ends, and behind it in what begins.
_RULES = (tokens_not_as_planned, being_deleted, secret_missing_or_changed, minted_but_pending)


def _ever_had_token(configuration: ConnectionConfiguration) -> bool:
    """An object that was made with a licence that is over has no Secret, for it never had anything to hold."""
    return configuration.status.last_serial is not None
