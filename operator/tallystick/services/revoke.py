"""Revoke by possession (RFC 7009, S10): whoever holds a pairing token or a master token may end it.

A revocation is acknowledged when the swap is stored. It writes status, never spec: the spec is the user's.
"""

from tallystick.api.master_token import MASTER_TOKENS, MasterToken, MasterTokenState
from tallystick.api.pairing_token import PAIRING_TOKENS, PairingToken
from tallystick.crypto.tokens import ExpiredTokenError, InvalidTokenError, VerifiedClaims, unverified_typ, verify
from tallystick.domain.claims import PAIRING_TYPE
from tallystick.domain.conditions import conditions
from tallystick.domain.errors import NotYetError
from tallystick.domain.phrases import master_verdict, verdict_of
from tallystick.domain.revocation import revoking_changes
from tallystick.domain.times import whole_second
from tallystick.domain.validity import Invalid, why_pairing_invalid
from tallystick.services.freshness import FreshReader
from tallystick.services.issuer import Issuer
from tallystick.services.ports import (
    Audit,
    Clock,
    Cluster,
    ConflictError,
    Json,
    NotFoundError,
    RefusedError,
    UnavailableError,
)

MOST_TRIES = 5


class Revocation:
    """The use case, for one replica."""

    def __init__(self, cluster: Cluster, reader: FreshReader, issuer: Issuer, *, clock: Clock, audit: Audit) -> None:
        self._cluster = cluster
        self._reader = reader
        self._issuer = issuer
        self._clock = clock
        self._audit = audit

    async def revoke(self, unverified_jwt: str, *, source: str) -> None:
        """End a token. What is no valid token of ours is ended already (RFC 7009 2.2).

        An expired pairing token still ends the trust that it made, which lives on without it.

        Raises:
            NotYetError: it is not known whether the revocation was stored; ask again.
        """
        verified = self._verified(unverified_jwt)
        if verified is None:
            self._audit.record("revoke", "ignored", source=source)
            return
        pairing = verified.typ == PAIRING_TYPE
        resource = PAIRING_TOKENS if pairing else MASTER_TOKENS
        for _ in range(MOST_TRIES):
            raw = await self._reader.get_anew(resource, verified.reference.namespace, verified.reference.name)
            status = self._revoked_pairing(raw, verified) if pairing else self._revoked_master(raw, verified)
            if raw is None or status is None:
                self._audit_of(verified, source, "already")
                return
            try:
                await self._cluster.replace_status(resource, {**raw, "status": status})
            except (ConflictError, NotFoundError, RefusedError, UnavailableError):
                continue  # the next look tells whether it is done, by us or by somebody else
            self._audit_of(verified, source, "ok")
            return
        raise NotYetError("temporarily_unavailable", "the revocation is not stored yet; ask again")

    def _verified(self, unverified_jwt: str) -> VerifiedClaims | None:
        typ = unverified_typ(unverified_jwt)
        if typ is None:
            return None
        issuer, keyring, now = self._issuer.policy.issuer, self._issuer.keyring, self._clock.now()
        try:
            return verify(unverified_jwt, keyring, typ=typ, issuer=issuer, now=now)
        except ExpiredTokenError as expired:
            return expired.claims if typ == PAIRING_TYPE else None
        except InvalidTokenError:
            return None

    def _revoked_pairing(self, raw: Json | None, verified: VerifiedClaims) -> Json | None:
        """Return the status to write; None where the token is over, or is not of this object."""
        if raw is None:
            return None
        token, reference = PairingToken.model_validate(raw), verified.reference
        problem = why_pairing_invalid(
            token, uid=reference.uid, serial=reference.serial or 0, token_id=verified.token_id
        )
        if problem is not None and problem is not Invalid.EXPIRED:
            return None
        changes = revoking_changes(token, serial=token.spec.serial, now=self._clock.now())
        revoked = token.status.model_copy(update=changes)
        verdict = verdict_of(token.model_copy(update={"status": revoked}))
        said = conditions(
            verdict,
            before=token.status.conditions,
            generation=token.metadata.generation,
            now=self._clock.now(),
        )
        return revoked.model_copy(update={"conditions": said}).to_json()

    def _revoked_master(self, raw: Json | None, verified: VerifiedClaims) -> Json | None:
        if raw is None:
            return None
        token = MasterToken.model_validate(raw)
        if token.metadata.uid != verified.reference.uid or token.status.state is MasterTokenState.REVOKED:
            return None
        said = conditions(
            master_verdict(token, MasterTokenState.REVOKED),
            before=token.status.conditions,
            generation=token.metadata.generation,
            now=self._clock.now(),
        )
        revoked = token.status.model_copy(
            update={
                "state": MasterTokenState.REVOKED,
                "revoked_time": whole_second(self._clock.now()),
                "conditions": said,
            }
        )
        return revoked.to_json()

    def _audit_of(self, verified: VerifiedClaims, source: str, outcome: str) -> None:
        reference = verified.reference
        self._audit.record(
            "revoke",
            outcome,
            kind=reference.kind,
            namespace=reference.namespace,
            name=reference.name,
            uid=reference.uid,
            token_id=verified.token_id,
            source=source,
        )
