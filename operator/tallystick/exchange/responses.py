"""Turn errors into responses. No other module of the exchange does that.

Each error text is a constant, or a use case wrote it for the caller (RFC 6749, section 5.2). No text repeats input.
"""

import json
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path

import structlog
from aiohttp import web

from tallystick.crypto.keyring import JWKS_MAX_AGE
from tallystick.errors import ExchangeRefusedError, NotYetError, ProblemError
from tallystick.exchange.requests import BODY_SECONDS, INVALID_BEARER, JSON
from tallystick.objects.ports import ClusterError

log = structlog.get_logger("tallystick.web")

OUTCOME = web.ResponseKey("OUTCOME", str)
"""The value of the metric label `outcome`: `ok`, or the error code of the response."""
EXCUSED = web.ResponseKey("EXCUSED", bool)
"""Whether an error response does not count as a failure of its source."""

PROBLEM = "application/problem+json"
CACHED = {"Cache-Control": f"public, max-age={int(JWKS_MAX_AGE.total_seconds())}"}
"""The header of the documents that a client may keep."""
NOT_YET_CODES = frozenset({"temporarily_unavailable", "clock_unsafe"})
_CANNOT_KNOW = "the state of the token cannot be read now; try again"
_KEPT_HEADERS = ("Allow", "Retry-After", "WWW-Authenticate")
HTTP_ERRORS = {
    401: ("invalid_token", "authenticate with a bearer token of a ServiceAccount whose audience is the issuer"),
    404: ("not_found", "no endpoint has this path"),
    405: ("invalid_request", "this path does not support this method"),
    408: ("invalid_request", f"the body did not arrive within {BODY_SECONDS:.0f} seconds"),
    413: ("invalid_request", "the body is larger than 64 KiB"),
    415: ("invalid_request", "the body must be application/x-www-form-urlencoded, without a content encoding"),
    417: ("invalid_request", "the only supported expectation is 100-continue"),
    429: (
        "too_many_requests",
        "too many requests from this source have failed; try again after the number of seconds in Retry-After",
    ),
}
OUTCOMES = frozenset({"ok", "server_error"}) | NOT_YET_CODES | {code for code, _ in HTTP_ERRORS.values()}
"""The values of the metric label `outcome` that each endpoint can have."""
# Python 3.13 took over the names of RFC 9110 15.5.
_RENAMED = {
    413: "Content Too Large",
    414: "URI Too Long",
    416: "Range Not Satisfiable",
    422: "Unprocessable Content",
}


def phrase_of(status: int) -> str:
    """Return the phrase of a status, the same on each version of Python."""
    return _RENAMED.get(status) or HTTPStatus(status).phrase


@dataclass(frozen=True, slots=True)
class ErrorResponse:
    """An error as a caller gets it.

    Attributes:
        status: The HTTP status.
        code: The error code, by which a client distinguishes errors.
        description: A text for people.
        headers: Headers beside those of each response.
        title: The title of a problem of this code (RFC 9457). Default: the phrase of the status.
        outcome: The value of the metric label `outcome`. Default: the code.
        excused: Whether the response does not count as a failure of its source.
    """

    status: int
    code: str
    description: str
    headers: Mapping[str, str] = field(default_factory=dict)
    title: str = ""
    outcome: str = ""
    excused: bool = False


def error_response(error: Exception) -> ErrorResponse:
    """Return the response to an error."""
    match error:
        case ExchangeRefusedError():
            return ErrorResponse(400, error.code, error.description, outcome=error.outcome)
        case ProblemError():
            return _problem(error)
        case NotYetError():
            return _not_yet(error)
        case ClusterError():
            # A Role lacks a rule, so the state of the token cannot be read.
            _log("the API server rejected a request", error)
            return ErrorResponse(503, "temporarily_unavailable", _CANNOT_KNOW, {"Retry-After": "5"})
        case web.HTTPException():
            return _http_error(error)
        case _:
            _log("unexpected error", error)
            return ErrorResponse(500, "server_error", "the request failed because of an internal error of the exchange")


def write_error(error: ErrorResponse, *, as_problem: bool = False) -> web.Response:
    """Write an error as JSON: in the form of OAuth (RFC 6749, section 5.2), or as a problem (RFC 9457)."""
    response = json_response(
        problem(error) if as_problem else {"error": error.code, "error_description": error.description},
        status=error.status,
        headers=error.headers,
        content_type=PROBLEM if as_problem else JSON,
        outcome=error.outcome or error.code,
    )
    response[EXCUSED] = error.excused
    if error.status in (408, 413):
        response.force_close()  # the rest of the body is not read
    return response


def problem(error: ErrorResponse) -> dict[str, object]:
    """Return an error as a problem (RFC 9457, section 3.1)."""
    return {
        "type": problem_type(error.code),
        "title": error.title or phrase_of(error.status),
        "status": error.status,
        "detail": error.description,
    }


def problem_type(code: str) -> str:
    """Return the type of a problem by its error code."""
    return "urn:problem:" + code.replace("_", "-")


def json_response(
    body: Mapping[str, object],
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    content_type: str = JSON,
    outcome: str = "ok",
) -> web.Response:
    """Write an object as JSON in ASCII only, so that no client mistakes it for markup of another encoding."""
    response = web.Response(
        body=json.dumps(body, separators=(",", ":")).encode("ascii"),
        status=status,
        headers=dict(headers or {}),
        content_type=content_type,
    )
    response[OUTCOME] = outcome
    return response


def empty_response(*, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return a successful response without a body."""
    response = web.Response(status=status, headers=dict(headers or {}))
    response[OUTCOME] = "ok"
    return response


def _problem(error: ProblemError) -> ErrorResponse:
    headers = {}
    if error.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = error.challenge or INVALID_BEARER
    if error.retry_after:
        headers["Retry-After"] = str(error.retry_after)
    return ErrorResponse(
        error.status,
        error.code,
        error.detail,
        headers,
        title=error.title,
        excused=error.excused,
    )


def _not_yet(error: NotYetError) -> ErrorResponse:
    headers = {"Retry-After": str(error.retry_after)}
    if error.reason in NOT_YET_CODES:
        return ErrorResponse(503, error.reason, error.message, headers)
    return ErrorResponse(503, "temporarily_unavailable", _CANNOT_KNOW, headers)


def _http_error(error: web.HTTPException) -> ErrorResponse:
    """Describe the errors of aiohttp itself (404, 405), and those that we raise."""
    generic = ("invalid_request", phrase_of(error.status).lower())
    code, description = HTTP_ERRORS.get(error.status, generic)
    headers = {name: error.headers[name] for name in _KEPT_HEADERS if name in error.headers}
    return ErrorResponse(error.status, code, description, headers)


def _log(event: str, error: Exception) -> None:
    """Log the class and the place, and no value: a message may quote input."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    log.error(event, error=type(error).__name__, at=place)
