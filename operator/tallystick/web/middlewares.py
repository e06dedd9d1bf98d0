"""What every request passes, from the outside in: counted, translated, limited."""

from collections.abc import Awaitable, Callable, Mapping

from aiohttp import HttpVersion11, hdrs, web

from tallystick.web.answers import EXCUSED, OUTCOME, refusal_of, refuse
from tallystick.web.parts import PARTS

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

PROBLEMS_BELOW = "/v1/"
"""What is not OAuth's is refused in the form of RFC 9457."""

ENDPOINTS = web.AppKey("ENDPOINTS", Mapping[str, str])
"""The metric's word for each path that is counted."""


@web.middleware
async def counted(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Count the answer by endpoint and outcome; both come from closed sets (S28)."""
    response = await handler(request)
    resource = request.match_info.route.resource
    endpoint = request.app[ENDPOINTS].get(resource.canonical if resource is not None else request.path)
    if endpoint is not None:
        request.app[PARTS].metrics.count_answer(endpoint, response.get(OUTCOME, "ok"))
    return response


@web.middleware
async def translated(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn whatever goes wrong into an answer."""
    try:
        return await handler(request)
    except Exception as error:  # noqa: BLE001 - the edge: a fault of ours is answered and logged, never shown
        return _refused(request, error)


@web.middleware
async def limited(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Send away a source that has failed too often; what it asks for is not looked at."""
    if request.method != hdrs.METH_POST:
        return await handler(request)
    limiter = request.app[PARTS].limiter
    wait = limiter.wait_of(request.remote)
    if wait > 0:
        raise web.HTTPTooManyRequests(headers={hdrs.RETRY_AFTER: str(wait)})
    return await handler(request)


@web.middleware
async def failures_noted(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Charge a source for each refusal that is its own fault; an outage of ours is not."""
    response = await handler(request)
    own_fault = 400 <= response.status < 500 and response.status != web.HTTPTooManyRequests.status_code  # noqa: PLR2004 - the class of client errors (RFC 9110 15.5)
    if request.method == hdrs.METH_POST and own_fault and not response.get(EXCUSED, False):
        request.app[PARTS].limiter.count_failure(request.remote)
    return response


async def expected(request: web.Request) -> web.StreamResponse | None:
    """Say 100 to who waits for it before sending a body (RFC 9110 10.1.1); aiohttp asks before any middleware."""
    if request.version < HttpVersion11:
        return None  # the same section: in HTTP/1.0 the field is not there
    if [value.lower() for value in request.headers.getall(hdrs.EXPECT)] != ["100-continue"]:
        return _refused(request, web.HTTPExpectationFailed())
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    request.writer.output_size = 0  # the answer itself has not begun
    return None


async def set_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Write the headers that every answer has; also those that aiohttp makes by itself."""
    headers = response.headers
    headers.popall(hdrs.SERVER, None)
    headers["X-Content-Type-Options"] = "nosniff"
    # Made here, never taken from the request: it can be searched in our logs and cannot forge a line of them.
    headers["X-Request-ID"] = request.app[PARTS].ids.new()
    if hdrs.CACHE_CONTROL not in headers:
        headers[hdrs.CACHE_CONTROL] = "no-store"
        headers[hdrs.PRAGMA] = "no-cache"  # RFC 6749 5.1 still asks for it


def _refused(request: web.Request, error: Exception) -> web.Response:
    return refuse(refusal_of(error), as_problem=PROBLEMS_BELOW in request.path)
