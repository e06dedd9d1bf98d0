"""What clients and verifiers read first: the discovery document (RFC 8414) and the public keys (RFC 7517)."""

from aiohttp import web
from yarl import URL

from tallystick.crypto.keyring import JWKS_MAX_AGE
from tallystick.domain.grants import TOKEN_PATH
from tallystick.web.answers import json_answer
from tallystick.web.exchange import GRANT
from tallystick.web.parts import PARTS

DISCOVERY_PATH = "/.well-known/oauth-authorization-server"
JWKS_PATH = "/.well-known/jwks.json"
INTROSPECT_PATH = "/oauth2/introspect"
REVOKE_PATH = "/oauth2/revoke"
JWK_SET = "application/jwk-set+json"

CACHED = {"Cache-Control": f"public, max-age={int(JWKS_MAX_AGE.total_seconds())}"}


async def get_discovery(request: web.Request) -> web.Response:
    """Name the issuer, its endpoints and what they take."""
    return json_answer(discovery(request.app[PARTS].issuer), headers=CACHED)


async def get_jwks(request: web.Request) -> web.Response:
    """Publish the public half of the keyring: the old keys, the signing one and the coming one."""
    jwks = request.app[PARTS].keys.keyring().jwks()
    return json_answer(jwks, headers=CACHED, content_type=JWK_SET)


def discovery(issuer: str) -> dict[str, object]:
    """Return the document for an issuer (RFC 8414 2)."""
    return {
        "issuer": issuer,
        "token_endpoint": issuer + TOKEN_PATH,
        "jwks_uri": issuer + JWKS_PATH,
        "introspection_endpoint": issuer + INTROSPECT_PATH,
        "revocation_endpoint": issuer + REVOKE_PATH,
        "response_types_supported": [],
        "grant_types_supported": [GRANT],
        "token_endpoint_auth_methods_supported": ["none"],
        "introspection_endpoint_auth_methods_supported": ["Bearer"],
        "revocation_endpoint_auth_methods_supported": ["none"],
        "dpop_signing_alg_values_supported": ["ES256"],
    }


def issuer_path(issuer: str) -> str:
    """Return the path component of an issuer, `` where it has none. The endpoints are served under it too."""
    return URL(issuer).path.rstrip("/")
