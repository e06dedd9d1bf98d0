"""Reconcile one PairingToken: look, ask the domain for the next step, perform it by conditional writes.

An issue costs two writes, the Secret and the status, in that order: a token that is on record exists. Between
them a crash leaves a Secret of our making, which the next attempt adopts, because the `jti` is derived.
"""

from collections.abc import Mapping
from typing import Any

from tallystick.api.master_token import MASTER_TOKENS
from tallystick.api.pairing_token import PAIRING_TOKENS, DeletionPolicy, PairingToken, PairingTokenState
from tallystick.crypto.tokens import UnsignableClaimsError
from tallystick.domain import issuance
from tallystick.domain.claims import PairingGrant
from tallystick.domain.conditions import Verdict, conditions
from tallystick.domain.errors import NotYetError
from tallystick.domain.grants import Unissuable, grant
from tallystick.domain.held_secrets import owner_uid
from tallystick.domain.names import master_token_name, pairing_secret_name
from tallystick.domain.phrases import verdict_of
from tallystick.domain.revocation import revoking_changes
from tallystick.services.healings import Healings
from tallystick.services.issuer import Issuer
from tallystick.services.outcome import Outcome
from tallystick.services.pairing_secrets import PairingSecrets
from tallystick.services.ports import (
    Cluster,
    Json,
    View,
)
from tallystick.services.requester import Requester
from tallystick.services.surroundings import Surroundings
from tallystick.services.tombstones import write_tombstone

# An object needs at most: revoke or issue, remove the Secret, rest.
MOST_STEPS = 4
RETRY_CONFLICT_SECONDS = 10.0
RETRY_UNPROTECTED_SECONDS = 5.0


