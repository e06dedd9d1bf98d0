"""The part of connections in the HTTP API: the heartbeat, and the facts that introspection returns for their tokens."""

from tallystick.connections.api.connection_configuration import DeploymentType
from tallystick.connections.domain.presence import INSTANCE_ID
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
from tallystick.exchange.responses import JSON

_TYPES = list(DeploymentType)
_DEPLOYMENT_TYPE = text("What the token is used in.", enum=_TYPES)
_OBJECT_NAME = text("Of the ConnectionConfiguration that the token names.", pattern="^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
_HEARTBEAT = members(
    {
        "instance_id": matching(INSTANCE_ID, "Who sends it, by a name that it keeps.", examples=["press-1"]),
        "deployment_type": _DEPLOYMENT_TYPE,
    },
    additionalProperties=True,
)
_DESCRIPTIONS = {
    "invalid_token": "The token is not valid.",
    "deployment_type_mismatch": "It belongs to another deployment type.",
    "not_found": "It belongs to another configuration.",
}


def _describe(_: Api) -> Json:
    taken = {
        "description": "Taken. The next one is due after `Retry-After` seconds.",
        "headers": headers(required=RETRY_AFTER),
    }
    refused = {status: (_DESCRIPTIONS[code], {code}, title) for code, (status, title) in REFUSALS.items()}
    return {
        "operationId": "heartbeat",
        "summary": "An instance is there, and uses this token.",
        "security": [{"connectionToken": []}],
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": _OBJECT_NAME} for name in ("namespace", "name")
        ],
        "requestBody": {"required": True, "content": {JSON: {"schema": _HEARTBEAT}}},
        "responses": {"204": taken, **problems({400: ("The request is not as it must be.", INVALID, ""), **refused})},
    }


HEARTBEAT = Endpoint(
    method="POST",
    path=HEARTBEAT_PATH,
    describe=_describe,
    metric="heartbeat",
    outcomes=frozenset(REFUSALS),
)
API = ApiPart(
    abilities=("take the heartbeats of instances that hold a connection token",),
    tokens=("connection token",),
    endpoints=(HEARTBEAT,),
    exchange_hints={"deployment_type": _DEPLOYMENT_TYPE},
    introspection_hints={
        "deployment_type": text(
            "What the token is used in. A connection token is good for one type alone and inactive in any other, so "
            "that it is needed with one; all other tokens are bound to none, and inactive.",
            enum=_TYPES,
        )
    },
    introspected={
        "exp": {**COUNT, "description": "Absent of a connection token: it is valid until it is revoked."},
        "deployment_type": text("What a connection token is good for.", enum=_TYPES),
        "connection": text("The namespace and name of its ConnectionConfiguration."),
    },
    security_schemes={
        "connectionToken": {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "A connection token, as the Secret of its ConnectionConfiguration has it.",
        }
    },
)
