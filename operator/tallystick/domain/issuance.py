"""Decide the next step for one PairingToken. Reading the list of rules is reading what the controller does.

         spec.serial raised          the exchange's swap          spec.revoked, RFC 7009
    Pending ------------> Active ------------------------> Used ---------------------------> Revoked
                            |                                                                   ^
                            +--- expirationTime ---> Expired --------------------------------->-+

Used, Expired and Revoked are left only by a higher serial.
"""

from dataclasses import dataclass
from datetime import datetime

from tallystick.api.pairing_token import PairingToken, PairingTokenState
from tallystick.domain.held_secrets import HeldSecret

SPENT = (PairingTokenState.USED, PairingTokenState.EXPIRED, PairingTokenState.REVOKED)


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of one PairingToken.

    Args:
        expected_digest: the content digest that the Secret of the issued token must have; None where the token is
            not Active, or where it cannot be computed any more.
    """

    token: PairingToken
    secret: HeldSecret | None
    expected_digest: bytes | None
    now: datetime


@dataclass(frozen=True, slots=True)
class Revoke:
    """Swap the status to Revoked."""


@dataclass(frozen=True, slots=True)
class Issue:
    """Mint the token of the present serial: Secret first, status second."""


@dataclass(frozen=True, slots=True)
class Expire:
    """Swap the status to Expired."""


@dataclass(frozen=True, slots=True)
class RemoveSecret:
    """Delete the Secret of a token that can no longer be redeemed."""

    secret: HeldSecret


@dataclass(frozen=True, slots=True)
class Heal:
    """Put the Secret back as it was issued."""


@dataclass(frozen=True, slots=True)
class Rest:
    """Nothing to write, but for the status if it says something else than it should."""


Step = Revoke | Issue | Expire | RemoveSecret | Heal | Rest


def next_step(seen: Seen) -> Step:
    """Return the first thing to do; the object is looked at again after each."""
    for rule in _RULES:
        step = rule(seen)
        if step is not None:
            return step
    return Rest()


def being_deleted(seen: Seen) -> Step | None:
    """An object that is going needs nothing: it is invalid already (S7), and its Secret goes with it."""
    return Rest() if seen.token.metadata.deletion_timestamp is not None else None


def revocation_ordered(seen: Seen) -> Step | None:
    """Spec is the order, status the record (S7)."""
    done = seen.token.status.state is PairingTokenState.REVOKED and seen.token.status.serial == seen.token.spec.serial
    return Revoke() if seen.token.spec.revoked and not done else None


def serial_not_issued(seen: Seen) -> Step | None:
    """Only a serial that was never issued is minted: no restart, label or lost Secret ever mints (D11)."""
    issued = seen.token.status.serial
    return Issue() if issued is None or issued < seen.token.spec.serial else None


def lifetime_over(seen: Seen) -> Step | None:
    """R85: at `exp` the token is over, not a second later."""
    status = seen.token.status
    if status.state is not PairingTokenState.ACTIVE or status.expiration_time is None:
        return None
    return Expire() if seen.now >= status.expiration_time else None


def secret_outlived_its_token(seen: Seen) -> Step | None:
    """A token that is spent must not lie about."""
    if seen.token.status.state not in SPENT or seen.secret is None:
        return None
    ours = seen.secret.owner_uid == seen.token.metadata.uid
    return RemoveSecret(seen.secret) if ours else None


def secret_missing_or_changed(seen: Seen) -> Step | None:
    """S22: a Secret that was deleted or edited is healed while its token can be redeemed."""
    if seen.token.status.state is not PairingTokenState.ACTIVE:
        return None
    intact = seen.secret is not None and seen.secret.content_digest == seen.expected_digest
    return None if intact else Heal()


# Ordered: an order to revoke stands before a serial to issue, and both before what time does.
_RULES = (
    being_deleted,
    revocation_ordered,
    serial_not_issued,
    lifetime_over,
    secret_outlived_its_token,
    secret_missing_or_changed,
)
