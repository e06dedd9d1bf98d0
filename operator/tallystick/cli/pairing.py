"""Pair with an issuer: verify the pairing token, send it, and ask again until there is an answer.

The token is verified against the issuer that the user names, before it is sent anywhere (S12): a forged token names
its own thief as the place to go.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol
from urllib.parse import urlsplit

from tallystick.cli.pair_files import PairError
from tallystick.crypto.dpop import make_proof
from tallystick.crypto.keys import InvalidKeyError, SigningKey, verifying_keys
from tallystick.crypto.tokens import ExpiredTokenError, InvalidTokenError, Reason, VerifiedClaims, verify
from tallystick.domain.claims import PAIRING_TYPE
from tallystick.domain.times import rfc3339
from tallystick.services.ports import Clock, Ids

DISCOVERY_PATH = "/.well-known/oauth-authorization-server"
GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
JWT_TYPE = "urn:ietf:params:oauth:token-type:jwt"
ACCESS_TOKEN_TYPE = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - the name of a type
LEEWAY = 30  # of this machine's clock; the issuer's own exchange has none
_FIRST_DELAY, _LONGEST_DELAY, _LONGEST_RETRY_AFTER = 0.25, 5.0, 60.0
_LONGEST_TEXT = 1024
_OK = 200
_NONE = 0
# A gateway's 502 or 504 may hide an answer that was given.
_LOST = frozenset({_NONE, 502, 504})
_ASK_AGAIN = _LOST | {429, 503}

Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class PairRequest:
    """What the user wants paired, and how. Without a key the master token is a bearer token."""

    unverified_jwt: str = field(repr=False)
    issuer: str
    key: SigningKey | None
    client_id: str | None = None
    scope: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer, read to its end. A status of 0: there was none, and `problem` says why."""

    status: int
    body: Mapping[str, Any] = field(repr=False)
    retry_after: float = 0.0
    problem: str = ""


