"""POST /oauth2/token: a pairing token in, a master token out (RFC 8693), bound to the client's key (RFC 9449)."""

import re

from aiohttp import web

from tallystick.crypto.dpop import InvalidProofError, verify_proof
from tallystick.domain.errors import ExchangeRefusedError
from tallystick.domain.targets import Wish
from tallystick.services.redeem import Redeemed, RedeemRequest
from tallystick.web.answers import json_answer
from tallystick.web.forms import Form, deployment_type_of, read_form
from tallystick.web.parts import FINISHING, PARTS, ExchangeParts

GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
JWT_TYPE = "urn:ietf:params:oauth:token-type:jwt"
ACCESS_TOKEN_TYPE = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - the name of a type
DPOP = "DPoP"

# RFC 8693 2.1: a client may name several places at which it wants to use the token.
_MAY_REPEAT = ("audience", "resource")
MOST_AUDIENCES = 16
LONGEST_AUDIENCE = 2048
LONGEST_SCOPE = 2063
# RFC 6749, appendix A.1 and A.4.
CLIENT_ID = re.compile(r"[ -~]{1,1024}")
SCOPE = re.compile(r"[!#-\[\]-~]+(?: [!#-\[\]-~]+)*")


async def post_token(request: web.Request) -> web.Response:
    """Redeem a pairing token."""
    parts = request.app[PARTS]
    form = await read_form(request, may_repeat=_MAY_REPEAT)
    _check_grant(form)
    redeem = RedeemRequest(
        unverified_jwt=form.required("subject_token"),
        wish=_wish(form),
        key_thumbprint=_proven_key(request, parts),
        source=request.remote or "",
    )
    used_in = deployment_type_of(form.one("deployment_type"))
    await request.app[FINISHING].result_of(parts.uses.refuse_exchange(redeem.unverified_jwt, used_in))
    redeemed = await request.app[FINISHING].result_of(parts.redemption.redeem(redeem))
    return json_answer(_answer(redeemed))


def _check_grant(form: Form) -> None:
    if form.required("grant_type") != GRANT:
        raise ExchangeRefusedError("unsupported_grant_type", "only token-exchange is supported")
    if form.required("subject_token_type") != JWT_TYPE:
        raise ExchangeRefusedError("invalid_request", f"subject_token_type must be {JWT_TYPE}")
    if form.one("requested_token_type") not in (None, ACCESS_TOKEN_TYPE):
        raise ExchangeRefusedError("invalid_request", f"requested_token_type must be {ACCESS_TOKEN_TYPE}")
    if form.one("actor_token") is not None or form.one("actor_token_type") is not None:
        # RFC 8693 4.1: acting for somebody else would need a verified actor, and there is none here.
        raise ExchangeRefusedError("invalid_request", "actor_token is not supported")


def _wish(form: Form) -> Wish:
    client_id, scope = form.one("client_id"), form.one("scope")
    if client_id is not None and not CLIENT_ID.fullmatch(client_id):
        raise ExchangeRefusedError("invalid_request", "client_id must be at most 1024 printable ASCII characters")
    if scope is not None and (len(scope) > LONGEST_SCOPE or not SCOPE.fullmatch(scope)):
        raise ExchangeRefusedError("invalid_scope", "scope is not a list of scopes as RFC 6749 3.3 has them")
    audience = tuple(dict.fromkeys(form.many("audience") + form.many("resource")))
    if len(audience) > MOST_AUDIENCES or any(len(one) > LONGEST_AUDIENCE for one in audience):
        raise ExchangeRefusedError("invalid_target", "too many or too long audiences")
    # A scope that is said twice means no more than once, and is recorded once.
    return Wish(client_id, tuple(dict.fromkeys(scope.split(" "))) if scope else (), audience)


def _proven_key(request: web.Request, parts: ExchangeParts) -> str | None:
    """Return the thumbprint of the key that the client has proved to hold; None where it shows none."""
    proofs = request.headers.getall(DPOP, [])
    if not proofs:
        return None
    try:
        if len(proofs) > 1:
            raise InvalidProofError("Repeated")  # RFC 9449 4.3, check 1
        return verify_proof(proofs[0], method="POST", urls=parts.token_endpoints, now=parts.clock.now())
    except InvalidProofError as invalid:
        reason = f"Proof{invalid.reason}"
        parts.audit.record("redeem", "refused", reason=reason, source=request.remote)
        raise


def _answer(redeemed: Redeemed) -> dict[str, object]:
    return {
        "access_token": redeemed.signed_jwt,
        "issued_token_type": ACCESS_TOKEN_TYPE,
        "token_type": DPOP if redeemed.key_bound else "Bearer",
        "expires_in": redeemed.expires_in,
        "scope": " ".join(redeemed.scope),
        "token_id": redeemed.token_id,
    }
