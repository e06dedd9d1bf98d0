"""The part of connections in the HTTP API: the heartbeat, and the members that introspection adds for their tokens."""

from tallystick.connections.api.connection_configuration import DeploymentType
from tallystick.connections.domain.heartbeat_records import INSTANCE_ID
from tallystick.connections.domain.secret import HEARTBEAT_PATH
from tallystick.connections.web.heartbeat_endpoint import REFUSALS
from tallystick.exchange.endpoint import Api, ApiPart, Endpoint
from tallystick.exchange.openapi_parts import (
    COUNT,
    INVALID,
    RETRY_AFTER,
    Json,
    headers,
    matching,
    members,
    problems,
    text,
)
from tallystick.exchange.requests import JSON

_TYPES = list(DeploymentType)
_DEPLOYMENT_TYPE = text("Deployment type in which the token is used.", enum=_TYPES)
_OBJECT_NAME = {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"}
_HEARTBEAT = members(
    {
        "instance_id": matching(
            INSTANCE_ID, "Name of the instance. It must be the same after a restart.", examples=["press-1"]
        ),
        "deployment_type": _DEPLOYMENT_TYPE,
    },
    additionalProperties=True,
)
_DESCRIPTIONS = {
    "invalid_token": "The token is missing or not valid.",
    "deployment_type_mismatch": "The token belongs to another deployment type.",
    "not_found": "The token belongs to another ConnectionConfiguration.",
}


def _describe(_: Api) -> Json:
    taken = {
        "description": "The heartbeat is accepted. Send the next one after the number of seconds in `Retry-After`.",
        "headers": headers(required=RETRY_AFTER),
    }
    refused = {
        status: (_DESCRIPTIONS[code], {code}, (title,) if title else ()) for code, (status, title) in REFUSALS.items()
    }
    return {
        "operationId": "heartbeat",
        "summary": "Report that an instance runs, and which token it uses.",
        "security": [{"connectionToken": []}],
        "parameters": [
            {
                "name": name,
                "in": "path",
                "required": True,
                "schema": {**_OBJECT_NAME, "description": f"The {name} of the ConnectionConfiguration of the token."},
            }
            for name in ("namespace", "name")
        ],
        "requestBody": {"required": True, "content": {JSON: {"schema": _HEARTBEAT}}},
        "responses": {"204": taken, **problems({400: ("The request is not valid.", INVALID, ()), **refused})},
    }


HEARTBEAT = Endpoint(
    method="POST",
    path=HEARTBEAT_PATH,
    describe=_describe,
    metric="heartbeat",
    credential="bearer",
    outcomes=frozenset(REFUSALS),
)
API = ApiPart(
    abilities=("send heartbeats with a connection token",),
    tokens=("connection token",),
    endpoints=(HEARTBEAT,),
    exchange_hints={"deployment_type": _DEPLOYMENT_TYPE},
    introspection_hints={
        "deployment_type": text(
            "Deployment type in which the token is used. Required for a connection token, which is active only "
            "with its own deployment type. If it is present, any other token is inactive.",
            enum=_TYPES,
        )
    },
    introspected={
        "exp": {
            **COUNT,
            "description": "Expiration time, in seconds since 1970. A connection token has none: it is valid until it "
            "is revoked.",
        },
        "deployment_type": text("Deployment type of a connection token.", enum=_TYPES),
        "connection": text(
            "Namespace and name of the ConnectionConfiguration of a connection token, as `namespace/name`."
        ),
    },
    security_schemes={
        "connectionToken": {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "A connection token from the Secret of its ConnectionConfiguration.",
        }
    },
)
