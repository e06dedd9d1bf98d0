"""Decide the claims of a pairing token, or the reason why the controller cannot issue it."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from tallystick.crypto.jws import numeric_date
from tallystick.objects.rules import first
from tallystick.pairing.api.pairing_token import PairingToken, Purpose
from tallystick.pairing.api.reasons import PairingTokenReason
from tallystick.pairing.domain.enrollment_values import generation_of, project_of, value_id
from tallystick.pairing.domain.policy import PairingPolicy
from tallystick.pairing.domain.requester import requester_of
from tallystick.pairing.domain.tokens import PairingTokenClaims, pairing_token_id
from tallystick.schema.durations import parse_duration
from tallystick.schema.times import from_numeric_date, whole_second

DEFAULT_TTL = timedelta(seconds=300)  # docs/rules.md#r85
TOKEN_PATH = "/oauth2/token"  # noqa: S105 - a path


@dataclass(frozen=True, slots=True)
class Unissuable:
    """The controller issues no token until a user edits the object: the reason, and what to do."""

    reason: PairingTokenReason
    message: str


def grant(token: PairingToken, policy: PairingPolicy, *, now: datetime, key_id: str) -> PairingTokenClaims | Unissuable:
    """Return the claims of the token of the current serial, issued now."""
    problem = why_unissuable(token, policy)
    if problem is not None:
        return problem
    issued = whole_second(now)
    return _grant(token, policy, issued=issued, expires=_expiry(token, issued), key_id=key_id)


def granted(token: PairingToken, policy: PairingPolicy) -> PairingTokenClaims | None:
    """Recompute the claims of the issued token from the status; None if the record is incomplete."""
    status = token.status
    if status.issued_time is None or status.key_id is None:
        return None
    if status.expiration_time is None and token.spec.purpose is Purpose.SERVICE:
        return None
    if why_unissuable(token, policy) is not None:
        return None
    return _grant(token, policy, issued=status.issued_time, expires=status.expiration_time, key_id=status.key_id)


def adopted(
    token: PairingToken, policy: PairingPolicy, *, issued: int, expires: int | None, key_id: str
) -> PairingTokenClaims | None:
    """Compute the claims that a token in our Secret must have, given its times and key."""
    if why_unissuable(token, policy) is not None:
        return None
    expiry = None if expires is None else from_numeric_date(expires)
    return _grant(token, policy, issued=from_numeric_date(issued), expires=expiry, key_id=key_id)


def why_unissuable(token: PairingToken, policy: PairingPolicy) -> Unissuable | None:
    """Return the first reason why no token may be issued for this spec."""
    if token.spec.purpose is Purpose.DEVICE_PROJECT:
        return None  # a value that devices enroll with has no use case, no URL and no requester
    return first(_RULES, token, policy)


def use_case_unknown(token: PairingToken, policy: PairingPolicy) -> Unissuable | None:
    """A token of an unknown use case would permit no action (docs/rules.md#r82)."""
    if policy.use_cases.get(token.spec.use_case) is not None:
        return None
    return Unissuable(
        PairingTokenReason.UNKNOWN_USE_CASE,
        f'use case "{token.spec.use_case}" is unknown to this service; known: {policy.use_cases.names}; '
        f"set one of them in the edit that raises spec.serial to {token.spec.serial + 1}",
    )


def url_foreign(token: PairingToken, policy: PairingPolicy) -> Unissuable | None:
    """A client sends requests to the URLs in the token, so they must be ours (docs/rules.md#s12)."""
    exchange_urls = tuple(url + TOKEN_PATH for url in policy.external_urls)
    if token.spec.base_url is not None and token.spec.base_url not in policy.external_urls:
        return _foreign(token, "baseURL", token.spec.base_url, policy.external_urls)
    if token.spec.exchange_url is not None and token.spec.exchange_url not in exchange_urls:
        return _foreign(token, "exchangeURL", token.spec.exchange_url, exchange_urls)
    return None


def requester_missing(token: PairingToken, policy: PairingPolicy) -> Unissuable | None:
    """A token has its requester as subject (docs/rules.md#r86), which only the admission policy records."""
    if requester_of(token, policy.requester) is not None:
        return None
    return Unissuable(
        PairingTokenReason.REQUESTER_MISSING,
        "spec.requestedBy is empty because the admission policy was not in force at creation; "
        f"raise spec.serial to {token.spec.serial + 1} to issue a token",
    )


# Ordered: the condition shows the first problem.
_RULES = (use_case_unknown, url_foreign, requester_missing)


def _foreign(token: PairingToken, field: str, url: str, known: tuple[str, ...]) -> Unissuable:
    return Unissuable(
        PairingTokenReason.FOREIGN_URL,
        f"{field} {url} is not a URL of this service; known: {', '.join(known)}; "
        f"correct or remove it in the edit that raises spec.serial to {token.spec.serial + 1}",
    )


def _expiry(token: PairingToken, issued: datetime) -> datetime | None:
    """Return when a token ends that is issued now; None for never.

    A rotation issues another value of the same serial. It does not lengthen the time in which devices can enroll.
    """
    spec, status = token.spec, token.status
    is_project = spec.purpose is Purpose.DEVICE_PROJECT
    if is_project and status.serial == spec.serial:
        return status.expiration_time
    if is_project and not spec.ttl:
        return None
    return issued + (parse_duration(spec.ttl) if spec.ttl else DEFAULT_TTL)


def _grant(
    token: PairingToken, policy: PairingPolicy, *, issued: datetime, expires: datetime | None, key_id: str
) -> PairingTokenClaims:
    spec, meta, generation = token.spec, token.metadata, generation_of(token)
    if generation is not None:
        project = project_of(meta.namespace, spec.project_key or "")
        return PairingTokenClaims(
            token_id=value_id(meta.uid, spec.serial, generation),
            namespace=meta.namespace,
            name=meta.name,
            uid=meta.uid,
            serial=spec.serial,
            subject=f"project:{project}",
            use_case="",
            base_url="",
            exchange_url="",
            pairing_url=None,
            issued=_to_the_second(issued),
            expires=None if expires is None else _to_the_second(expires),
            key_id=key_id,
            project=project,
            generation=generation,
        )
    base_url = spec.base_url or _base_of(spec.exchange_url) or policy.external_urls[0]
    return PairingTokenClaims(
        token_id=pairing_token_id(meta.uid, spec.serial),
        namespace=meta.namespace,
        name=meta.name,
        uid=meta.uid,
        serial=spec.serial,
        subject=requester_of(token, policy.requester) or "",
        use_case=spec.use_case or "",
        base_url=base_url,
        exchange_url=spec.exchange_url or base_url + TOKEN_PATH,
        pairing_url=spec.pairing_url,
        issued=_to_the_second(issued),
        expires=None if expires is None else _to_the_second(expires),
        key_id=key_id,
    )


def _to_the_second(time: datetime) -> datetime:
    return from_numeric_date(numeric_date(time))


def _base_of(exchange_url: str | None) -> str | None:
    return exchange_url.removesuffix(TOKEN_PATH) if exchange_url else None
