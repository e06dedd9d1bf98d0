"""The bodies of the exchange's HTTP API as JSON Schema (draft 2020-12, as OpenAPI 3.1 has it).

Names, patterns and bounds are those that the code itself goes by.
"""

import re
from collections.abc import Collection, Mapping
from typing import Any

from tallystick.api.connection_configuration import DeploymentType
from tallystick.crypto.dpop import MAX_PROOF_LENGTH
from tallystick.crypto.tokens import MAX_TOKEN_LENGTH
from tallystick.domain.presence import INSTANCE_ID
from tallystick.web.answers import problem_title, problem_type
from tallystick.web.exchange import (
    ACCESS_TOKEN_TYPE,
    CLIENT_ID,
    DPOP,
    GRANT,
    JWT_TYPE,
    LONGEST_AUDIENCE,
    LONGEST_SCOPE,
    MOST_AUDIENCES,
    SCOPE,
)
from tallystick.web.metadata import discovery

Json = dict[str, Any]

_TOKEN_TYPES = ["Bearer", DPOP]


def text(description: str = "", **bounds: object) -> Json:
    """A string."""
    return {"type": "string", **({"description": description} if description else {}), **bounds}


def constant(value: str) -> Json:
    """One string and no other."""
    return {"type": "string", "const": value}


def matching(pattern: re.Pattern[str], description: str, **bounds: object) -> Json:
    """A string that a pattern describes as a whole."""
    return text(description, pattern=f"^{pattern.pattern}$", **bounds)


def members(required: Mapping[str, Json], optional: Mapping[str, Json] | None = None, **keywords: object) -> Json:
    """An object with these members and no others."""
    return {
        "type": "object",
        "required": list(required),
        "properties": {**required, **(optional or {})},
        "additionalProperties": False,
        **keywords,
    }


def _form(required: Mapping[str, Json], optional: Mapping[str, Json], **keywords: object) -> Json:
    """The parameters of a request. Those that are not known are passed over (RFC 6749 3.2)."""
    return members(required, optional, **{"additionalProperties": True, **keywords})


def refusal(codes: Collection[str], descriptions: Collection[str] = ()) -> Json:
    """An error answer (RFC 6749 5.2) of one of these codes; without descriptions, any text in plain words."""
    said = text(enum=sorted(descriptions)) if descriptions else text("What is wrong, in plain words.")
    return members({"error": text(enum=sorted(codes)), "error_description": said})


def problem(status: int, codes: Collection[str]) -> Json:
    """A problem (RFC 9457 3.1) of one of these codes."""
    return members(
        {
            "type": text(enum=sorted(problem_type(code) for code in codes)),
            "title": text(enum=sorted({problem_title(code, status) for code in codes})),
            "status": {"const": status},
            "detail": text("What is wrong, in plain words."),
        }
    )


