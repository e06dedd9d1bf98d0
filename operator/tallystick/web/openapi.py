"""The exchange's HTTP API as an OpenAPI 3.1 document: at /openapi.json, and as docs/openapi.json.

It is the same for every replica: what settings decide, such as the issuer, is in the discovery document.
"""

import json
from collections.abc import Mapping, Set
from functools import cache

from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from tallystick import __version__
from tallystick.domain.connection_secrets import HEARTBEAT_PATH
from tallystick.domain.grants import TOKEN_PATH
from tallystick.services.callers import LONGEST_BEARER
from tallystick.web import openapi_schemas as schemas
from tallystick.web.answers import HTTP_REFUSALS, NOT_YET_CODES, PROBLEM
from tallystick.web.connections import (
    BROKEN,
    LONGEST_LINE,
    MOST_CONNECTIONS,
    MOST_HEAD_BYTES,
    MOST_HEADERS,
    MOST_PER_SOURCE,
)
from tallystick.web.exchange import DPOP
from tallystick.web.forms import BODY_SECONDS, FORM, MOST_BYTES, MOST_PARAMETERS
from tallystick.web.health import HEALTHZ_PATH, METRICS_PATH, READYZ_PATH
from tallystick.web.heartbeats import JSON
from tallystick.web.limits import FailureLimits
from tallystick.web.metadata import CACHED, DISCOVERY_PATH, INTROSPECT_PATH, JWK_SET, JWKS_PATH, REVOKE_PATH
from tallystick.web.openapi_schemas import Json, constant, refusal, text

OPENAPI_PATH = "/openapi.json"

# The codes of 400 and of 503; HTTP_REFUSALS has those of the other statuses.
_INVALID = {"invalid_request"}
_TOKEN_CODES = _INVALID | {"unsupported_grant_type", "invalid_scope", "invalid_target", "invalid_dpop_proof"}
_REVOKE_CODES = _INVALID | {"unsupported_token_type"}
_BUSY = {"temporarily_unavailable"}