class PairingTokens:
    """The reconciler of PairingTokens. Run by the leader alone, for one object at a time."""

    def __init__(
        self, cluster: Cluster, view: View, issuer: Issuer, requester: Requester, around: Surroundings
    ) -> None:
        self._cluster = cluster
        self._view = view
        self._issuer = issuer
        self._requester = requester
        self._clock = around.clock
        self._server_clock = around.server_clock
        self._audit = around.audit
        self._events = around.events
        self._secrets = PairingSecrets(cluster, view, issuer, around.clock)
        self._healings = Healings(around.clock)

    async def reconcile(self, namespace: str, name: str) -> Outcome:
        """Bring one object to rest. Raises ClusterError or NotYetError where a later attempt may do better."""
        for _ in range(MOST_STEPS):
            raw = self._view.get(PAIRING_TOKENS, namespace, name)
            if raw is None:
                return Outcome()
            token = PairingToken.model_validate(raw)
            outcome = await self._take(issuance.next_step(self._seen(token)), token, raw)
            if outcome is not None:
                return outcome
        return Outcome(retry_after=1.0)

    def _seen(self, token: PairingToken) -> issuance.Seen:
        return issuance.Seen(
            token=token,
            secret=self._secrets.seen(token),
            expected_digest=self._secrets.expected_digest(token),
            now=self._clock.now(),
        )

    async def _take(self, step: issuance.Step, token: PairingToken, raw: Json) -> Outcome | None:
        """Perform a step. None asks for another look at once."""
        match step:
            case issuance.Issue():
                return await self._issue(token, raw)
            case issuance.Revoke():
                return await self._revoke(token, raw)
            case issuance.Expire():
                return await self._expire(token, raw)
            case issuance.Heal():
                return await self._heal(token)
            case issuance.RemoveSecret(secret):
                await self._secrets.remove(secret)
                return None
            case issuance.Rest():
                return await self._rest(token, raw)

    async def _issue(self, token: PairingToken, raw: Json) -> Outcome | None:
        if self._requester.may_be_an_outage:
            # Nothing is minted; but to say why would be a guess, and a write for each object that waits.
            return Outcome(retry_after=RETRY_UNPROTECTED_SECONDS)
        if not self._requester.protected:
            verdict = Verdict(ready=False, reconciling=True, reason=Requester.REASON, message=Requester.MESSAGE)
            await self._record(token, raw, verdict, _while_not_issued(token))
            return Outcome(retry_after=RETRY_UNPROTECTED_SECONDS)
        try:
            self._server_clock.check()
        except NotYetError as problem:
            # A token with wrong times would be dead, or alive for too long, on every verifier.
            verdict = Verdict(ready=False, reconciling=True, reason="ClockUnsafe", message=problem.message)
            await self._record(token, raw, verdict, _while_not_issued(token))
            return Outcome(retry_after=problem.retry_after)
        now = self._clock.now()
        planned = grant(token, self._issuer.policy, now=now, key_id=self._issuer.keyring.signing_key(now).key_id)
        if isinstance(planned, Unissuable):
            return await self._refuse(token, raw, planned)
        try:
            stored = await self._secrets.issue(token, planned)
        except UnsignableClaimsError as error:
            return await self._refuse(token, raw, Unissuable("UnsignableClaims", f"no token can be signed: {error}"))
        if stored is None:
            return await self._secret_is_foreign(token, raw)
        self._audit_of("issue", token, token_id=stored.token_id, subject=stored.subject, kid=stored.key_id)
        await self._record_issue(token, raw, stored)
        # Another look would only find it in order; but what was taken over may have expired meanwhile.
        return Outcome(wake_at=stored.expires) if now < stored.expires else None

    async def _record_issue(self, token: PairingToken, raw: Json, issued: PairingGrant) -> None:
        changes = {
            "state": PairingTokenState.ACTIVE,
            "serial": issued.serial,
            "token_id": issued.token_id,
            "key_id": issued.key_id,
            "subject": issued.subject,
            "claims_digest": self._issuer.claims_digest(issued),
            "issued_time": issued.issued,
            "expiration_time": issued.expires,
            "expires_in": issued.expires_in,
            "used_time": None,
            "revoked_time": None,
            "claim": None,
        }
        await self._record(token, raw, None, changes)

    async def _refuse(self, token: PairingToken, raw: Json, problem: Unissuable) -> Outcome:
        verdict = Verdict(ready=False, stalled=True, reason=problem.reason, message=problem.message)
        if await self._record(token, raw, verdict, _while_not_issued(token)):
            self._audit_of("refuse", token, outcome="stalled", reason=problem.reason)
            self._events.warn(raw, problem.reason, problem.message)
        # The token of the serial before this one ended with the edit; its Secret must not lie about.
        held = self._secrets.seen(token)
        if held is not None and held.owner_uid == token.metadata.uid:
            await self._secrets.remove(held)
        return Outcome()

    async def _revoke(self, token: PairingToken, raw: Json) -> Outcome | None:
        if token.spec.master_token.deletion_policy is DeletionPolicy.RETAIN:
            # They may outlive this object, so their own records say it first (S8).
            for namespace, name in self._retained(token):
                await write_tombstone(self._cluster, self._clock, namespace, name)
        changes = revoking_changes(token, serial=token.spec.serial, now=self._clock.now())
        await self._record(token, raw, None, changes)
        self._audit_of("revoke", token, token_id=token.status.token_id, reason="spec.revoked")
        self._warn_of(token)
        return None

    def _retained(self, token: PairingToken) -> set[tuple[str, str]]:
        """Return the MasterTokens that were seen, and the claimed one, which the watch may not have seen yet."""
        claim, meta = token.status.claim, token.metadata
        claimed = {(meta.namespace, master_token_name(claim.master_token_id))} if claim else set()
        return claimed.union(self._view.depending_on(MASTER_TOKENS, meta.uid))

    async def _expire(self, token: PairingToken, raw: Json) -> Outcome | None:
        await self._record(token, raw, None, {"state": PairingTokenState.EXPIRED})
        self._audit_of("expire", token, token_id=token.status.token_id)
        self._warn_of(token)
        return None

    async def _heal(self, token: PairingToken) -> Outcome | None:
        """Put the Secret back, after another look at its owner: what a watch has seen may be over (S22)."""
        pause = self._healings.pause(token.metadata.uid)
        if pause > 0:
            return Outcome(retry_after=pause, wake_at=token.status.expiration_time)
        raw = await self._cluster.get(PAIRING_TOKENS, token.metadata.namespace, token.metadata.name)
        self._view.remember(PAIRING_TOKENS, raw)
        fresh = PairingToken.model_validate(raw)
        if not isinstance(issuance.next_step(self._seen(fresh)), issuance.Heal):
            return None
        held = await self._secrets.held(fresh)
        if held is not None and owner_uid(held) != fresh.metadata.uid:
            return await self._secret_is_foreign(fresh, raw)
        wanted = self._issuer.secret_as_issued(fresh)
        if wanted is None:
            return await self._cannot_heal(fresh, raw, held)
        self._audit_of("heal", fresh, token_id=fresh.status.token_id)
        self._healings.note(fresh.metadata.uid)
        await self._secrets.restore(wanted, held)
        return None

    async def _cannot_heal(self, token: PairingToken, raw: Json, held: Json | None) -> Outcome:
        if held is not None and self._issuer.holds_what_was_issued(token, held, self._clock.now()):
            return await self._rest(token, raw)
        message = (
            "the Secret is gone or changed, and the same token cannot be signed again because the operator's settings "
            f"or keys have changed; raise spec.serial to {token.spec.serial + 1} to issue a new one"
        )
        return await self._stall(token, raw, "ClaimsChanged", message)

    async def _secret_is_foreign(self, token: PairingToken, raw: Json) -> Outcome:
        meta = token.metadata
        message = (
            f"Secret {meta.namespace}/{pairing_secret_name(token)} exists and does not belong to PairingToken "
            f"{meta.namespace}/{meta.name}; it is left alone: remove it, "
            "or make a PairingToken with another spec.secretName"
        )
        return await self._stall(token, raw, "SecretConflict", message)

    async def _stall(self, token: PairingToken, raw: Json, reason: str, message: str) -> Outcome:
        verdict = Verdict(ready=False, stalled=True, reason=reason, message=message)
        if await self._record(token, raw, verdict, _while_not_issued(token)):
            self._audit_of("refuse", token, outcome="stalled", reason=reason)
            self._events.warn(raw, reason, message)
        # What is in the way carries no label of ours, so no watch tells when it is gone.
        return Outcome(retry_after=RETRY_CONFLICT_SECONDS, wake_at=self._until_expiry(token).wake_at)

    async def _rest(self, token: PairingToken, raw: Json) -> Outcome:
        if token.metadata.deletion_timestamp is None:
            await self._record(token, raw, None)
        return self._until_expiry(token)

    def _until_expiry(self, token: PairingToken) -> Outcome:
        # The expiry of a serial that is over is no time to wake at: it may lie in the past, for ever.
        active = token.status.state is PairingTokenState.ACTIVE and token.status.serial == token.spec.serial
        return Outcome(wake_at=token.status.expiration_time if active else None)

    async def _record(
        self, token: PairingToken, raw: Json, verdict: Verdict | None, changes: Mapping[str, Any] | None = None
    ) -> bool:
        """Write the status if it says something else than it should, and return whether it did.

        Args:
            verdict: what to say; None says what the state says by itself.
        """
        changed = token.model_copy(update={"status": token.status.model_copy(update=dict(changes or {}))})
        generation = token.metadata.generation
        said = conditions(
            verdict or verdict_of(changed),
            before=token.status.conditions,
            generation=generation,
            now=self._clock.now(),
        )
        status = changed.status.model_copy(update={"conditions": said, "observed_generation": generation})
        if status == token.status:
            return False
        body = {**raw, "status": status.to_json()}
        self._view.remember(PAIRING_TOKENS, await self._cluster.replace_status(PAIRING_TOKENS, body))
        return True

    def _warn_of(self, token: PairingToken) -> None:
        """Tell in an event what the object says of itself now."""
        raw = self._view.get(PAIRING_TOKENS, token.metadata.namespace, token.metadata.name)
        if raw is not None:
            verdict = verdict_of(PairingToken.model_validate(raw))
            self._events.warn(raw, verdict.reason, verdict.message)

    def _audit_of(self, action: str, token: PairingToken, *, outcome: str = "ok", **facts: str | None) -> None:
        meta = token.metadata
        self._audit.record(
            action,
            outcome,
            kind="PairingToken",
            namespace=meta.namespace,
            name=meta.name,
            uid=meta.uid,
            serial=token.spec.serial,
            **facts,
        )


def _while_not_issued(token: PairingToken) -> dict[str, Any]:
    """Return the state of an object whose present serial has no token; what was spent before stays on record."""
    on_record = token.status.serial == token.spec.serial or token.status.state in issuance.SPENT
    return {} if on_record else {"state": PairingTokenState.PENDING}