_DEPLOYMENT_TYPE = text("What the token is used in.", enum=list(DeploymentType))
OBJECT_NAME = text("Of the ConnectionConfiguration that the token names.", pattern="^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
HEARTBEAT = members(
    {
        "instance_id": matching(INSTANCE_ID, "Who sends it, by a name that it keeps.", examples=["press-1"]),
        "deployment_type": _DEPLOYMENT_TYPE,
    },
    additionalProperties=True,
)

_SEVERAL = {"type": "array", "items": text(minLength=1, maxLength=LONGEST_AUDIENCE), "maxItems": MOST_AUDIENCES}
_WHO = f"The parameter may repeat; `audience` and `resource` together name at most {MOST_AUDIENCES} places."

TOKEN_FORM = _form(
    required={
        "grant_type": constant(GRANT),
        "subject_token": text(
            "The pairing token, as its Secret has it.", minLength=1, maxLength=MAX_TOKEN_LENGTH, writeOnly=True
        ),
        "subject_token_type": constant(JWT_TYPE),
    },
    optional={
        "requested_token_type": constant(ACCESS_TOKEN_TYPE),
        "client_id": matching(
            CLIENT_ID,
            "Who asks, as its own URL. It is recorded and not verified.",
            examples=["https://press.example.com"],
        ),
        "scope": matching(
            SCOPE,
            "The scopes to have, of those of the use case. Default: all.",
            maxLength=LONGEST_SCOPE,
            examples=["mission-control:admin"],
        ),
        "deployment_type": _DEPLOYMENT_TYPE,
        "audience": {**_SEVERAL, "description": f"Who the token is for, of those of the use case. {_WHO}"},
        "resource": {**_SEVERAL, "description": f"The same as `audience`. {_WHO}"},
    },
    # RFC 8693 4.1: acting for somebody else is not supported.
    **{"not": {"anyOf": [{"required": ["actor_token"]}, {"required": ["actor_token_type"]}]}},
)
_ANY_TOKEN = text("A pairing token, a master token or a connection token.", minLength=1, writeOnly=True)
_HINT = text("Not looked at: a token says itself what it is.")
INTROSPECT_FORM = _form(
    required={"token": _ANY_TOKEN},
    optional={
        "token_type_hint": _HINT,
        "deployment_type": text(
            "What the token is used in. A connection token is good for one type alone and inactive in any other, so "
            "that it is needed with one; all other tokens are bound to none, and inactive.",
            enum=list(DeploymentType),
        ),
    },
)
REVOKE_FORM = _form(required={"token": _ANY_TOKEN}, optional={"token_type_hint": _HINT})

PROOF = text(
    "A proof of possession (RFC 9449) for this URL and method. The master token is then bound to its key, and whoever "
    "holds the key may ask again after a lost answer.",
    maxLength=MAX_PROOF_LENGTH,
)

_COUNT = {"type": "integer", "minimum": 0}
_THUMBPRINT = text("The RFC 7638 thumbprint of the key.", pattern="^[A-Za-z0-9_-]{43}$")

REDEEMED = members(
    {
        "access_token": text("The master token.", maxLength=MAX_TOKEN_LENGTH, readOnly=True),
        "issued_token_type": constant(ACCESS_TOKEN_TYPE),
        "token_type": text(enum=_TOKEN_TYPES),
        "expires_in": {**_COUNT, "description": "Seconds."},
        "scope": matching(SCOPE, "All scopes of the token."),
        "token_id": text("The id of the master token, by which its object is named.", format="uuid"),
    }
)

INTROSPECTED: Json = {
    "oneOf": [
        members({"active": {"const": False}}),
        members(
            {
                "active": {"const": True},
                "token_type": text(enum=_TOKEN_TYPES),
                "iss": text(),
                "sub": text(),
                "aud": {
                    "oneOf": [
                        text(),
                        {"type": "array", "items": text(), "minItems": 2, "maxItems": MOST_AUDIENCES},
                    ]
                },
                "iat": _COUNT,
                "jti": text(),
                "scope": matching(SCOPE, "Its scopes."),
            },
            {
                "exp": {**_COUNT, "description": "Absent of a connection token: it is valid until it is revoked."},
                "cnf": members({"jkt": _THUMBPRINT}),
                "deployment_type": text("What a connection token is good for.", enum=list(DeploymentType)),
                "connection": text("The namespace and name of its ConnectionConfiguration."),
            },
        ),
    ]
}

_KEY = {"kid": _THUMBPRINT, "use": constant("sig")}
JWKS = members(
    {
        "keys": {
            "type": "array",
            "minItems": 1,
            "items": {
                "oneOf": [
                    members(
                        {
                            "kty": constant("EC"),
                            "crv": constant("P-256"),
                            "x": text(),
                            "y": text(),
                            "alg": constant("ES256"),
                            **_KEY,
                        }
                    ),
                    members({"kty": constant("RSA"), "n": text(), "e": text(), "alg": constant("RS256"), **_KEY}),
                ]
            },
        }
    }
)

HEALTHY = members({"status": constant("ok")})
_USE_CASES = text("Names the table of use cases: replicas must have the same.", pattern="^[0-9a-f]{64}$")
READY = members({"status": constant("ready"), "useCases": _USE_CASES})
NOT_READY = members({"status": constant("not ready"), "reason": text("Why."), "useCases": _USE_CASES})


def discovered() -> Json:
    """The discovery document (RFC 8414 2): its members, with the values that no setting changes."""
    issuer = "https://issuer"
    return members({name: _member_of(value, issuer) for name, value in discovery(issuer).items()})


def _member_of(value: object, issuer: str) -> Json:
    if not isinstance(value, str):
        return {"const": value}
    path = value.removeprefix(issuer).replace(".", r"\.")
    return text(format="uri", **({"pattern": f"{path}$"} if path else {}))
