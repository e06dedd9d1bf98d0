"""Redeem a pairing token: one compare-and-swap, then everything else (design.md, the exchange protocol).

    (1) verify the JWT            nothing of the API is touched for a forged one
    (2) read the PairingToken     by the names in the verified claims, checked by uid
    (3) swap its status           the only linearisation point; never undone
    (4) create the MasterToken    named from the claim, so that a retry meets its own
    (5) read both anew, sign      what was revoked meanwhile is refused

Model-checked in tests/model; the failure points are those of the steps.
"""

from contextlib import suppress
from dataclasses import dataclass

from tallystick.api.master_token import MASTER_TOKENS, MasterToken, MasterTokenSpec
from tallystick.api.meta import API_VERSION
from tallystick.api.pairing_token import PAIRING_TOKENS, Claim, PairingToken, PairingTokenState
from tallystick.crypto.tokens import ExpiredTokenError, InvalidTokenError, VerifiedClaims, verify
from tallystick.domain.claims import PAIRING_TYPE
from tallystick.domain.errors import ExchangeRefusedError, NotYetError
from tallystick.domain.names import master_token_name
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
    expired_text,
    master_token_spec,
    record_may_be_made,
    same_master_token,
)
from tallystick.domain.targets import Target, Wish, why_off_target
from tallystick.domain.times import numeric_date, whole_second
from tallystick.domain.validity import why_master_invalid
from tallystick.services.freshness import FreshReader, ServerClock, cannot_know
from tallystick.services.issuer import Issuer, facts_of
from tallystick.services.ports import (
    AlreadyExistsError,
    Audit,
    Clock,
    Cluster,
    ConflictError,
    Events,
    Ids,
    Json,
    NotFoundError,
    RefusedError,
    UnavailableError,
)

# Another replica's swap, the controller's record of an edit, one lost answer: more is an outage.
MOST_TRIES = 4


@dataclass(frozen=True, slots=True)
class RedeemRequest:
    """What a client sends, with the key that it has proved."""

    unverified_jwt: str
    wish: Wish
    key_thumbprint: str | None = None
    source: str = ""


@dataclass(frozen=True, slots=True)
class Redeemed:
    """What the client gets. `signed_jwt` is the master token itself and is stored nowhere."""

    signed_jwt: str
    token_id: str
    scope: tuple[str, ...]
    expires_in: int
    key_bound: bool