# Answers that many operations have in common, by their names in the document.
_NOT_HTTP = "NotHTTP"
_HTTP_REFUSALS = {
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

_RETRY_AFTER = {"Retry-After": {"type": "integer", "minimum": 1, "description": "Seconds."}}
_HEADERS_OF_REFUSALS = {
    401: {"WWW-Authenticate": text(pattern="^Bearer")},
    405: {"Allow": text()},
    429: _RETRY_AFTER,
}


async def get_openapi(_: web.Request) -> web.Response:
    """Serve the document."""
    return web.Response(text=openapi_text(), content_type=JSON, headers=CACHED)


@cache
def openapi_text() -> str:
    """Write the document; the same code gives the same bytes."""
    return json.dumps(openapi(), indent=2) + "\n"


def openapi() -> Json:
    """Build the document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Tallystick exchange",
            "version": __version__,
            "description": _description(),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": {
            TOKEN_PATH: {"post": _token()},
            INTROSPECT_PATH: {"post": _introspect()},
            REVOKE_PATH: {"post": _revoke()},
            HEARTBEAT_PATH: {"post": _heartbeat()},
            JWKS_PATH: {"get": _jwks()},
            DISCOVERY_PATH: {"get": _discovery()},
            OPENAPI_PATH: {"get": _self()},
            HEALTHZ_PATH: {"get": _healthz()},
            READYZ_PATH: {"get": _readyz()},
            METRICS_PATH: {"get": _metrics()},
        },
        "components": {
            "securitySchemes": {"serviceAccount": _service_account(), "connectionToken": _connection_token()},
            "responses": _shared_answers(),
            "headers": _shared_headers(),
        },
    }


def _description() -> str:
    limits = FailureLimits()
    return (
        "Redeem a pairing token for its master token, introspect and revoke both, and verify them; take the heartbeats "
        "of instances that hold a connection token.\n\n"
        f"A request has at most {MOST_HEADERS} headers of {LONGEST_LINE} bytes each, {MOST_HEAD_BYTES} bytes in all; a "
        f"body at most {MOST_BYTES} bytes and {MOST_PARAMETERS} parameters, and {BODY_SECONDS:.0f} seconds to arrive. "
        f"A replica takes {MOST_CONNECTIONS} connections at once, of one source by default {MOST_PER_SOURCE}. A source "
        f"that has failed {limits.burst} times may fail {limits.per_second:.0f} times a second. "
        "A parameter without a value counts as not sent, and none may repeat but `audience` and `resource`.\n\n"
        "Where the issuer has a path, the OAuth endpoints and the keys are served beneath it too, and the discovery "
        "document also with the path after it (RFC 8414 3.1). Any other path is answered by `NotFound` and any other "
        "method by `MethodNotAllowed`."
    )


def _service_account() -> Json:
    return {
        "type": "http",
        "scheme": "bearer",
        "description": "A token of a ServiceAccount with the issuer as its audience, of at most "
        f"{LONGEST_BEARER} characters. RBAC says what its holder may introspect.",
    }


def _connection_token() -> Json:
    return {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "A connection token, as the Secret of its ConnectionConfiguration has it.",
    }


def _token() -> Json:
    redeemed = _answer("The master token.", schemas.REDEEMED)
    proof = {"name": DPOP, "in": "header", "required": False, "schema": schemas.PROOF}
    operation = _post("token", "Redeem a pairing token (RFC 8693).", schemas.TOKEN_FORM, redeemed, _TOKEN_CODES)
    return {**operation, "parameters": [proof]}


def _introspect() -> Json:
    described = _answer("What the token is now, as far as the caller may know.", schemas.INTROSPECTED)
    operation = _post("introspect", "Is this token good now (RFC 7662)?", schemas.INTROSPECT_FORM, described, _INVALID)
    operation["responses"]["401"] = _shared(_HTTP_REFUSALS[401])
    return {**operation, "security": [{"serviceAccount": []}]}


def _revoke() -> Json:
    done = {"description": "The token is over, or was none.", "headers": _headers()}
    operation = _post("revoke", "End a token that one holds (RFC 7009).", schemas.REVOKE_FORM, done, _REVOKE_CODES)
    operation["responses"]["503"] = _shared(_UNAVAILABLE)  # what is over needs no clock
    return operation


def _heartbeat() -> Json:
    """Describe the one endpoint that refuses in the form of RFC 9457."""
    taken = {
        "description": "Taken. The next one is due after `Retry-After` seconds.",
        "headers": _headers(required=_RETRY_AFTER),
    }
    refused = {
        "400": _problem("The request is not as it must be.", 400, _INVALID),
        "401": _problem("The token is not valid.", 401, {"invalid_token"}, _HEADERS_OF_REFUSALS[401]),
        "403": _problem("It belongs to another deployment type.", 403, {"deployment_type_mismatch"}),
        "404": _problem("It belongs to another configuration.", 404, {"not_found"}),
        **{str(status): _problem_of(status) for status in (408, 413, 415, 417, 429)},
        "500": _problem("A fault of the service.", 500, {"server_error"}),
        "503": _problem("It cannot be known now; ask again.", 503, NOT_YET_CODES, _RETRY_AFTER),
    }
    return {
        "operationId": "heartbeat",
        "summary": "An instance is there, and uses this token.",
        "security": [{"connectionToken": []}],
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": schemas.OBJECT_NAME}
            for name in ("namespace", "name")
        ],
        "requestBody": {"required": True, "content": {JSON: {"schema": schemas.HEARTBEAT}}},
        "responses": {"204": taken, **refused},
    }


def _problem_of(status: int) -> Json:
    code, description = HTTP_REFUSALS[status]
    return _problem(f"{description[0].upper()}{description[1:]}.", status, {code}, _HEADERS_OF_REFUSALS.get(status))


def _problem(description: str, status: int, codes: Set[str], required: Mapping[str, Json] | None = None) -> Json:
    return _answer(description, schemas.problem(status, codes), media=PROBLEM, required=required)


def _jwks() -> Json:
    keys = _answer("A JWK Set (RFC 7517 5).", schemas.JWKS, media=JWK_SET, cached=True)
    return _get("jwks", "The public keys: the old ones, the one that signs, the coming one.", keys)


def _discovery() -> Json:
    found = _answer("The metadata of the issuer.", schemas.discovered(), cached=True)
    return _get("discovery", "The issuer, its endpoints and what they take (RFC 8414).", found)


def _self() -> Json:
    return _get("openapi", "This document.", _answer("An OpenAPI 3.1 document.", {"type": "object"}, cached=True))


def _healthz() -> Json:
    return _get("healthz", "Is the process alive?", _answer("It is.", schemas.HEALTHY))


def _readyz() -> Json:
    operation = _get("readyz", "Can the replica serve?", _answer("It can.", schemas.READY))
    not_yet = {"oneOf": [schemas.NOT_READY, refusal(_BUSY)]}
    operation["responses"]["503"] = _answer("It cannot, and why.", not_yet)
    return operation


def _metrics() -> Json:
    found = _answer("The registry, in the text format of Prometheus.", text(), media=CONTENT_TYPE_LATEST)
    return _get("metrics", "What has the replica done?", found)


def _get(name: str, summary: str, found: Json) -> Json:
    answers = {
        "200": found,
        "400": _shared(_NOT_HTTP),
        "417": _shared(_HTTP_REFUSALS[417]),
        "500": _shared(_FAULT),
        "503": _shared(_UNAVAILABLE),
    }
    return {"operationId": name, "summary": summary, "responses": answers}


def _post(name: str, summary: str, form: Json, done: Json, codes: Set[str]) -> Json:
    refused = {str(status): _shared(_HTTP_REFUSALS[status]) for status in (408, 413, 415, 417, 429)}
    answers = {
        "200": done,
        "400": _answer("It is refused.", refusal(codes)),
        **refused,
        "500": _shared(_FAULT),
        "503": _shared(_CLOCK_UNSAFE),
    }
    body = {"required": True, "content": {FORM: {"schema": form}}}
    return {"operationId": name, "summary": summary, "requestBody": body, "responses": answers}


def _shared(name: str) -> Json:
    return {"$ref": f"#/components/responses/{name}"}


def _shared_answers() -> Json:
    cannot_know = "It cannot be known now; ask again."
    return {
        _NOT_HTTP: _answer("No HTTP/1.1.", refusal({BROKEN["error"]}, {BROKEN["error_description"]})),
        **{name: _http_refusal(status) for status, name in _HTTP_REFUSALS.items()},
        _FAULT: _answer("A fault of the service.", refusal({"server_error", BROKEN["error"]})),
        _UNAVAILABLE: _answer(cannot_know, refusal(_BUSY), required=_RETRY_AFTER),
        _CLOCK_UNSAFE: _answer(cannot_know, refusal(NOT_YET_CODES), required=_RETRY_AFTER),
    }


def _http_refusal(status: int) -> Json:
    code, description = HTTP_REFUSALS[status]
    schema = refusal({code}, {description})
    return _answer(f"{description[0].upper()}{description[1:]}.", schema, required=_HEADERS_OF_REFUSALS.get(status, {}))


def _answer(
    description: str,
    schema: Json,
    *,
    media: str = JSON,
    cached: bool = False,
    required: Mapping[str, Json] | None = None,
) -> Json:
    headers = _headers("Cached" if cached else "NotStored", required)
    return {"description": description, "headers": headers, "content": {media: {"schema": schema}}}


def _headers(caching: str = "NotStored", required: Mapping[str, Json] | None = None) -> Json:
    shared = {"Cache-Control": caching, "X-Content-Type-Options": "NotSniffed", "X-Request-ID": "RequestID"}
    own = {name: {"required": True, "schema": schema} for name, schema in (required or {}).items()}
    return {**{name: {"$ref": f"#/components/headers/{header}"} for name, header in shared.items()}, **own}


def _shared_headers() -> Json:
    return {
        "Cached": {"required": True, "schema": constant(CACHED["Cache-Control"])},
        "NotStored": {"required": True, "schema": constant("no-store")},
        "NotSniffed": {"required": True, "schema": constant("nosniff")},
        # Not required: an answer to what is no HTTP has no request to name.
        "RequestID": {"schema": text("Made here for each request; our logs have it.", format="uuid")},
    }
