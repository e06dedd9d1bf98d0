"""Translate: what went wrong inside, and what the caller is told. The only place of the exchange that does.

Every refusal is a constant or a text that a use case made for the caller (RFC 6749 5.2). No input is repeated.
"""

import json
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from pathlib import Path

import structlog
from aiohttp import web

from tallystick.crypto.dpop import InvalidProofError
from tallystick.domain.errors import ExchangeRefusedError, NotYetError, UseRefusedError
from tallystick.services.ports import ClusterError
from tallystick.web.bearer import INVALID_BEARER

log = structlog.get_logger("tallystick.web")

OUTCOME = web.ResponseKey("OUTCOME", str)
"""`ok` or the error code of an answer, for the metrics."""
EXCUSED = web.ResponseKey("EXCUSED", bool)
"""Whether a refusal is nobody's fault."""

NOT_YET_CODES = frozenset({"temporarily_unavailable", "clock_unsafe"})
_CANNOT_KNOW = "the state of the token cannot be read now; ask again"
_KEPT_HEADERS = ("Allow", "Retry-After", "WWW-Authenticate")
HTTP_REFUSALS = {
    401: ("invalid_token", "the caller must be authenticated: a bearer token of a ServiceAccount, for this issuer"),
    404: ("not_found", "there is nothing at this path"),
    405: ("invalid_request", "this method is not served at this path"),
    408: ("invalid_request", "the body took too long to arrive"),
    413: ("invalid_request", "the body is larger than 64 KiB"),
    415: ("invalid_request", "the body must be application/x-www-form-urlencoded, without a content encoding"),
    417: ("invalid_request", "only Expect: 100-continue is known"),
    429: ("too_many_requests", "too many requests from this source have failed; ask again later"),
}
NO_CONNECTION_TOKEN = "the instance must show its connection token as a bearer token"  # noqa: S105 - a text
NOT_JSON = "the body must be application/json, without a content encoding"
# The status of each code by which a connection token is refused.
USE_REFUSALS = {"invalid_token": 401, "deployment_type_mismatch": 403, "not_found": 404}
PROBLEM = "application/problem+json"
_TITLES = {
    "invalid_token": "The token is not valid",
    "deployment_type_mismatch": "The token is bound to another deployment type",
}


class NoConnectionTokenError(web.HTTPUnauthorized):
    """An instance shows no bearer, or one that cannot be a token."""


class NotJSONError(web.HTTPUnsupportedMediaType):
    """The body is not declared as JSON where JSON alone is read."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error answer: its HTTP status, the error code and description, further headers, the metrics' word.

    `excused`: whoever asks holds a token of ours, so that it is no guess and counts against nobody.
    """

    status: int
    code: str
    description: str
    headers: Mapping[str, str] = field(default_factory=dict)
    outcome: str = ""
    excused: bool = False


def refusal_of(error: Exception) -> Refusal:
    """Say what the caller is told about an error."""
    match error:
        case ExchangeRefusedError():
            return Refusal(400, error.code, error.description, outcome=error.outcome)
        case UseRefusedError():
            return _use_refusal(error)
        case NoConnectionTokenError():
            return replace(_http_refusal(error), description=NO_CONNECTION_TOKEN)
        case NotJSONError():
            return replace(_http_refusal(error), description=NOT_JSON)
        case InvalidProofError():
            return Refusal(400, "invalid_dpop_proof", str(error))
        case NotYetError():
            return _not_yet(error)
        case ClusterError():
            # A use case lets through what it has no answer to, such as a Role that lacks a rule: nothing is known.
            _log("the API server refused", error)
            return Refusal(503, "temporarily_unavailable", _CANNOT_KNOW, {"Retry-After": "5"})
        case web.HTTPException():
            return _http_refusal(error)
        case _:
            _log("unexpected error", error)
            return Refusal(500, "server_error", "the request could not be answered because of a fault in the service")


def refuse(refusal: Refusal, *, as_problem: bool = False) -> web.Response:
    """Write a refusal as JSON: in the form of OAuth (RFC 6749 5.2), or as a problem (RFC 9457)."""
    response = json_answer(
        problem(refusal) if as_problem else {"error": refusal.code, "error_description": refusal.description},
        status=refusal.status,
        headers=refusal.headers,
        content_type=PROBLEM if as_problem else "application/json",
        outcome=refusal.outcome or refusal.code,
    )
    response[EXCUSED] = refusal.excused
    if refusal.status in (408, 413):
        response.force_close()  # the rest of the body is not wanted
    return response


def problem(refusal: Refusal) -> dict[str, object]:
    """Say a refusal as a problem (RFC 9457 3.1)."""
    return {
        "type": problem_type(refusal.code),
        "title": problem_title(refusal.code, refusal.status),
        "status": refusal.status,
        "detail": refusal.description,
    }


def problem_type(code: str) -> str:
    """Name a kind of problem."""
    return "urn:problem:" + code.replace("_", "-")


def problem_title(code: str, status: int) -> str:
    """Say a kind of problem in a few words."""
    return _TITLES.get(code, HTTPStatus(status).phrase)


def json_answer(
    body: Mapping[str, object],
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    content_type: str = "application/json",
    outcome: str = "ok",
) -> web.Response:
    """Write an object as JSON. ASCII alone: nothing in it can be mistaken for markup of another encoding."""
    response = web.Response(
        body=json.dumps(body, separators=(",", ":")).encode("ascii"),
        status=status,
        headers=dict(headers or {}),
        content_type=content_type,
    )
    response[OUTCOME] = outcome
    return response


def _use_refusal(error: UseRefusedError) -> Refusal:
    status = USE_REFUSALS[error.code]
    headers = {"WWW-Authenticate": INVALID_BEARER} if status == HTTPStatus.UNAUTHORIZED else {}
    return Refusal(status, error.code, error.description, headers, excused=error.verified)


def _not_yet(error: NotYetError) -> Refusal:
    headers = {"Retry-After": str(error.retry_after)}
    if error.reason in NOT_YET_CODES:
        return Refusal(503, error.reason, error.message, headers)
    return Refusal(503, "temporarily_unavailable", _CANNOT_KNOW, headers)


def _http_refusal(error: web.HTTPException) -> Refusal:
    """The errors of aiohttp itself (404, 405) and those that we raise, in our words."""
    generic = ("invalid_request", HTTPStatus(error.status).phrase.lower())
    code, description = HTTP_REFUSALS.get(error.status, generic)
    headers = {name: error.headers[name] for name in _KEPT_HEADERS if name in error.headers}
    return Refusal(error.status, code, description, headers)


def _log(event: str, error: Exception) -> None:
    """Name the class and the place, and no value: a message may quote what came from outside."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    log.error(event, error=type(error).__name__, at=place)
