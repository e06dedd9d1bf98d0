"""The parts that OpenAPI operations have in common: schemas, requests, responses and headers.

Schemas are JSON Schema (draft 2020-12, as OpenAPI 3.1 has it).
"""

import re
from collections.abc import Collection, Mapping, Set
from typing import Any

from tallystick.crypto.dpop import MAX_PROOF_LENGTH
from tallystick.exchange.requests import DPOP, FORM, JSON
from tallystick.exchange.responses import CACHED, HTTP_ERRORS, NOT_YET_CODES, PROBLEM, phrase_of, problem_type
from tallystick.exchange.transport import BROKEN

Json = dict[str, Any]
Titles = tuple[str, ...]
"""The titles that the problems of a status have, one for each code; none for the phrase of the status."""

COUNT: Json = {"type": "integer", "minimum": 0}
ERROR_TEXT = "Description of the error, for people."
RETRY_AFTER = {
    "Retry-After": {"type": "integer", "minimum": 1, "description": "Seconds to wait before the next request."}
}
UNAVAILABLE = "The exchange cannot read the state now. Try again."
INVALID = frozenset({"invalid_request"})
BUSY = frozenset({"temporarily_unavailable"})


def text(description: str = "", **bounds: object) -> Json:
    """A string."""
    return {"type": "string", **({"description": description} if description else {}), **bounds}


def constant(value: str) -> Json:
    """One string and no other."""
    return {"type": "string", "const": value}


def matching(pattern: re.Pattern[str], description: str, **bounds: object) -> Json:
    """A string that a pattern describes as a whole."""
    return text(description, pattern=f"^{pattern.pattern}$", **bounds)


def proof(description: str) -> Json:
    """The header of a proof of possession, which a request may have."""
    return {"name": DPOP, "in": "header", "required": False, "schema": text(description, maxLength=MAX_PROOF_LENGTH)}


def members(required: Mapping[str, Json], optional: Mapping[str, Json] | None = None, **keywords: object) -> Json:
    """An object with these members and no others."""
    return {
        "type": "object",
        "required": list(required),
        "properties": {**required, **(optional or {})},
        "additionalProperties": False,
        **keywords,
    }


def form(required: Mapping[str, Json], optional: Mapping[str, Json], **keywords: object) -> Json:
    """The parameters of a request. The exchange ignores unknown ones (RFC 6749, section 3.2)."""
    return members(required, optional, **{"additionalProperties": True, **keywords})


def error(codes: Collection[str], descriptions: Collection[str] = ()) -> Json:
    """An error response (RFC 6749, section 5.2) of one of these codes; without descriptions, with any text."""
    description = text(enum=sorted(descriptions)) if descriptions else text(ERROR_TEXT)
    return members({"error": text(enum=sorted(codes)), "error_description": description})


def problem(status: int, codes: Collection[str], titles: Titles = ()) -> Json:
    """A problem (RFC 9457, section 3.1) of one of these codes; the default title is the phrase of the status."""
    return members(
        {
            "type": text(enum=sorted(problem_type(code) for code in codes)),
            "title": text(enum=list(titles or (phrase_of(status),))),
            "status": {"const": status},
            "detail": text(ERROR_TEXT),
        }
    )


# The responses that many operations have in common, by their names in the document.
_NOT_HTTP = "NotHTTP"
_HTTP_ERRORS = {
    401: "Unauthenticated",
    404: "NotFound",
    405: "MethodNotAllowed",
    408: "TooSlow",
    413: "TooLarge",
    415: "NotAForm",
    417: "UnknownExpectation",
    429: "TooManyFailures",
}
_FAULT, _UNAVAILABLE, _CLOCK_UNSAFE = "Fault", "Unavailable", "UnavailableOrClockUnsafe"
_ERROR_HEADERS = {
    401: {"WWW-Authenticate": text(pattern="^Bearer")},
    405: {"Allow": text()},
    429: RETRY_AFTER,
}
_BODY_ERRORS = (408, 413, 415, 417, 429)


def get(name: str, summary: str, found: Json) -> Json:
    """Describe an operation that reads."""
    responses = {
        "200": found,
        "400": _shared(_NOT_HTTP),
        "417": _shared(_HTTP_ERRORS[417]),
        "500": _shared(_FAULT),
        "503": unavailable(),
    }
    return {"operationId": name, "summary": summary, "responses": responses}


