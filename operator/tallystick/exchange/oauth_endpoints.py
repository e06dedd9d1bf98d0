"""POST /oauth2/introspect (RFC 7662) and /oauth2/revoke (RFC 7009): for the tokens of all features."""

from aiohttp import web

from tallystick.exchange.app_context import CONTEXT, IN_FLIGHT
from tallystick.exchange.endpoint import Api, Endpoint
from tallystick.exchange.openapi_parts import (
    COUNT,
    INVALID,
    Json,
    form,
    headers,
    matching,
    members,
    post,
    proof,
    response,
    text,
    unauthenticated,
    unavailable,
)
from tallystick.exchange.requests import DPOP, MOST_AUDIENCES, SCOPE, bearer_of, invalid_bearer, read_form
from tallystick.exchange.responses import empty_response, json_response
from tallystick.tokens.callers import LONGEST_BEARER, Caller
from tallystick.tokens.token_type import read_hints

TOKEN_TYPES = ["Bearer", DPOP]
THUMBPRINT = text("Thumbprint of the key (RFC 7638).", pattern="^[A-Za-z0-9_-]{43}$")
SERVICE_ACCOUNT = {
    "serviceAccount": {
        "type": "http",
        "scheme": "bearer",
        "description": "A ServiceAccount token whose audience is the issuer. Maximum length: "
        f"{LONGEST_BEARER} characters. The caller needs the RBAC verb `introspect` on the kind of the object.",
    }
}
_REVOKE_CODES = INVALID | {"unsupported_token_type", "invalid_dpop_proof"}
_PROOF = proof(
    "A proof of possession (RFC 9449) for this URL and method, with the hash of the token as `ath`. "
    "The exchange requires it for a token that is bound to a key."
)
_HINT = text("Ignored. The token itself contains its type.")


async def post_introspect(request: web.Request) -> web.Response:
    """Return to an authenticated caller whether a token is active (docs/rules.md#s16)."""
    # Cheap checks first: a caller without a bearer token, or with a broken form, costs no API call.
    unverified_bearer = bearer_of(request)
    form = await read_form(request)
    token, hints = form.required("token"), read_hints(request.app[CONTEXT].token_types, form.beside("token"))
    caller = await request.app[IN_FLIGHT].result_of(_authenticated(request, unverified_bearer))
    introspection = request.app[CONTEXT].introspection.introspect(token, caller, hints)
    return json_response(await request.app[IN_FLIGHT].result_of(introspection))


async def post_revoke(request: web.Request) -> web.Response:
    """Revoke a token by possession, and by possession of its key if it is bound to one (docs/rules.md#s10).

    The status is 200 also if the token is unknown or not valid: the caller has what it wanted (RFC 7009, section 2.2).
    """
    form = await read_form(request)
    token = form.required("token")
    proofs = request.headers.getall(DPOP, [])
    revocation = request.app[CONTEXT].revocation.revoke(token, unverified_proofs=proofs, source=request.remote or "")
    await request.app[IN_FLIGHT].result_of(revocation)
    return empty_response()


async def _authenticated(request: web.Request, unverified_bearer: str) -> Caller:
    caller = await request.app[CONTEXT].callers.authenticate(unverified_bearer)
    if caller is None:
        raise invalid_bearer()
    return caller


def _describe_introspect(api: Api) -> Json:
    parameters = form({"token": _any_token(api)}, {"token_type_hint": _HINT, **api.introspection_hints})
    described = response(
        "The state of the token. If the caller has no permission to introspect it, `active` is false.",
        _introspected(api),
    )
    operation = post("introspect", "Report whether a token is active (RFC 7662).", parameters, described, INVALID)
    operation["responses"]["401"] = unauthenticated()
    return {**operation, "security": [{"serviceAccount": []}]}


def _describe_revoke(api: Api) -> Json:
    parameters = form({"token": _any_token(api)}, {"token_type_hint": _HINT})
    done = {
        "description": "The token is revoked, or it was already invalid (RFC 7009, section 2.2).",
        "headers": headers(),
    }
    operation = post("revoke", "Revoke a token by possession (RFC 7009).", parameters, done, _REVOKE_CODES)
    operation["responses"]["503"] = unavailable()  # the exchange needs no clock to revoke
    return {**operation, "parameters": [_PROOF]}


def _any_token(api: Api) -> Json:
    *others, last = (f"a {name}" for name in api.tokens)
    names = " or ".join([", ".join(others), last]) if others else last
    return text(f"{names[0].upper()}{names[1:]}.", minLength=1, writeOnly=True)


def _introspected(api: Api) -> Json:
    several = {"type": "array", "items": text(), "minItems": 2, "maxItems": MOST_AUDIENCES}
    active = {
        "active": {"const": True},
        "token_type": text(enum=TOKEN_TYPES),
        "iss": text(),
        "sub": text(),
        "aud": {"oneOf": [text(), several]},
        "iat": COUNT,
        "jti": text(),
    }
    optional = {
        "exp": COUNT,
        "scope": matching(SCOPE, "Scopes of the token, separated by spaces."),
        "cnf": members({"jkt": THUMBPRINT}),
        **api.introspected,
    }
    return {"oneOf": [members({"active": {"const": False}}), members(active, optional)]}


INTROSPECT = Endpoint(
    method="POST",
    path="/oauth2/introspect",
    describe=_describe_introspect,
    credential="caller",
    metric="introspect",
    discovery_url="introspection_endpoint",
    discovery={"introspection_endpoint_auth_methods_supported": ["Bearer"]},
)
REVOKE = Endpoint(
    method="POST",
    path="/oauth2/revoke",
    describe=_describe_revoke,
    credential="token",
    metric="revoke",
    outcomes=frozenset(_REVOKE_CODES),
    discovery_url="revocation_endpoint",
    discovery={"revocation_endpoint_auth_methods_supported": ["none"]},
)