class Send(Protocol):
    """Sends one request and follows no redirect, which would carry the token to where nobody vouched for (S12)."""

    async def __call__(
        self, method: str, url: str, *, form: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Return the answer; raises PairError where the peer does not prove who it is."""
        ...


class Pairing:
    """One pairing. The key stays the same in all its attempts, so asking twice is safe."""

    def __init__(self, request: PairRequest, send: Send, *, clock: Clock, ids: Ids, sleep: Sleep) -> None:
        self._request = request
        self._send = send
        self._clock = clock
        self._ids = ids
        self._sleep = sleep

    async def master_token(self) -> str:
        """Verify the pairing token, exchange it, and return the master token.

        Raises:
            PairError: it is refused, or there is no answer until it expires.
        """
        endpoint, verified = await self._verified()
        end, delay, lost = verified.expiration_time or self._clock.now(), _FIRST_DELAY, False
        while True:
            answer = await self._send("POST", endpoint, form=self._form(), headers=self._proof(endpoint))
            if answer.status == _OK:
                return self._master_token_of(answer, endpoint)
            lost = lost or answer.status in _LOST
            if answer.status not in _ASK_AGAIN:
                raise PairError(_why(answer) + self._hint(answer, lost=lost))
            delay = await self._wait(answer, delay, end)

    async def _verified(self) -> tuple[str, VerifiedClaims]:
        """Return where to send the token, and what it says; nothing of it has left this machine yet."""
        issuer = self._request.issuer
        metadata = await self._fetched(_discovery_url(issuer))
        if metadata.get("issuer") != issuer:
            # RFC 8414 3.3: else one issuer could speak for another.
            raise PairError(
                f"{issuer} does not call itself so; give --issuer exactly as the service's settings have it"
            )
        token_endpoint = _under(issuer, metadata.get("token_endpoint"), "token_endpoint")
        jwks = await self._fetched(_under(issuer, metadata.get("jwks_uri"), "jwks_uri"))
        verified = self._verify(jwks)
        exchange_url = verified.claims["ext"]["exchange_url"]
        if exchange_url == token_endpoint:
            return token_endpoint, verified
        return _under(issuer, exchange_url, "the token's exchange_url"), verified

    def _verify(self, jwks: Mapping[str, Any]) -> VerifiedClaims:
        request = self._request
        try:
            keys = verifying_keys(jwks)
            return verify(
                request.unverified_jwt,
                keys,
                typ=PAIRING_TYPE,
                issuer=request.issuer,
                now=self._clock.now(),
                leeway=LEEWAY,
            )
        except InvalidKeyError:
            raise PairError(f"{request.issuer} publishes no keys; is it a Tallystick service?") from None
        except ExpiredTokenError as expired:
            raise PairError(_expired(expired.claims)) from None
        except InvalidTokenError as invalid:
            raise PairError(_why_invalid(invalid, request.issuer)) from None

    async def _fetched(self, url: str) -> Mapping[str, Any]:
        answer = await self._send("GET", url)
        if answer.status != _OK:
            raise PairError(f"{url} cannot be read: {_why(answer)}")
        return answer.body

    async def _wait(self, answer: Answer, delay: float, end: datetime) -> float:
        """Wait as long as the answer asks for, and return the next delay; give up where it would be too late."""
        wait = max(delay, min(answer.retry_after, _LONGEST_RETRY_AFTER))
        if self._clock.now() + timedelta(seconds=wait) >= end:
            raise PairError(f"no answer from {self._request.issuer} before the pairing token expires: {_why(answer)}")
        await self._sleep(wait)
        return min(delay * 2, _LONGEST_DELAY)

    def _form(self) -> dict[str, str]:
        request = self._request
        form = {
            "grant_type": GRANT,
            "subject_token": request.unverified_jwt,
            "subject_token_type": JWT_TYPE,
            "requested_token_type": ACCESS_TOKEN_TYPE,
        }
        optional = {"client_id": request.client_id, "scope": request.scope}
        return form | {name: value for name, value in optional.items() if value}

    def _proof(self, endpoint: str) -> dict[str, str]:
        """Prove the key afresh for each attempt (RFC 9449 4.2)."""
        key = self._request.key
        if key is None:
            return {}
        return {"DPoP": make_proof(key, method="POST", url=endpoint, now=self._clock.now(), proof_id=self._ids.new())}

    def _master_token_of(self, answer: Answer, endpoint: str) -> str:
        token, kind = answer.body.get("access_token"), str(answer.body.get("token_type"))
        if not isinstance(token, str) or not token or not token.isascii() or not token.isprintable():
            raise PairError(f"{endpoint} answered without a master token; is it a Tallystick service?")
        wanted = "Bearer" if self._request.key is None else "DPoP"
        if kind.lower() != wanted.lower():  # RFC 6749 5.1: in any case
            raise PairError(f"{endpoint} gave a token of type {_printable(kind)} where {wanted} was asked for")
        return token

    def _hint(self, answer: Answer, *, lost: bool) -> str:
        if answer.body.get("error") == "invalid_dpop_proof":
            return "; is this machine's clock right?"
        if lost and self._request.key is None:
            return "; an earlier answer was lost, and without a key it cannot be asked for again: raise spec.serial"
        return ""


def is_issuer(url: str) -> bool:
    """Tell whether a text can be the issuer of a service that is reached over TLS (RFC 8414 2)."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    plain = not parts.query and not parts.fragment and "@" not in parts.netloc and not url.endswith("/")
    return parts.scheme == "https" and bool(parts.hostname) and plain and url.isascii() and url.isprintable()


def _discovery_url(issuer: str) -> str:
    # RFC 8414 3.1: the well-known part goes before the issuer's path.
    parts = urlsplit(issuer)
    return f"{parts.scheme}://{parts.netloc}{DISCOVERY_PATH}{parts.path}"


def _under(issuer: str, url: object, name: str) -> str:
    """Return a URL that lies under the issuer; the slash matters: https://a.example.evil does not."""
    if isinstance(url, str) and url.startswith(f"{issuer}/") and url.isascii() and url.isprintable():
        return url
    raise PairError(f"{name} does not lie under {issuer}; the token is not sent there")


def _why_invalid(invalid: InvalidTokenError, issuer: str) -> str:
    match invalid.reason:
        case Reason.ISSUED_AHEAD:
            return "the pairing token is issued in the future; is this machine's clock right?"
        case Reason.ISSUER | Reason.KEY | Reason.SIGNATURE | Reason.AUDIENCE:
            return f"the pairing token was not issued by {issuer}; it is not sent anywhere"
        case _:
            return "this is not a pairing token: give the text of the Secret's key `token`, decoded"


def _expired(claims: VerifiedClaims) -> str:
    at = f" at {rfc3339(claims.expiration_time)}" if claims.expiration_time else ""
    return f"pairing token {claims.token_id} expired{at}; raise spec.serial of its PairingToken to issue a new one"


def _why(answer: Answer) -> str:
    """Say what was answered, in the service's own words where it has some."""
    described = answer.body.get("error_description") or answer.body.get("error")
    if described:
        return _printable(str(described))
    if 300 <= answer.status < 400:  # noqa: PLR2004 - the class of redirects (RFC 9110 15.4)
        return "it redirects, and no redirect is followed; give the issuer's own URL"
    return answer.problem or f"HTTP status {answer.status}"


def _printable(text: str) -> str:
    """What comes from a server must not move the terminal's cursor (S28)."""
    return json.dumps(text[:_LONGEST_TEXT])[1:-1].replace('\\"', '"')
