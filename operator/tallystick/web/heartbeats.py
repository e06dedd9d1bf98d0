"""POST /v1/connections/{namespace}/{name}/heartbeat: an instance says that it is there, and with which token (R23)."""

from aiohttp import hdrs, web

from tallystick.crypto.encoding import MalformedError, parse_object
from tallystick.domain.errors import ExchangeRefusedError
from tallystick.domain.presence import HEARTBEAT_SECONDS, INSTANCE_ID
from tallystick.services.heartbeats import Heartbeat
from tallystick.web.answers import OUTCOME, NoConnectionTokenError, NotJSONError
from tallystick.web.bearer import bearer_of
from tallystick.web.forms import deployment_type_of, read_body
from tallystick.web.parts import FINISHING, PARTS

JSON = "application/json"


async def post_heartbeat(request: web.Request) -> web.Response:
    """Take a heartbeat. 204 says when to send the next one."""
    heartbeat = await _read(request)
    await request.app[FINISHING].result_of(request.app[PARTS].heartbeats.take(heartbeat))
    response = web.Response(status=204, headers={hdrs.RETRY_AFTER: str(HEARTBEAT_SECONDS)})
    response[OUTCOME] = "ok"
    return response


async def _read(request: web.Request) -> Heartbeat:
    try:
        unverified_jwt = bearer_of(request)
    except web.HTTPUnauthorized as missing:
        raise NoConnectionTokenError(headers=missing.headers) from None
    members = await _members(request)
    instance = members.get("instance_id")
    if not isinstance(instance, str) or not INSTANCE_ID.fullmatch(instance):
        text = "instance_id must be a text of 1 to 64 letters, digits, dots, colons, hyphens and underscores"
        raise ExchangeRefusedError("invalid_request", text)
    used_in = deployment_type_of(members.get("deployment_type"))
    if used_in is None:
        raise ExchangeRefusedError("invalid_request", "deployment_type is missing: say what the instance runs as")
    return Heartbeat(
        unverified_jwt=unverified_jwt,
        namespace=request.match_info["namespace"],
        name=request.match_info["name"],
        instance=instance,
        deployment_type=used_in,
        source=request.remote or "",
    )


async def _members(request: web.Request) -> dict[str, object]:
    """Read the body as one JSON object. Members that are not known are passed over: they may be of a later version."""
    if request.query_string:
        raise ExchangeRefusedError("invalid_request", "parameters belong into the body, not into the URL")
    if request.content_type != JSON or hdrs.CONTENT_ENCODING in request.headers:
        raise NotJSONError
    try:
        return parse_object(await read_body(request))
    except MalformedError:
        raise ExchangeRefusedError("invalid_request", "the body is not one well-formed JSON object") from None
