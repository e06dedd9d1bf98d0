"""POST /v1/service_trust/pairing/{use-case}: a caller with the permission, or the admin token, gets a pairing token."""

from aiohttp import hdrs, web

from tallystick.errors import ProblemError
from tallystick.exchange.app_context import IN_FLIGHT
from tallystick.exchange.requests import bearer_of, read_object
from tallystick.exchange.responses import json_response
from tallystick.pairing.services.pairing_requests import (
    NOT_AUTHENTICATED,
    IssuedPairing,
    PairingRefusedError,
    PairingRequest,
    PairingRequests,
)

# By error code of a rejected request: the status, the title ("": the phrase of the status), and a description.
REFUSALS = {
    "invalid_request": (400, "", "The request is not valid."),
    "invalid_token": (401, "The token is not valid", "The bearer token is missing or not valid."),
    "forbidden": (403, "", "The caller lacks a permission, or the API server rejects the PairingToken."),
    "unknown_use_case": (404, "The use case is unknown", "The use case is unknown."),
    "too_many_requests": (429, "", ""),
    "temporarily_unavailable": (503, "", ""),
}
# A caller with a valid token did not guess: only these count as failures of their source.
_GUESSES = frozenset({"invalid_token", "invalid_request"})


class PairingEndpoint:
    """The handler of one replica."""

    def __init__(self, requests: PairingRequests) -> None:
        self._requests = requests

    async def post(self, request: web.Request) -> web.Response:
        """Issue a pairing token for the caller."""
        asked = PairingRequest(
            unverified_bearer=_bearer_of(request),
            use_case=request.match_info["use_case"],
            body=await read_object(request, may_be_empty=True),
            source=request.remote or "",
        )
        try:
            issued = await request.app[IN_FLIGHT].result_of(self._requests.issue(asked))
        except PairingRefusedError as refused:
            raise _problem(refused) from None
        return json_response(_body(issued))


def _bearer_of(request: web.Request) -> str:
    try:
        return bearer_of(request)
    except web.HTTPUnauthorized as missing:
        refused = PairingRefusedError("invalid_token", NOT_AUTHENTICATED)
        raise _problem(refused, challenge=missing.headers[hdrs.WWW_AUTHENTICATE]) from None


def _problem(refused: PairingRefusedError, *, challenge: str = "") -> ProblemError:
    status, title, _ = REFUSALS[refused.code]
    return ProblemError(
        status,
        refused.code,
        refused.description,
        title=title,
        challenge=challenge,
        excused=refused.code not in _GUESSES,
        retry_after=refused.retry_after,
    )


def _body(issued: IssuedPairing) -> dict[str, object]:
    return {
        "pairing_token": issued.signed_jwt,
        "token_id": issued.token_id,
        "expires_in": issued.expires_in,
        "namespace": issued.namespace,
        "name": issued.name,
    }
