"""POST /oauth2/introspect: is this token good now (RFC 7662)? Asked by authenticated callers alone (S16)."""

from aiohttp import web

from tallystick.services.callers import Caller
from tallystick.web.answers import json_answer
from tallystick.web.bearer import bearer_of, invalid_bearer
from tallystick.web.forms import deployment_type_of, read_form
from tallystick.web.parts import FINISHING, PARTS


async def post_introspect(request: web.Request) -> web.Response:
    """Tell an authenticated caller whether a token is active."""
    # Cheap before dear: a caller without a bearer, or with a broken form, costs no call of the API.
    unverified_bearer = bearer_of(request)
    form = await read_form(request)
    token, used_in = form.required("token"), deployment_type_of(form.one("deployment_type"))
    caller = await request.app[FINISHING].result_of(_authenticated(request, unverified_bearer))
    introspection = request.app[PARTS].introspection
    answer = await request.app[FINISHING].result_of(introspection.introspect(token, caller, used_in))
    return json_answer(answer)


async def _authenticated(request: web.Request, unverified_bearer: str) -> Caller:
    caller = await request.app[PARTS].callers.authenticate(unverified_bearer)
    if caller is None:
        raise invalid_bearer()
    return caller
