"""The part of pairing in the HTTP API: the token endpoint."""

from tallystick.crypto.tokens import MAX_TOKEN_LENGTH
from tallystick.exchange.endpoint import Api, ApiPart, Endpoint
from tallystick.exchange.oauth_endpoints import TOKEN_TYPES
from tallystick.exchange.openapi_parts import (
    COUNT,
    INVALID,
    Json,
    constant,
    form,
    matching,
    members,
    post,
    proof,
    response,
    text,
)
from tallystick.exchange.requests import MOST_AUDIENCES, SCOPE
from tallystick.pairing.domain.token_claims import TOKEN_PATH
from tallystick.pairing.web.pairing_openapi import PAIRING_FORM, REQUESTER_SCHEMES
from tallystick.pairing.web.token_endpoint import (
    ACCESS_TOKEN_TYPE,
    CLIENT_ID,
    GRANT,
    JWT_TYPE,
    LONGEST_AUDIENCE,
    LONGEST_SCOPE,
    MAY_REPEAT,
)

_CODES = INVALID | {"unsupported_grant_type", "invalid_scope", "invalid_target", "invalid_dpop_proof"}
_REPLAY = "replay"  # a second use is rejected with `invalid_request`, and counted separately

_SEVERAL = {"type": "array", "items": text(minLength=1, maxLength=LONGEST_AUDIENCE), "maxItems": MOST_AUDIENCES}
_AUDIENCES = (
    "Each audience must be one of the use case; the master token has all of them. "
    f"The parameter can be repeated. `audience` and `resource` together have at most {MOST_AUDIENCES} values."
)
_PROOF = proof(
    "A proof of possession (RFC 9449) for this URL and method. The exchange binds the master token to the key. "
    "If the client loses the response, it can repeat the request with the same key."
)
_REDEEMED = members(
    {
        "access_token": text("The master token.", maxLength=MAX_TOKEN_LENGTH, readOnly=True),
        "issued_token_type": constant(ACCESS_TOKEN_TYPE),
        "token_type": text(enum=TOKEN_TYPES),
        "expires_in": {**COUNT, "description": "The lifetime of the master token in seconds."},
        "scope": matching(SCOPE, "All scopes of the master token, separated by spaces."),
        "token_id": text(
            "The ID of the master token (`jti`). The MasterToken has the name `mtok-<token_id>`.", format="uuid"
        ),
    }
)


def _form(api: Api) -> Json:
    return form(
        required={
            "grant_type": constant(GRANT),
            "subject_token": text(
                "The pairing token: the decoded value of key `token` in its Secret.",
                minLength=1,
                maxLength=MAX_TOKEN_LENGTH,
                writeOnly=True,
            ),
            "subject_token_type": constant(JWT_TYPE),
        },
        optional={
            "requested_token_type": constant(ACCESS_TOKEN_TYPE),
            "client_id": matching(
                CLIENT_ID,
                "The URL of the client. Self-reported: the exchange records it and does not verify it.",
                examples=["https://press.example.com"],
            ),
            "scope": matching(
                SCOPE,
                "The requested scopes, separated by spaces. Each must be one of the use case. Default: all of them.",
                maxLength=LONGEST_SCOPE,
                examples=["mission-control:admin"],
            ),
            **api.exchange_hints,
            "audience": {**_SEVERAL, "description": f"The services that must accept the master token. {_AUDIENCES}"},
            "resource": {**_SEVERAL, "description": f"The same as `audience`. {_AUDIENCES}"},
        },
        # RFC 8693, section 4.1: acting for another party is not supported.
        **{"not": {"anyOf": [{"required": ["actor_token"]}, {"required": ["actor_token_type"]}]}},
    )


def _describe(api: Api) -> Json:
    redeemed = response("The master token.", _REDEEMED)
    operation = post("token", "Redeem a pairing token (RFC 8693).", _form(api), redeemed, _CODES)
    return {**operation, "parameters": [_PROOF]}


TOKEN = Endpoint(
    method="POST",
    path=TOKEN_PATH,
    describe=_describe,
    metric="token",
    outcomes=_CODES | {_REPLAY},
    may_repeat=MAY_REPEAT,
    credential="subject_token",
    discovery_url="token_endpoint",
    discovery={
        "grant_types_supported": [GRANT],
        "token_endpoint_auth_methods_supported": ["none"],
        "dpop_signing_alg_values_supported": ["ES256"],
    },
)
API = ApiPart(
    abilities=(
        "request a pairing token",
        "redeem a pairing token for its master token, and introspect, revoke and verify both",
    ),
    tokens=("pairing token", "master token"),
    endpoints=(TOKEN, PAIRING_FORM),
    security_schemes=REQUESTER_SCHEMES,
)
