"""Revoke by possession (RFC 7009, S10): whoever holds a pairing token or a master token may end it.

A revocation is acknowledged when the swap is stored, and what may outlive the object says so in its own record too.
It writes status, never spec: the spec is the user's.
"""

from tallystick.api.master_token import MASTER_TOKENS, MasterToken, MasterTokenState
from tallystick.api.pairing_token import PAIRING_TOKENS, DeletionPolicy, PairingToken, PairingTokenState
from tallystick.crypto.tokens import VerifiedClaims
from tallystick.domain.claims import CONNECTION_TYPE, PAIRING_TYPE
from tallystick.domain.errors import ExchangeRefusedError, NotYetError
from tallystick.domain.names import master_token_name
from tallystick.domain.revocation import master_status, revoked_pairing_status
from tallystick.domain.validity import Invalid, why_pairing_invalid
from tallystick.services.freshness import FreshReader, cannot_know
from tallystick.services.issuer import Issuer, facts_of
from tallystick.services.ports import (
    Cluster,
    ConflictError,
    Json,
    NotFoundError,
    RefusedError,
    UnavailableError,
)
from tallystick.services.surroundings import Surroundings
from tallystick.services.tombstones import write_tombstone

MOST_TRIES = 5
SHARED = (
    "a connection token is shared by many instances, so none of them may end it: "
    "remove its slot from spec.tokens of its ConnectionConfiguration"
)


class Revocation:
    """The use case, for one replica."""

    def __init__(self, cluster: Cluster, reader: FreshReader, issuer: Issuer, around: Surroundings) -> None:
        self._cluster = cluster
        self._reader = reader
        self._issuer = issuer
        self._clock = around.clock
        self._audit = around.audit

    async def revoke(self, unverified_jwt: str, *, source: str) -> None:
        """End a token. What is no valid token of ours is ended already (RFC 7009 2.2), and so is an expired one.

        A pairing token that was spent and has leaked later must not be a kill switch for the trust it made (S29).

        Raises:
            ExchangeRefusedError: it is a connection token, which belongs to nobody alone (S10).
            NotYetError: it is not known whether the revocation was stored; ask again.
        """
        verified = self._issuer.verified(unverified_jwt, self._clock.now())
        if verified is None:
            self._audit.record("revoke", "ignored", source=source)
            return
        if verified.typ == CONNECTION_TYPE:
            self._audit.record("revoke", "refused", **facts_of(verified), reason="Shared", source=source)
            raise ExchangeRefusedError("unsupported_token_type", SHARED)
        resource = PAIRING_TOKENS if verified.typ == PAIRING_TYPE else MASTER_TOKENS
        for _ in range(MOST_TRIES):
            raw = await self._reader.get_anew(resource, verified.reference.namespace, verified.reference.name)
            status = await self._revoked(raw, verified) if raw is not None else None
            if raw is None or status is None:
                self._audit.record("revoke", "already", **facts_of(verified), source=source)
                return
            try:
                await self._cluster.replace_status(resource, {**raw, "status": status})
            except UnavailableError as error:
                await self._clock.pause(error.retry_after)
                continue
            except (ConflictError, NotFoundError, RefusedError):
                continue  # the next look tells whether it is done, by us or by somebody else
            if resource == PAIRING_TOKENS:
                # A redemption that had claimed may have made its record meanwhile. From here on none gets an answer.
                await self._end_what_is_retained(PairingToken.model_validate(raw))
            self._audit.record("revoke", "ok", **facts_of(verified), source=source)
            return
        raise NotYetError("temporarily_unavailable", "the revocation is not stored yet; ask again")

    async def _revoked(self, raw: Json, verified: VerifiedClaims) -> Json | None:
        """Return the status to write; None where the token is over, or is not of this object."""
        if verified.typ == PAIRING_TYPE:
            return await self._revoked_pairing(PairingToken.model_validate(raw), verified)
        token = MasterToken.model_validate(raw)
        if token.metadata.uid != verified.reference.uid or token.status.state is MasterTokenState.REVOKED:
            return None
        return master_status(token, MasterTokenState.REVOKED, self._clock.now()).to_json()

    async def _revoked_pairing(self, token: PairingToken, verified: VerifiedClaims) -> Json | None:
        reference = verified.reference
        problem = why_pairing_invalid(
            token, uid=reference.uid, serial=reference.serial or 0, token_id=verified.token_id
        )
        if problem is Invalid.REVOKED and _is_on_record(token, reference.serial):
            await self._end_what_is_retained(token)  # whoever has revoked it may have died before this
        if problem is not None and problem is not Invalid.EXPIRED:
            return None
        await self._end_what_is_retained(token)
        return revoked_pairing_status(token, self._clock.now()).to_json()

    async def _end_what_is_retained(self, token: PairingToken) -> None:
        """A master token that may outlive its PairingToken is ended in its own record, before the answer."""
        claim = token.status.claim
        if token.spec.master_token.deletion_policy is not DeletionPolicy.RETAIN or claim is None:
            return
        name = master_token_name(claim.master_token_id)
        try:
            await write_tombstone(self._cluster, self._clock, token.metadata.namespace, name)
        except UnavailableError as error:
            raise cannot_know(error) from error


def _is_on_record(token: PairingToken, serial: int | None) -> bool:
    return token.status.state is PairingTokenState.REVOKED and token.status.serial == serial
