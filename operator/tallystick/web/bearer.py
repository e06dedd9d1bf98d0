"""Read the one bearer of a request (RFC 6750 2.1), whoever it speaks for."""

import re

from aiohttp import hdrs, web

from tallystick.domain.errors import ExchangeRefusedError
from tallystick.services.callers import LONGEST_BEARER

_SCHEME = re.compile(r"(?i:Bearer)(?: .*)?")
# RFC 6750 2.1, with the scheme in any case (RFC 9110 11.1).
_BEARER = re.compile(r"(?i:Bearer) +([A-Za-z0-9._~+/-]+=*)")


def bearer_of(request: web.Request) -> str:
    """Return the bearer, unverified; raises HTTPUnauthorized or ExchangeRefusedError."""
    headers = request.headers.getall(hdrs.AUTHORIZATION, [])
    if len(headers) > 1:
        raise ExchangeRefusedError("invalid_request", "Authorization is given more than once")
    if not headers or not _SCHEME.fullmatch(headers[0]):
        # RFC 6750 3.1: who tries nothing, or another scheme than ours, is told of no error.
        raise web.HTTPUnauthorized(headers={hdrs.WWW_AUTHENTICATE: "Bearer"})
    bearer = _BEARER.fullmatch(headers[0])
    if bearer is None or len(bearer[1]) > LONGEST_BEARER:
        raise invalid_bearer()
    return bearer[1]


def invalid_bearer() -> web.HTTPUnauthorized:
    """Say that there is a bearer, and that it is not valid."""
    return web.HTTPUnauthorized(headers={hdrs.WWW_AUTHENTICATE: INVALID_BEARER})


INVALID_BEARER = 'Bearer error="invalid_token"'
