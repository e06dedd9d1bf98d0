"""POST /oauth2/introspect: is this token good now (RFC 7662)? Asked by authenticated callers alone (S16)."""

import re

from aiohttp import hdrs, web

from tallystick.domain.errors import ExchangeRefusedError
from tallystick.services.callers import LONGEST_BEARER, Caller
from tallystick.services.introspect import INACTIVE
from tallystick.web.answers import json_answer
from tallystick.web.forms import read_form
from tallystick.web.parts import FINISHING, PARTS

_SCHEME = re.compile(r"(?i:Bearer)(?: .*)?")
# RFC 6750 2.1, with the scheme in any case (RFC 9110 11.1).
_BEARER = re.compile(r"(?i:Bearer) +([A-Za-z0-9._~+/-]+=*)")


async def post_introspect(request: web.Request) -> web.Response:
    """Tell an authenticated caller whether a token is active."""
    # Cheap before dear: a caller without a bearer, or with a broken form, costs no call of the API.
    unverified_bearer = _bearer(request)
    form = await read_form(request)
    token = form.required("token")
    caller = await request.app[FINISHING].result_of(_authenticated(request, unverified_bearer))
    if form.one("deployment_type") is not None:
        # The caller asks whether the token is good for one deployment type. No token of these kinds is bound to any,
        # so it is good for none: to say yes would let it pass where only a connection's token may.
        return json_answer(INACTIVE)
    answer = await request.app[FINISHING].result_of(request.app[PARTS].introspection.introspect(token, caller))
    return json_answer(answer)


def _bearer(request: web.Request) -> str:
    headers = request.headers.getall(hdrs.AUTHORIZATION, [])
    if len(headers) > 1:
        raise ExchangeRefusedError("invalid_request", "Authorization is given more than once")
    if not headers or not _SCHEME.fullmatch(headers[0]):
        # RFC 6750 3.1: who tries nothing, or another scheme than ours, is told of no error.
        raise web.HTTPUnauthorized(headers={hdrs.WWW_AUTHENTICATE: "Bearer"})
    bearer = _BEARER.fullmatch(headers[0])
    if bearer is None or len(bearer[1]) > LONGEST_BEARER:
        raise _invalid_bearer()
    return bearer[1]


async def _authenticated(request: web.Request, unverified_bearer: str) -> Caller:
    caller = await request.app[PARTS].callers.authenticate(unverified_bearer)
    if caller is None:
        raise _invalid_bearer()
    return caller


def _invalid_bearer() -> web.HTTPUnauthorized:
    return web.HTTPUnauthorized(headers={hdrs.WWW_AUTHENTICATE: 'Bearer error="invalid_token"'})
