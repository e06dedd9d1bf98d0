"""The part of a fleet in the HTTP API: the two endpoints of devices, and what introspection adds for their tokens."""

from tallystick.crypto.tokens import MAX_TOKEN_LENGTH
from tallystick.exchange.endpoint import Api, ApiPart, Endpoint
from tallystick.exchange.oauth_endpoints import TOKEN_TYPES
from tallystick.exchange.openapi_parts import (
    INVALID,
    RETRY_AFTER,
    Json,
    headers,
    matching,
    members,
    problems,
    proof,
    response,
    text,
)
from tallystick.exchange.requests import JSON
from tallystick.fleet.domain.next_check_in import CHECK_IN_PATH, DEVICES_PATH
from tallystick.fleet.web.check_in_endpoint import LONGEST_MESSAGE, REASON
from tallystick.fleet.web.enrollment_endpoint import LONGEST_NAME
from tallystick.fleet.web.problems import CHECK_IN, ENROLLMENT, Refusals

_GENERATION = {"type": "integer", "minimum": 1, "maximum": 1_000_000_000}
_TOKEN = text("The copy: the token of the device.", maxLength=MAX_TOKEN_LENGTH, readOnly=True)
_COPY = {
    "generation": {**_GENERATION, "description": "The generation of the copy. Ignore one that is not higher."},
    "token_id": text("The ID of the copy (`jti`).", format="uuid"),
    "token": _TOKEN,
    "token_type": text(enum=TOKEN_TYPES),
}
_ENROLLED = members(
    {
        "device_id": text("The ID of the device: the name of its Device.", pattern="^d-[a-z2-7]{26}$"),
        "project": text("Namespace and key of the project, as `namespace/key`."),
        **_COPY,
        "check_in_uri": text("The URL at which the device checks in.", format="uri"),
        "check_in_seconds": {**_GENERATION, "description": "The time between two check-ins in seconds."},
    }
)
_HANDED_OUT = members(
    {**_COPY, "rotation": text("The name of the TokenRotation.")},
    {
        "prove_before": text(
            "The time after which the device counts as failed. A proof that comes later counts all the same.",
            format="date-time",
        )
    },
)
_NAME = text("Name for people. Self-reported; it may repeat.", minLength=1, maxLength=LONGEST_NAME)
_FAILED = members(
    {"generation": _GENERATION, "reason": matching(REASON, "Reason in CamelCase.", examples=["DiskFull"])},
    {"message": text("Text for people.", minLength=1, maxLength=LONGEST_MESSAGE)},
    description="The failure to store or to use a copy. Self-reported.",
    additionalProperties=True,
)


def _described(refusals: Refusals) -> dict[int, tuple[str, frozenset[str], tuple[str, ...]]]:
    """Return the problems of an endpoint by status: description, error codes and titles."""
    found: dict[int, tuple[str, frozenset[str], tuple[str, ...]]] = {}
    for code, (status, title, description) in refusals.items():
        before = found.get(status, ("", frozenset(), ()))
        titles = (*before[2], title) if title and title not in before[2] else before[2]
        found[status] = (description or before[0], before[1] | {code}, titles)
    return found


def _bad_request(refusals: Refusals) -> tuple[str, frozenset[str], tuple[str, ...]]:
    """Return the problems of status 400, which every endpoint has."""
    _, codes, titles = _described(refusals).get(400, ("", frozenset(), ()))
    return "The request is rejected.", codes | INVALID, (*titles, "Bad Request")


def _describe_enrollment(_: Api) -> Json:
    body = members({}, {"name": _NAME}, additionalProperties=True)
    refused = {**_described(ENROLLMENT), 400: _bad_request(ENROLLMENT)}
    return {
        "operationId": "enroll",
        "summary": "Enroll a device.",
        "security": [{"enrollmentToken": []}],
        "parameters": [
            proof(
                "A proof of the key of the device (RFC 9449) for this URL and method, without `ath`. Each copy is "
                "bound to the key. If the device loses the response, it can repeat the request with the same key."
            )
        ],
        "requestBody": {"required": False, "content": {JSON: {"schema": body}}},
        "responses": {
            "201": response("The device is enrolled.", _ENROLLED),
            "200": response("This key has enrolled before.", _ENROLLED),
            **problems(refused),
        },
    }


def _describe_check_in(_: Api) -> Json:
    body = members({}, {"failed": _FAILED}, additionalProperties=True)
    refused = {**_described(CHECK_IN), 400: _bad_request(CHECK_IN)}
    idle = {
        "description": "There is nothing to do, or the new copy is proved. Check in again after the number of seconds "
        "in `Retry-After`.",
        "headers": headers(required=RETRY_AFTER),
    }
    return {
        "operationId": "checkIn",
        "summary": "Check in: bring a new copy, prove it by use, or report a failure.",
        "security": [{"deviceToken": []}],
        "parameters": [
            {
                "name": "id",
                "in": "path",
                "required": True,
                "schema": text("The ID of the device.", pattern="^d-[a-z2-7]{26}$"),
            },
            proof(
                "A proof of the key of the device (RFC 9449) for this URL and method, with the hash of the copy as "
                "`ath`. The exchange requires it for a copy that is bound to a key."
            ),
        ],
        "requestBody": {"required": False, "content": {JSON: {"schema": body}}},
        "responses": {
            "204": idle,
            "200": response(
                "A newer copy. Store it, and then check in with it at once.", _HANDED_OUT, required=RETRY_AFTER
            ),
            **problems(refused, challenge="^DPoP"),
        },
    }


ENROLL = Endpoint(
    method="POST",
    path=DEVICES_PATH,
    describe=_describe_enrollment,
    metric="enroll",
    credential="bearer",
    outcomes=frozenset(ENROLLMENT),
)
CHECK_IN_ENDPOINT = Endpoint(
    method="POST",
    path=CHECK_IN_PATH,
    describe=_describe_check_in,
    metric="check_in",
    credential="bearer",
    outcomes=frozenset(CHECK_IN),
)
API = ApiPart(
    abilities=("enroll a device and let it check in",),
    tokens=("enrollment token", "device token"),
    endpoints=(ENROLL, CHECK_IN_ENDPOINT),
    introspected={
        "project": text("Namespace and key of the project of a device token or enrollment token, as `namespace/key`.")
    },
    security_schemes={
        "enrollmentToken": {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "The value that devices enroll with, from the Secret of its PairingToken.",
        },
        "deviceToken": {
            "type": "http",
            "scheme": "DPoP",
            "description": "The copy of the device, with a proof of its key (RFC 9449). A copy that is not bound to a "
            "key is a bearer token.",
        },
    },
)
