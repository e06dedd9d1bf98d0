"""The part of pairing in the HTTP API: the token endpoint."""

from tallystick.crypto.dpop import MAX_PROOF_LENGTH
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
    response,
    text,
)
from tallystick.exchange.requests import DPOP, MOST_AUDIENCES, SCOPE
from tallystick.pairing.domain.token_claims import TOKEN_PATH
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
_REPLAY = "replay"  # a second use is refused with `invalid_request`, and counted apart

_SEVERAL = {"type": "array", "items": text(minLength=1, maxLength=LONGEST_AUDIENCE), "maxItems": MOST_AUDIENCES}
_WHO = f"The parameter may repeat; `audience` and `resource` together name at most {MOST_AUDIENCES} places."
_PROOF = text(
    "A proof of possession (RFC 9449) for this URL and method. The master token is then bound to its key, and whoever "
    "holds the key may ask again after a lost answer.",
    maxLength=MAX_PROOF_LENGTH,
)
_REDEEMED = members(
    {
        "access_token": text("The master token.", maxLength=MAX_TOKEN_LENGTH, readOnly=True),
        "issued_token_type": constant(ACCESS_TOKEN_TYPE),
        "token_type": text(enum=TOKEN_TYPES),
        "expires_in": {**COUNT, "description": "Seconds."},
        "scope": matching(SCOPE, "All scopes of the token."),
        "token_id": text("The id of the master token, by which its object is named.", format="uuid"),
    }
)


def _form(api: Api) -> Json:
    return form(
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
            **api.exchange_hints,
            "audience": {**_SEVERAL, "description": f"Who the token is for, of those of the use case. {_WHO}"},
            "resource": {**_SEVERAL, "description": f"The same as `audience`. {_WHO}"},
        },
        # RFC 8693, section 4.1: acting for another party is not supported.
        **{"not": {"anyOf": [{"required": ["actor_token"]}, {"required": ["actor_token_type"]}]}},
    )


def _describe(api: Api) -> Json:
    redeemed = response("The master token.", _REDEEMED)
    operation = post("token", "Redeem a pairing token (RFC 8693).", _form(api), redeemed, _CODES)
    proof = {"name": DPOP, "in": "header", "required": False, "schema": _PROOF}
    return {**operation, "parameters": [proof]}


TOKEN = Endpoint(
    method="POST",
    path=TOKEN_PATH,
    describe=_describe,
    metric="token",
    outcomes=_CODES | {_REPLAY},
    may_repeat=MAY_REPEAT,
    discovery_url="token_endpoint",
    discovery={
        "grant_types_supported": [GRANT],
        "token_endpoint_auth_methods_supported": ["none"],
        "dpop_signing_alg_values_supported": ["ES256"],
    },
)
API = ApiPart(
    abilities=("redeem a pairing token for its master token, introspect and revoke both, and verify them",),
    tokens=("pairing token", "master token"),
    endpoints=(TOKEN,),
    ready={"useCases": text("Names the table of use cases: replicas must have the same.", pattern="^[0-9a-f]{64}$")},
)
