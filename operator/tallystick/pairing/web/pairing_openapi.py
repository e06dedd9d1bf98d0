"""The description of the endpoint that issues pairing tokens on request."""

from tallystick.crypto.tokens import MAX_TOKEN_LENGTH
from tallystick.exchange.endpoint import Api, Endpoint
from tallystick.exchange.openapi_parts import COUNT, RETRY_AFTER, Json, members, problem, problems, response, text
from tallystick.exchange.requests import JSON
from tallystick.exchange.responses import NOT_YET_CODES, PROBLEM
from tallystick.pairing.web.pairing_endpoint import REFUSALS
from tallystick.tokens.callers import LONGEST_BEARER

PAIRING_PATH = "/v1/service_trust/pairing/{use_case}"
REQUESTER_SCHEMES = {
    "adminToken": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "The first admin token, from Secret `token.json`. Valid for the namespace of the operator.",
    },
    "requester": {
        "type": "http",
        "scheme": "bearer",
        "description": "A Kubernetes token whose audience is the issuer. Maximum length: "
        f"{LONGEST_BEARER} characters. In the namespace, the caller needs the RBAC verb `create` on `pairingtokens`, "
        "and `use` on the use case.",
    },
}
_NAMESPACE = text(
    "Namespace of the PairingToken. Default: that of the caller's ServiceAccount; with the admin token, that of the "
    "operator.",
    pattern="^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$",
)
_TTL = text("Lifetime of the token, as a Go duration between 10s and 24h. Default: 5m.", examples=["5m"], maxLength=16)
_ISSUED = members(
    {
        "pairing_token": text(
            "The pairing token. Redeem it at the token endpoint.", maxLength=MAX_TOKEN_LENGTH, readOnly=True
        ),
        "token_id": text("The ID of the pairing token (`jti`).", format="uuid"),
        "expires_in": {**COUNT, "description": "The lifetime of the token in seconds, from the time of its issue."},
        "namespace": text("Namespace of the PairingToken."),
        "name": text("Name of the PairingToken."),
    }
)


def _describe(_: Api) -> Json:
    refused = {
        status: (description, {code}, (title,) if title else ())
        for code, (status, title, description) in REFUSALS.items()
        if description
    }
    described = problems(refused)
    not_yet = "The token is not issued within 5 seconds, or the exchange cannot read the state now."
    described["503"] = response(not_yet, problem(503, NOT_YET_CODES), media=PROBLEM, required=RETRY_AFTER)
    body = members({}, {"namespace": _NAMESPACE, "ttl": _TTL}, additionalProperties=True)
    return {
        "operationId": "requestPairing",
        "summary": "Request a pairing token: create a PairingToken for the caller, and return its token.",
        "security": [{"adminToken": []}, {"requester": []}],
        "parameters": [
            {
                "name": "use_case",
                "in": "path",
                "required": True,
                "schema": text("Name of the use case.", pattern="^[a-z][a-z0-9-]{0,62}$", examples=["mission-control"]),
            }
        ],
        "requestBody": {"required": False, "content": {JSON: {"schema": body}}},
        "responses": {"200": response("The pairing token.", _ISSUED), **described},
    }


PAIRING_FORM = Endpoint(
    method="POST",
    path=PAIRING_PATH,
    describe=_describe,
    metric="pairing",
    credential="caller",
    outcomes=frozenset(REFUSALS),
)