class Redemption:
    """The use case, for one replica. It holds no state between requests."""

    def __init__(
        self,
        cluster: Cluster,
        reader: FreshReader,
        issuer: Issuer,
        *,
        clock: Clock,
        server_clock: ServerClock,
        ids: Ids,
        audit: Audit,
        events: Events,
    ) -> None:
        self._cluster = cluster
        self._reader = reader
        self._issuer = issuer
        self._clock = clock
        self._server_clock = server_clock
        self._ids = ids
        self._audit = audit
        self._events = events

    async def redeem(self, request: RedeemRequest) -> Redeemed:
        """Exchange a pairing token for its master token, at most once.

        Raises:
            ExchangeRefusedError: no, for good; the text may be shown to the caller.
            NotYetError: it cannot be known now; the same request may be sent again.
        """
        verified = self._verify(request)
        try:
            token, claim = await self._claim(verified, request)
            computed = master_token_spec(
                self._target(token, verified), claim, serial=verified.reference.serial, subject=verified.subject
            )
            if record_may_be_made(claim, self._clock.now()):
                await self._ensure_master(token, computed)
            master = await self._read_anew(token, claim, computed)
        except ExchangeRefusedError as refused:
            self._audit_of(verified, request, "refused", reason=refused.code, text=refused.description)
            raise
        signed = self._issuer.sign_master(master)
        self._audit_of(verified, request, "ok", master_token_id=claim.master_token_id, claim_id=claim.claim_id)
        return Redeemed(
            signed_jwt=signed,
            token_id=claim.master_token_id,
            scope=tuple(claim.scope),
            expires_in=numeric_date(master.spec.expiration_time) - numeric_date(self._clock.now()),
            key_bound=claim.client_key_thumbprint is not None,
        )

    def _verify(self, request: RedeemRequest) -> VerifiedClaims:
        """(1) Everything that is wrong before the signature verified has one text."""
        issuer = self._issuer.policy.issuer
        try:
            return verify(
                request.unverified_jwt, self._issuer.keyring, typ=PAIRING_TYPE, issuer=issuer, now=self._clock.now()
            )
        except ExpiredTokenError as expired:
            self._audit_of(expired.claims, request, "refused", reason="expired")
            seconds = numeric_date(expired.claims.expiration_time or self._clock.now())
            raise ExchangeRefusedError("invalid_request", expired_text(expired.claims.token_id, seconds)) from None
        except InvalidTokenError as invalid:
            self._audit.record("redeem", "refused", reason=invalid.reason, source=request.source)
            raise ExchangeRefusedError("invalid_request", NOT_A_PAIRING_TOKEN) from None

    async def _claim(self, verified: VerifiedClaims, request: RedeemRequest) -> tuple[PairingToken, Claim]:
        """(2) and (3): return the object as spent, and the claim that spent it: ours, now or earlier."""
        where = (PAIRING_TOKENS, verified.reference.namespace, verified.reference.name)
        raw = await self._reader.get(*where, uid=verified.reference.uid, serial=verified.reference.serial or 0)
        claim: Claim | None = None
        for _ in range(MOST_TRIES):
            token = self._parse(raw)
            decision = self._decide(token, verified, request, claim)
            if isinstance(decision, Resume):
                return token, decision.claim
            if not isinstance(decision, Redeem):
                raise self._no(decision, raw)
            # The same claim in every try: a swap whose answer was lost is recognised, and never doubled.
            claim = claim or self._new_claim(request, self._checked_target(token, verified, request))
            stored = await self._swap(token, raw or {}, claim)
            if stored is not None:
                return self._parse(stored), claim
            raw = await self._reader.get_anew(*where)
        token = self._parse(raw)
        if claim is not None and token.status.claim == claim:
            return token, claim
        raise NotYetError("temporarily_unavailable", "the token is being written by others; ask again")

    def _decide(
        self, token: PairingToken, verified: VerifiedClaims, request: RedeemRequest, claim: Claim | None
    ) -> Decision:
        self._server_clock.check()
        now = self._clock.now()
        presented = Presented(
            token_id=verified.token_id,
            uid=verified.reference.uid,
            serial=verified.reference.serial or 0,
            expires=numeric_date(verified.expiration_time or now),
            key_thumbprint=request.key_thumbprint,
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

    def _checked_target(self, token: PairingToken, verified: VerifiedClaims, request: RedeemRequest) -> Target:
        target = self._target(token, verified)
        problem = why_off_target(request.wish, target)
        if problem is not None:
            raise ExchangeRefusedError(problem.code, problem.description)
        return target

    def _new_claim(self, request: RedeemRequest, target: Target) -> Claim:
        now = self._clock.now()
        return Claim(
            claim_id=self._ids.new(),
            client_key_thumbprint=request.key_thumbprint,
            client_id=request.wish.client_id,
            master_token_id=self._ids.new(),
            key_id=self._issuer.keyring.signing_key(now).key_id,
            scope=list(request.wish.scope or target.use_case.scope),
            time=whole_second(now),
        )

    async def _swap(self, token: PairingToken, raw: Json, claim: Claim) -> Json | None:
        """Try the swap. None: it was not done, or nobody knows; the object has to be read anew."""
        body = {**raw, "status": claimed_status(token, claim).to_json()}
        try:
            return await self._cluster.replace_status(PAIRING_TOKENS, body)
        except (ConflictError, NotFoundError, UnavailableError):
            return None
        except RefusedError as refused:
            # CEL has the last word: the object was spent, revoked or raised in a way that this claim may not follow.
            raise NotYetError("temporarily_unavailable", "the token cannot be claimed now; ask again") from refused

    async def _ensure_master(self, token: PairingToken, computed: MasterTokenSpec) -> None:
        """(4) Create the MasterToken; a name that is taken is our own earlier attempt, or a forgery (S1)."""
        body = _master_body(token, computed)
        for _ in range(MOST_TRIES):
            try:
                with suppress(AlreadyExistsError):  # step (5) compares what is there with what was computed
                    await self._cluster.create(MASTER_TOKENS, body)
            except UnavailableError as error:
                last = error
            except RefusedError as refused:
                # For example a namespace that is going: its objects end with it.
                raise NotYetError(
                    "temporarily_unavailable", "the master token cannot be recorded now; ask again"
                ) from refused
            else:
                return
        raise cannot_know(last)

    async def _read_anew(self, token: PairingToken, claim: Claim, computed: MasterTokenSpec) -> MasterToken:
        """(5) Both reads are sent after the create has answered; neither is shared."""
        meta = token.metadata
        spent = await self._reader.get_anew(PAIRING_TOKENS, meta.namespace, meta.name)
        recorded = await self._reader.get_anew(MASTER_TOKENS, meta.namespace, master_token_name(computed.token_id))
        if spent is None or recorded is None:
            raise _revoked(token)
        pairing, master = self._parse(spent), MasterToken.model_validate(recorded)
        if not same_master_token(master, computed):
            self._events.warn(recorded, "MasterTokenConflict", "the object differs from what the claim yields")
            raise ExchangeRefusedError("invalid_request", NOT_A_PAIRING_TOKEN)
        problem = why_master_invalid(
            master, pairing, uid=master.metadata.uid, token_id=computed.token_id, now=self._clock.now()
        )
        mine = pairing.status.claim is not None and pairing.status.claim.claim_id == claim.claim_id
        used = pairing.status.state is PairingTokenState.USED
        if problem is not None or not mine or not used or pairing.metadata.deletion_timestamp is not None:
            raise _revoked(token)
        return master

    def _parse(self, raw: Json | None) -> PairingToken:
        if raw is None:
            raise ExchangeRefusedError("invalid_request", NOT_A_PAIRING_TOKEN)
        return PairingToken.model_validate(raw)

    def _audit_of(self, verified: VerifiedClaims, request: RedeemRequest, outcome: str, **facts: str | None) -> None:
        self._audit.record(
            "redeem",
            outcome,
            **facts_of(verified),
            client_id=request.wish.client_id,
            key_thumbprint=request.key_thumbprint,
            source=request.source,
            **facts,
        )


def _master_body(token: PairingToken, computed: MasterTokenSpec) -> Json:
    meta = token.metadata
    owner = {
        "apiVersion": API_VERSION,
        "kind": "PairingToken",
        "name": meta.name,
        "uid": meta.uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }
    retained = computed.deletion_policy.value == "Retain"  # S8: then the master token outlives its PairingToken
    return {
        "apiVersion": API_VERSION,
        "kind": "MasterToken",
        "metadata": {
            "name": master_token_name(computed.token_id),
            "namespace": meta.namespace,
            "ownerReferences": [] if retained else [owner],
        },
        "spec": computed.to_json(),
    }


def _revoked(token: PairingToken) -> ExchangeRefusedError:
    return ExchangeRefusedError("invalid_request", f"pairing token {token.status.token_id} has been revoked")
