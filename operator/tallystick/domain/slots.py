"""The slots of a ConnectionConfiguration: which tokens end, which stay, and which slots get a new one.

    slot in spec.tokens        Secret written            slot gone (Manual)
    ---------------> Pending ---------------> Active ---------------------------> Revoked
                                                      the licence ends (LicenseExpired)
                                                      the object goes (ConfigurationDeleted)

Those are the only three reasons (R37). Revoked is for ever; two are alive at most (R24); and while the licence is
valid one stays alive through every edit, because the edit has to keep an Active slot, or the first Pending one before
any is Active (R31, S9, in the CRD).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from tallystick.api.connection_configuration import (
    MOST_LIVE,
    MOST_REVOKED_SHOWN,
    ConnectionConfiguration,
    ConnectionToken,
    ConnectionTokenState,
    RevocationReason,
)
from tallystick.domain.claims import ConnectionGrant, connection_claims, digest
from tallystick.domain.names import connection_token_id
from tallystick.domain.times import whole_second

# What is planned before an end and stored after it would revive what was refused meanwhile: so an end is moved away
# only while there is time to store it, which is longer than a request may take.
TIME_TO_STORE = timedelta(seconds=20)


@dataclass(frozen=True, slots=True)
class Plan:
    """What the tokens of an object are to be.

    Attributes:
        tokens: All that stay on record, with those that end marked as Revoked.
        ended: Those of them that end now.
        mint: The slots that are to get a token, in order; the two places are never exceeded.
        vacant: The slots that have no token and get none, until they are removed and added anew.
    """

    tokens: tuple[ConnectionToken, ...]
    ended: tuple[ConnectionToken, ...]
    mint: tuple[str, ...]
    vacant: tuple[str, ...]


def plan(configuration: ConnectionConfiguration, now: datetime) -> Plan:
    """Decide what becomes of each token and slot. The same object and time always give the same plan."""
    after = tuple(_outcome(token, configuration, now) for token in configuration.status.tokens)
    ended = tuple(new for old, new in zip(configuration.status.tokens, after, strict=True) if new.state != old.state)
    alive = tuple(token for token in after if is_live(token))
    vacant, wanted = _slots_without_token(configuration, alive, ended, now)
    return Plan(after, ended, wanted[: MOST_LIVE - len(alive)], vacant)


def minted(
    configuration: ConnectionConfiguration, slots: Iterable[str], *, key_id: str, issuer: str, now: datetime
) -> tuple[ConnectionToken, ...]:
    """Return the record of a new token for each of the slots. The running number rises with each, and never falls."""
    last = configuration.status.last_serial or 0
    return tuple(
        _new_token(configuration, slot, serial, key_id=key_id, issuer=issuer, now=now)
        for serial, slot in enumerate(slots, start=last + 1)
    )


def on_record(tokens: Iterable[ConnectionToken]) -> list[ConnectionToken]:
    """Order tokens newest first, those that are alive before the last three that were revoked (R33)."""
    newest_first = sorted(tokens, key=lambda token: token.serial, reverse=True)
    revoked = [token for token in newest_first if not is_live(token)]
    revoked.sort(key=_revoked_at, reverse=True)
    return [token for token in newest_first if is_live(token)] + revoked[:MOST_REVOKED_SHOWN]


def is_live(token: ConnectionToken) -> bool:
    """Tell whether a token is Pending or Active."""
    return token.state is not ConnectionTokenState.REVOKED


def live_tokens(configuration: ConnectionConfiguration) -> list[ConnectionToken]:
    """Return the tokens that are Pending or Active, newest first."""
    found = filter(is_live, configuration.status.tokens)
    return sorted(found, key=lambda token: token.serial, reverse=True)


def active_tokens(configuration: ConnectionConfiguration) -> list[ConnectionToken]:
    """Return the Active tokens, newest first: the first is the one to copy (R28)."""
    return [token for token in live_tokens(configuration) if token.state is ConnectionTokenState.ACTIVE]


def standing_tokens(configuration: ConnectionConfiguration) -> list[ConnectionToken]:
    """Return the tokens that somebody may rely on, newest first: the Active ones.

    Before there is any, the Pending one that was planned first: it may have been read from the Secret already, and
    another one only if it has been, too.
    """
    return active_tokens(configuration) or live_tokens(configuration)[-1:]


def has_place(token: ConnectionToken, configuration: ConnectionConfiguration) -> bool:
    """Tell whether the spec still has a place for a live token (S7).

    Where no slot of the spec has a token to rely on, the one that was minted last stays: whatever let such a spec
    pass, nobody is locked out.
    """
    slots = slot_names(configuration)
    if token.slot in slots:
        return True
    standing = standing_tokens(configuration)
    return not any(other.slot in slots for other in standing) and standing[:1] == [token]


def end_of(token: ConnectionToken, configuration: ConnectionConfiguration) -> datetime | None:
    """Return when the licence ends a token: what the spec says now, or what was on record, if that is earlier."""
    ends = [end for end in (configuration.spec.license_expires_at, token.not_after) if end is not None]
    return min(ends, default=None)


def is_over(token: ConnectionToken, configuration: ConnectionConfiguration, now: datetime) -> bool:
    """Tell whether the licence has ended a token: at that very second it has."""
    return _has_come(end_of(token, configuration), now)


def slot_names(configuration: ConnectionConfiguration) -> list[str]:
    """Return the names of the slots in the spec."""
    return [slot.name for slot in configuration.spec.tokens]


def license_is_over(configuration: ConnectionConfiguration, now: datetime) -> bool:
    """Tell whether the licence has ended, by what the spec says now."""
    return _has_come(configuration.spec.license_expires_at, now)


def grant_of(configuration: ConnectionConfiguration, token: ConnectionToken) -> ConnectionGrant:
    """Return what a token says, from the objects that record it."""
    return _grant(configuration, token.slot, token.serial, token.issued_time)


def _outcome(token: ConnectionToken, configuration: ConnectionConfiguration, now: datetime) -> ConnectionToken:
    if not is_live(token):
        return token
    reason = _why_over(token, configuration, now)
    if reason is None:
        return token.model_copy(update={"not_after": _not_after(token, configuration, now)})
    changes = {"state": ConnectionTokenState.REVOKED, "reason": reason, "revoked_time": whole_second(now)}
    return token.model_copy(update=changes)


def _not_after(token: ConnectionToken, configuration: ConnectionConfiguration, now: datetime) -> datetime | None:
    """Move the end that is on record, if it has not come yet; one that has passed is for ever (decisions.md)."""
    recorded, wanted = token.not_after, configuration.spec.license_expires_at
    if recorded is None:
        return wanted
    later = wanted is None or wanted > recorded
    return recorded if later and now + TIME_TO_STORE >= recorded else wanted


def _why_over(token: ConnectionToken, configuration: ConnectionConfiguration, now: datetime) -> RevocationReason | None:
    if configuration.metadata.deletion_timestamp is not None:
        return RevocationReason.CONFIGURATION_DELETED
    if is_over(token, configuration, now):
        return RevocationReason.LICENSE_EXPIRED
    return None if has_place(token, configuration) else RevocationReason.MANUAL


def _slots_without_token(
    configuration: ConnectionConfiguration,
    alive: tuple[ConnectionToken, ...],
    ended: tuple[ConnectionToken, ...],
    now: datetime,
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the slots that stay vacant, and those that want a token."""
    slots, status = slot_names(configuration), configuration.status
    taken = {token.slot for token in alive}
    if configuration.metadata.deletion_timestamp is not None:
        return tuple(status.vacant_slots), ()
    if license_is_over(configuration, now):
        return tuple(slots), ()
    lapsed = bool(status.vacant_slots) or any(token.reason is RevocationReason.LICENSE_EXPIRED for token in ended)
    if lapsed and not alive:
        return tuple(slots[:-1]), (slots[-1],)  # R35: the renewal issues one new token, for the slot that came last
    vacant = tuple(slot for slot in slots if slot in status.vacant_slots and slot not in taken)
    return vacant, tuple(slot for slot in slots if slot not in taken and slot not in vacant)


def _new_token(
    configuration: ConnectionConfiguration, slot: str, serial: int, *, key_id: str, issuer: str, now: datetime
) -> ConnectionToken:
    grant = _grant(configuration, slot, serial, whole_second(now))
    return ConnectionToken(
        slot=slot,
        token_id=grant.token_id,
        serial=serial,
        key_id=key_id,
        state=ConnectionTokenState.PENDING,
        claims_digest=digest(connection_claims(grant, issuer)),
        issued_time=grant.issued,
        not_after=configuration.spec.license_expires_at,
    )


def _grant(configuration: ConnectionConfiguration, slot: str, serial: int, issued: datetime) -> ConnectionGrant:
    meta = configuration.metadata
    return ConnectionGrant(
        token_id=connection_token_id(meta.uid, slot, serial),
        namespace=meta.namespace,
        name=meta.name,
        uid=meta.uid,
        serial=serial,
        deployment_type=configuration.spec.deployment_type.value,
        issued=issued,
    )


def _has_come(end: datetime | None, now: datetime) -> bool:
    return end is not None and now >= end


def _revoked_at(token: ConnectionToken) -> tuple[float, int]:
    return (token.revoked_time or token.issued_time).timestamp(), token.serial
