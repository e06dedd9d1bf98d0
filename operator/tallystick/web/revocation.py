"""POST /oauth2/revoke: whoever holds a token may end it (RFC 7009, S10)."""

from aiohttp import web

from tallystick.web.answers import OUTCOME
from tallystick.web.forms import read_form
from tallystick.web.parts import FINISHING, PARTS


async def post_revoke(request: web.Request) -> web.Response:
    """Revoke a token. 200 also for one that is unknown or over: the caller has what it wanted (RFC 7009 2.2)."""
    form = await read_form(request)
    token = form.required("token")
    revocation = request.app[PARTS].revocation
    await request.app[FINISHING].result_of(revocation.revoke(token, source=request.remote or ""))
    response = web.Response()
    response[OUTCOME] = "ok"
    return response