def post(name: str, summary: str, parameters: Json, done: Json, codes: Set[str]) -> Json:
    """Describe an operation that takes a form; `codes` are those of status 400."""
    responses = {
        "200": done,
        "400": response("The request is rejected.", error(codes)),
        **{str(status): _shared(_HTTP_ERRORS[status]) for status in _BODY_ERRORS},
        "500": _shared(_FAULT),
        "503": _shared(_CLOCK_UNSAFE),
    }
    body = {"required": True, "content": {FORM: {"schema": parameters}}}
    return {"operationId": name, "summary": summary, "requestBody": body, "responses": responses}


def unavailable() -> Json:
    """Refer to the response of an operation that needs no safe clock."""
    return _shared(_UNAVAILABLE)


def unauthenticated() -> Json:
    """Refer to the response to a caller that is not authenticated."""
    return _shared(_HTTP_ERRORS[401])


def problems(codes: Mapping[int, tuple[str, Set[str], Titles]], *, challenge: str = "^Bearer") -> dict[str, Json]:
    """Describe the problems of an operation that takes JSON.

    Args:
        codes: By status: description, error codes and titles. They are beside the problems that every such operation
            has.
        challenge: The pattern of the header `WWW-Authenticate` of a 401.
    """
    shared = {
        **{status: (_sentence(HTTP_ERRORS[status][1]), {HTTP_ERRORS[status][0]}, ()) for status in _BODY_ERRORS},
        500: ("An internal error of the exchange.", {"server_error"}, ()),
        503: (UNAVAILABLE, NOT_YET_CODES, ()),
    }
    headers = {**_ERROR_HEADERS, 401: {"WWW-Authenticate": text(pattern=challenge)}, 503: RETRY_AFTER}
    return {
        str(status): response(description, problem(status, of, titles), media=PROBLEM, required=headers.get(status))
        for status, (description, of, titles) in {**codes, **shared}.items()
    }


def response(
    description: str,
    schema: Json,
    *,
    media: str = JSON,
    cached: bool = False,
    required: Mapping[str, Json] | None = None,
) -> Json:
    """Describe a response with a body; `required` are the headers that it always has beside the common ones."""
    content = {media: {"schema": schema}}
    return {
        "description": description,
        "headers": headers("Cached" if cached else "NotStored", required),
        "content": content,
    }


def headers(caching: str = "NotStored", required: Mapping[str, Json] | None = None) -> Json:
    """Describe the headers of a response."""
    shared = {"Cache-Control": caching, "X-Content-Type-Options": "NotSniffed", "X-Request-ID": "RequestID"}
    own = {name: {"required": True, "schema": schema} for name, schema in (required or {}).items()}
    return {**{name: {"$ref": f"#/components/headers/{header}"} for name, header in shared.items()}, **own}


def shared_responses() -> Json:
    """Return the responses that operations refer to."""
    return {
        _NOT_HTTP: response(
            "The request is not valid HTTP/1.1.", error({BROKEN["error"]}, {BROKEN["error_description"]})
        ),
        **{name: _http_error(status) for status, name in _HTTP_ERRORS.items()},
        _FAULT: response("An internal error of the exchange.", error({"server_error", BROKEN["error"]})),
        _UNAVAILABLE: response(UNAVAILABLE, error(BUSY), required=RETRY_AFTER),
        _CLOCK_UNSAFE: response(UNAVAILABLE, error(NOT_YET_CODES), required=RETRY_AFTER),
    }


def shared_headers() -> Json:
    """Return the headers that responses refer to."""
    return {
        "Cached": {"required": True, "schema": constant(CACHED["Cache-Control"])},
        "NotStored": {"required": True, "schema": constant("no-store")},
        "NotSniffed": {"required": True, "schema": constant("nosniff")},
        # Not required: a response to bytes that are not HTTP belongs to no request.
        "RequestID": {"schema": text("ID of the request, created by the exchange.", format="uuid")},
    }


def _shared(name: str) -> Json:
    return {"$ref": f"#/components/responses/{name}"}


def _http_error(status: int) -> Json:
    code, description = HTTP_ERRORS[status]
    return response(_sentence(description), error({code}, {description}), required=_ERROR_HEADERS.get(status, {}))


def _sentence(description: str) -> str:
    return f"{description[0].upper()}{description[1:]}."
