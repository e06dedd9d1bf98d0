"""Attribute a request to its sender: a token of ours that verifies, an approved caller, or an address.

The clients behind one address do not share their failures. A token that verifies is served whatever else its address
sends, and its failures count for that token alone. To verify a token costs about 0.1 ms and no API call.
"""

from dataclasses import dataclass

from aiohttp import web

from tallystick.errors import ExchangeRefusedError
from tallystick.exchange.endpoint import Endpoint
from tallystick.exchange.limits import FailureLimiter, source_of
from tallystick.exchange.requests import bearer_of, presented_token, read_form
from tallystick.objects.ports import Clock
from tallystick.tokens.callers import Callers
from tallystick.tokens.signer import Verifier

CALLER = "caller"
BEARER = "bearer"


@dataclass(frozen=True, slots=True)
class Senders:
    """Limits the failures of senders, for one replica.

    Attributes:
        verifier: Verifies tokens of ours.
        callers: Has the callers that the API server approved in the last seconds.
        clock: The time at which a token is verified.
        addresses: The failures by address.
        credentials: The failures by token and address, or by approved caller.
    """

    verifier: Verifier
    callers: Callers
    clock: Clock
    addresses: FailureLimiter
    credentials: FailureLimiter

    async def wait_of(self, request: web.Request, endpoint: Endpoint | None) -> int:
        """Return the seconds that the sender of a request has to wait, 0 if it may be served now."""
        wait = self.addresses.wait_of(source_of(request.remote))
        if wait == 0 and self.credentials.is_idle():
            return 0  # the usual case costs no verification
        credential = await self._credential_of(request, endpoint)
        return wait if credential is None else self.credentials.wait_of(credential)

    async def count_failure(self, request: web.Request, endpoint: Endpoint | None) -> None:
        """Count one failure of the sender of a request."""
        credential = await self._credential_of(request, endpoint, waits=False)
        if credential is None:
            self.addresses.count_failure(source_of(request.remote))
        else:
            self.credentials.count_failure(credential)

    async def _credential_of(
        self, request: web.Request, endpoint: Endpoint | None, *, waits: bool = True
    ) -> str | None:
        """Return the ID of the credential that a request proves; None if it proves none.

        With `waits=False`, a form that has not arrived completely proves none.
        """
        if endpoint is None or endpoint.credential is None:
            return None
        in_header = endpoint.credential in (CALLER, BEARER)
        if not in_header and not waits and not request.content.is_eof():
            return None
        try:
            unverified = await _token_of(request, endpoint)
            approved = self.callers.approved(unverified) if unverified and endpoint.credential == CALLER else None
        except (ExchangeRefusedError, web.HTTPException):
            return None
        if unverified is None or approved is not None:
            return approved
        verified = self.verifier.verified(unverified, self.clock.now())
        # Many instances share a connection token. One that fails elsewhere does not slow down the others.
        return None if verified is None else f"{verified.token_id} {source_of(request.remote)}"


async def _token_of(request: web.Request, endpoint: Endpoint) -> str | None:
    """Return the token that a request presents, unverified, in its header or in its form."""
    if endpoint.credential == CALLER:
        return bearer_of(request)
    if endpoint.credential == BEARER:
        presented = presented_token(request)
        return None if presented is None else presented.unverified
    form = await read_form(request, may_repeat=endpoint.may_repeat)
    return form.required(endpoint.credential or "")
