"""Decide what may happen to a pairing token that somebody presents (design.md, the exchange protocol).

Every function here is pure. The order of the rules is the order of what the caller is told.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from tallystick.api.master_token import MasterToken, MasterTokenSpec, PairingTokenRef
from tallystick.api.pairing_token import Claim, PairingToken, PairingTokenState, PairingTokenStatus
from tallystick.domain.conditions import conditions
from tallystick.domain.durations import parse_duration
from tallystick.domain.phrases import verdict_of
from tallystick.domain.targets import Target
from tallystick.domain.times import from_numeric_date, rfc3339
from tallystick.domain.validity import Invalid, why_pairing_invalid

# Also as far as two replicas' clocks may be apart, and their crash and restart may take.
RECORD_WITHIN = timedelta(seconds=60)
NOT_A_PAIRING_TOKEN = "subject_token is not a valid pairing token"  # noqa: S105 - a text


@dataclass(frozen=True, slots=True)
class Presented:
    """What the verified pairing token says, and who presents it.

    Args:
        expires: seconds since the epoch, from the verified `exp`.
        key_thumbprint: RFC 7638 thumbprint of the key that the client proved (RFC 9449), None without a proof.
    """

    token_id: str
    uid: str
    serial: int
    expires: int
    key_thumbprint: str | None


@dataclass(frozen=True, slots=True)
class Refuse:
    """No, for good. `replay` marks a second use."""

    description: str
    replay: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    """The token is being issued; ask again in a second."""


@dataclass(frozen=True, slots=True)
class Redeem:
    """The token can be claimed now."""


@dataclass(frozen=True, slots=True)
class Resume:
    """The token was claimed by this very client; the claim says what it gets."""

    claim: Claim


Decision = Refuse | Wait | Redeem | Resume


def decide(token: PairingToken, presented: Presented, *, now: datetime, own_claim: str | None = None) -> Decision:
    """Decide on a presented token, given the object as it was just read.

    Args:
        token: the object that the verified token names.
        presented: what was presented.
        now: the time of day.
        own_claim: the id of the claim that this request has tried to write, if it has.
    """
    problem = why_pairing_invalid(token, uid=presented.uid, serial=presented.serial, token_id=presented.token_id)
    if problem is not None:
        return _refusal(problem, presented)
    if now.timestamp() >= presented.expires:  # leeway 0 at the issuer's own exchange
        return _refusal(Invalid.EXPIRED, presented)
    if _not_recorded_yet(token):
        return Wait()
    if token.status.state is PairingTokenState.ACTIVE:
        return Redeem()
    claim = token.status.claim
    if claim is not None and _same_client(claim, presented, own_claim):
        return Resume(claim)
    return Refuse(f"pairing token {presented.token_id} has already been used", replay=True)


def _not_recorded_yet(token: PairingToken) -> bool:
    """The Secret is written before the status; a holder can be faster than the second write."""
    status = token.status
    return status.serial is None or status.serial < token.spec.serial or status.state is PairingTokenState.PENDING


def _same_client(claim: Claim, presented: Presented, own_claim: str | None) -> bool:
    if own_claim is not None and claim.claim_id == own_claim:
        return True  # our own swap, whose answer was lost
    # Without a key nobody can prove to be the one who asked before: at most once (reliability.md section 3).
    return claim.client_key_thumbprint is not None and claim.client_key_thumbprint == presented.key_thumbprint


def _refusal(problem: Invalid, presented: Presented) -> Refuse:
    texts = {
        Invalid.UNKNOWN: NOT_A_PAIRING_TOKEN,
        Invalid.REVOKED: f"pairing token {presented.token_id} has been revoked",
        Invalid.EXPIRED: expired_text(presented.token_id, presented.expires),
    }
    return Refuse(texts[problem])


def expired_text(token_id: str, expires: int) -> str:
    """Say that a pairing token is over."""
    return f"pairing token {token_id} expired at {rfc3339(from_numeric_date(expires))}"


def claimed_status(token: PairingToken, claim: Claim) -> PairingTokenStatus:
    """Return the status that spends the token: state, claim and conditions in one write."""
    used = token.model_copy(
        update={
            "status": token.status.model_copy(
                update={"state": PairingTokenState.USED, "claim": claim, "used_time": claim.time}
            )
        }
    )
    said = conditions(
        verdict_of(used), before=token.status.conditions, generation=token.metadata.generation, now=claim.time
    )
    return used.status.model_copy(update={"conditions": said, "observed_generation": token.metadata.generation})


def master_token_spec(target: Target, claim: Claim, *, serial: int | None, subject: str) -> MasterTokenSpec:
    """Compute the master token of a claim (S1): nothing in it comes from the request or from a status alone.

    Args:
        target: the object, its use case, and the base URL of the verified pairing token.
        claim: the claim that spent the token.
        serial: from the verified pairing token.
        subject: from the verified pairing token (S11).
    """
    token, use_case = target.token, target.use_case
    ttl = parse_duration(token.spec.master_token.ttl) if token.spec.master_token.ttl else use_case.master_ttl
    return MasterTokenSpec(
        pairing_token_ref=PairingTokenRef(name=token.metadata.name, uid=token.metadata.uid),
        serial=serial,
        claim_id=claim.claim_id,
        token_id=claim.master_token_id,
        key_id=claim.key_id,
        use_case=use_case.name,
        scope=list(claim.scope),
        audience=list(target.audience),
        subject=subject,
        client_id=claim.client_id,
        key_thumbprint=claim.client_key_thumbprint,
        issued_time=claim.time,
        expiration_time=claim.time + ttl,
        deletion_policy=token.spec.master_token.deletion_policy,
    )


def record_may_be_made(claim: Claim, now: datetime) -> bool:
    """Tell whether the MasterToken of a claim may still be created.

    It is made within a second of the claim, or by the client's next request where a crash came between. One that is
    missing later was deleted, which ends the trust (R94): asking again must not bring it back.
    """
    return now - claim.time <= RECORD_WITHIN


def same_master_token(found: MasterToken, computed: MasterTokenSpec) -> bool:
    """Tell whether an object that was read back is what we would have made (S1). Being revoked is no difference."""
    return found.spec.model_copy(update={"revoked": False}) == computed
