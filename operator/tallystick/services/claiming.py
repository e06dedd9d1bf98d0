"""Spend a pairing token: read it, decide, and swap its status, which is the only linearisation point.

    read --> decide --> swap --> spent
      ^                  |
      +-- conflict, or an answer that was lost

A swap is never undone. The claim in it stays the same in every try, so that our own is recognised.
"""

from dataclasses import dataclass

from tallystick.api.pairing_token import PAIRING_TOKENS, Claim, PairingToken
from tallystick.crypto.jws import numeric_date
from tallystick.crypto.tokens import VerifiedClaims
from tallystick.domain.errors import ExchangeRefusedError, NotYetError
from tallystick.domain.redemption import (
    NOT_A_PAIRING_TOKEN,
    Decision,
    Presented,
    Redeem,
    Refuse,
    Resume,
    Wait,
    claimed_status,
    decide,
)
from tallystick.domain.targets import Target, Wish, why_off_target
from tallystick.domain.times import whole_second
from tallystick.services.freshness import FreshReader
from tallystick.services.issuer import Issuer
from tallystick.services.ports import (
    Cluster,
    ConflictError,
    Ids,
    Json,
    NotFoundError,
    RefusedError,
    UnavailableError,
)
from tallystick.services.surroundings import Surroundings

# Another replica's swap, the controller's record of an edit, one lost answer: more is an outage.
MOST_TRIES = 4


@dataclass(frozen=True, slots=True)
class Spent:
    """A pairing token that was spent by this client, now or earlier, and what it was spent for."""

    token: PairingToken
    claim: Claim
    target: Target


class Claiming:
    """Steps 2 and 3 of a redemption, for one replica."""

    def __init__(
        self, cluster: Cluster, reader: FreshReader, issuer: Issuer, around: Surroundings, *, ids: Ids
    ) -> None:
        self._cluster = cluster
        self._reader = reader
        self._issuer = issuer
        self._clock = around.clock
        self._server_clock = around.server_clock
        self._ids = ids
        self._events = around.events

    async def claim(self, verified: VerifiedClaims, wish: Wish, key_thumbprint: str | None) -> Spent:
        """Spend the token of a verified pairing JWT, or find the claim by which this client has spent it.

        Raises:
            ExchangeRefusedError: no, for good; the text may be shown to the caller.
            NotYetError: it cannot be known now; the same request may be sent again.
        """
        where = (PAIRING_TOKENS, verified.reference.namespace, verified.reference.name)
        raw = await self._reader.get(*where, uid=verified.reference.uid, serial=verified.reference.serial or 0)
        claim: Claim | None = None
        for _ in range(MOST_TRIES):
            token = _parsed(raw)
            decision = self._decide(token, verified, key_thumbprint, claim)
            if isinstance(decision, Resume):
                return Spent(token, decision.claim, self._target(token, verified))
            if not isinstance(decision, Redeem):
                raise self._no(decision, raw)
            # The same claim in every try: a swap whose answer was lost is recognised, and never doubled.
            target = self._target(token, verified)
            claim = claim or self._new_claim(wish, target, key_thumbprint)
            stored = await self._swap(token, raw or {}, claim)
            if stored is not None:
                return Spent(_parsed(stored), claim, target)
            raw = await self._reader.get_anew(*where)
        token = _parsed(raw)
        if claim is not None and token.status.claim == claim:
            return Spent(token, claim, self._target(token, verified))
        raise NotYetError("temporarily_unavailable", "the token is being written by others; ask again")

    def _decide(
        self, token: PairingToken, verified: VerifiedClaims, key_thumbprint: str | None, claim: Claim | None
    ) -> Decision:
        self._server_clock.check()
        now = self._clock.now()
        presented = Presented(
            token_id=verified.token_id,
            uid=verified.reference.uid,
            serial=verified.reference.serial or 0,
            expires=numeric_date(verified.expiration_time or now),
            key_thumbprint=key_thumbprint,
        )
        return decide(token, presented, now=now, own_claim=claim.claim_id if claim else None)

    def _no(self, decision: Decision, raw: Json | None) -> Exception:
        if isinstance(decision, Wait):
            return NotYetError("temporarily_unavailable", "the pairing token is being recorded; ask again")
        refusal = decision if isinstance(decision, Refuse) else Refuse(NOT_A_PAIRING_TOKEN)
        if refusal.replay and raw is not None:
            # S29: whoever holds a spent token may ring the bell, but not cut the trust.
            self._events.warn(raw, "ReplayDetected", "a pairing token that was used already was presented again")
        outcome = "replay" if refusal.replay else ""
        return ExchangeRefusedError("invalid_request", refusal.description, outcome=outcome)

    def _target(self, token: PairingToken, verified: VerifiedClaims) -> Target:
        policy = self._issuer.policy
        use_case = policy.use_cases.get(token.spec.use_case)
        if use_case is None:
            text = f"use case {token.spec.use_case} is no longer offered by this service"
            raise ExchangeRefusedError("invalid_target", text)
        return Target(token, use_case, verified.claims["ext"]["base_url"], policy.external_urls)

    def _new_claim(self, wish: Wish, target: Target, key_thumbprint: str | None) -> Claim:
        problem = why_off_target(wish, target)
        if problem is not None:
            raise ExchangeRefusedError(problem.code, problem.description)
        now = self._clock.now()
        return Claim(
            claim_id=self._ids.new(),
            client_key_thumbprint=key_thumbprint,
            client_id=wish.client_id,
            master_token_id=self._ids.new(),
            key_id=self._issuer.keyring.signing_key(now).key_id,
            scope=list(wish.scope or target.use_case.scope),
            time=whole_second(now),
        )

    async def _swap(self, token: PairingToken, raw: Json, claim: Claim) -> Json | None:
        """Try the swap. None: it was not done, or nobody knows; the object has to be read anew."""
        body = {**raw, "status": claimed_status(token, claim).to_json()}
        try:
            return await self._cluster.replace_status(PAIRING_TOKENS, body)
        except (ConflictError, NotFoundError):
            return None
        except UnavailableError as error:
            await self._clock.pause(error.retry_after)
            return None
        except RefusedError as refused:
            # CEL has the last word: the object was spent, revoked or raised in a way that this claim may not follow.
            raise NotYetError("temporarily_unavailable", "the token cannot be claimed now; ask again") from refused


def _parsed(raw: Json | None) -> PairingToken:
    if raw is None:
        raise ExchangeRefusedError("invalid_request", NOT_A_PAIRING_TOKEN)
    return PairingToken.model_validate(raw)
