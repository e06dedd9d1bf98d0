"""Redeem a pairing token: one compare-and-swap, then everything else (design.md, the exchange protocol).

    (1) verify the JWT            nothing of the API is touched for a forged one
    (2) read the PairingToken     by the names in the verified claims, checked by uid
    (3) swap its status           the only linearisation point; never undone
    (4) create the MasterToken    named from the claim, so that a retry meets its own
    (5) read both anew, sign      what was revoked meanwhile is refused

Model-checked in tests/model; the failure points are those of the steps.
"""

from contextlib import suppress
from dataclasses import dataclass, field

from tallystick.api.master_token import MASTER_TOKENS, MasterToken, MasterTokenSpec
from tallystick.api.meta import API_VERSION, Resource
from tallystick.api.pairing_token import PAIRING_TOKENS, Claim, DeletionPolicy, PairingToken, PairingTokenState
from tallystick.crypto.jws import numeric_date
from tallystick.crypto.tokens import ExpiredTokenError, InvalidTokenError, VerifiedClaims, verify
from tallystick.domain.claims import PAIRING_TYPE
from tallystick.domain.errors import ExchangeRefusedError, NotYetError
from tallystick.domain.names import master_token_name
from tallystick.domain.ownership import owner_reference
from tallystick.domain.redemption import (
    NOT_A_PAIRING_TOKEN,
    expired_text,
    master_token_spec,
    record_may_be_made,
    same_master_token,
)
from tallystick.domain.targets import Wish
from tallystick.domain.validity import why_master_invalid
from tallystick.services.claiming import MOST_TRIES, Claiming
from tallystick.services.freshness import FreshReader, cannot_know
from tallystick.services.issuer import Issuer, facts_of
from tallystick.services.ports import (
    AlreadyExistsError,
    Cluster,
    ConflictError,
    Ids,
    Json,
    RefusedError,
    UnavailableError,
)
from tallystick.services.surroundings import Surroundings


@dataclass(frozen=True, slots=True)
class RedeemRequest:
    """What a client sends, with the key that it has proved."""

    unverified_jwt: str = field(repr=False)
    wish: Wish
    key_thumbprint: str | None = None
    source: str = ""


@dataclass(frozen=True, slots=True)
class Redeemed:
    """What the client gets. `signed_jwt` is the master token itself and is stored nowhere."""

    signed_jwt: str = field(repr=False)
    token_id: str
    scope: tuple[str, ...]
    expires_in: int
    key_bound: bool


class Redemption:
    """The use case, for one replica. It holds no state between requests."""

    def __init__(
        self, cluster: Cluster, reader: FreshReader, issuer: Issuer, around: Surroundings, *, ids: Ids
    ) -> None:
        self._cluster = cluster
        self._reader = reader
        self._issuer = issuer
        self._clock = around.clock
        self._audit = around.audit
        self._events = around.events
        self._claiming = Claiming(cluster, reader, issuer, around, ids=ids)

    async def redeem(self, request: RedeemRequest) -> Redeemed:
        """Exchange a pairing token for its master token, at most once.

        Raises:
            ExchangeRefusedError: no, for good; the text may be shown to the caller.
            NotYetError: it cannot be known now; the same request may be sent again.
        """
        verified = self._verify(request)
        try:
            spent = await self._claiming.claim(verified, request.wish, request.key_thumbprint)
            computed = master_token_spec(
                spent.target, spent.claim, serial=verified.reference.serial, subject=verified.subject
            )
            if record_may_be_made(spent.claim, self._clock.now()):
                await self._ensure_master(spent.token, computed)
            master = await self._read_anew(spent.token, spent.claim, computed)
        except ExchangeRefusedError as refused:
            self._audit_of(verified, request, "refused", reason=refused.code, text=refused.description)
            raise
        signed = self._issuer.sign_master(master)
        self._audit_of(
            verified, request, "ok", master_token_id=spent.claim.master_token_id, claim_id=spent.claim.claim_id
        )
        return Redeemed(
            signed_jwt=signed,
            token_id=spent.claim.master_token_id,
            scope=tuple(spent.claim.scope),
            expires_in=numeric_date(master.spec.expiration_time) - numeric_date(self._clock.now()),
            key_bound=spent.claim.client_key_thumbprint is not None,
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

    async def _ensure_master(self, token: PairingToken, computed: MasterTokenSpec) -> None:
        """(4) Create the MasterToken; a name that is taken is our own earlier attempt, or a forgery (S1)."""
        body = _master_body(token, computed)
        for _ in range(MOST_TRIES):
            try:
                with suppress(AlreadyExistsError):  # step (5) compares what is there with what was computed
                    await self._cluster.create(MASTER_TOKENS, body)
            except UnavailableError as error:
                last = error
                await self._clock.pause(error.retry_after)
            except ConflictError as conflict:
                # A quota of the namespace was being written by another create at the same moment.
                last = UnavailableError(str(conflict))
                await self._clock.pause(last.retry_after)
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
        claimed = await self._read_patiently(PAIRING_TOKENS, meta.namespace, meta.name)
        recorded = await self._read_patiently(MASTER_TOKENS, meta.namespace, master_token_name(computed.token_id))
        if claimed is None or recorded is None:
            raise _revoked(token)
        pairing, master = PairingToken.model_validate(claimed), MasterToken.model_validate(recorded)
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

    async def _read_patiently(self, resource: Resource, namespace: str, name: str) -> Json | None:
        """Read anew, again and again: the token is spent, and a client without a key cannot come back for it."""
        for _ in range(MOST_TRIES - 1):
            try:
                return await self._reader.get_anew(resource, namespace, name)
            except NotYetError as problem:
                await self._clock.pause(problem.retry_after)
        return await self._reader.get_anew(resource, namespace, name)

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
    retained = computed.deletion_policy is DeletionPolicy.RETAIN  # S8: then it outlives its PairingToken
    return {
        "apiVersion": API_VERSION,
        "kind": "MasterToken",
        "metadata": {
            "name": master_token_name(computed.token_id),
            "namespace": token.metadata.namespace,
            "ownerReferences": [] if retained else [owner_reference(PAIRING_TOKENS, token.metadata)],
        },
        "spec": computed.to_json(),
    }


def _revoked(token: PairingToken) -> ExchangeRefusedError:
    return ExchangeRefusedError("invalid_request", f"pairing token {token.status.token_id} has been revoked")
