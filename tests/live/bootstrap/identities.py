"""An OpenID Connect provider, and a control plane whose API server accepts its users beside ServiceAccounts."""

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from tallystick.localplane.commands import AUDIT_POLICY
from tallystick.localplane.pki import prepare_serving
from tallystick.localplane.plane import ControlPlane, PlaneOptions

Json = dict[str, Any]

HOST = "127.0.0.1"
KEY_ID = "provider-key"
DISCOVERY, KEYS = "/.well-known/openid-configuration", "/keys"
LIFETIME = timedelta(hours=1)
SCOPES = "example.com/scopes"
"""The further attribute of a user, from the claim `scopes`."""

# The body of a TokenReview has a token, so only this kind has its body in the log.
REVIEWS_IN_FULL = """\
rules:
- level: Request
  resources: [{group: authorization.k8s.io, resources: [subjectaccessreviews]}]
"""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__((HOST, 0), _Handler)
        self.documents: dict[str, Json] = {}
        self.socket = context.wrap_socket(self.socket, server_side=True)


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        document = self.server.documents.get(self.path)
        content = json.dumps(document or {}).encode()
        self.send_response(404 if document is None else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@dataclass(frozen=True)
class Provider:
    """A running provider: its URL, its CA as PEM, and the key that signs for its users."""

    url: str
    ca_pem: str
    key: ec.EllipticCurvePrivateKey = field(repr=False)

    @classmethod
    @contextmanager
    def run(cls, folder: Path) -> Iterator["Provider"]:
        """Run one for the length of the block."""
        ca, serving = prepare_serving(folder, "provider", now=datetime.now(UTC))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(serving.certificate, serving.key)
        with _Server(context) as server:
            made = cls(f"https://{HOST}:{server.server_address[1]}", ca.certificate.read_text("utf-8"), _new_key())
            server.documents |= made._documents()
            thread = threading.Thread(target=server.serve_forever, name="provider", daemon=True, args=(0.05,))
            thread.start()
            try:
                yield made
            finally:
                server.shutdown()
                thread.join()

    def token(self, user: str, audience: str, *, groups: tuple[str, ...] = (), scopes: tuple[str, ...] = ()) -> str:
        """Sign a token of a user for one audience."""
        now = datetime.now(UTC)
        times = {"iat": now, "exp": now + LIFETIME}
        claims = {"iss": self.url, "sub": user, "aud": audience, "groups": groups, "scopes": scopes, **times}
        return jwt.encode(claims, self.key, "ES256", {"kid": KEY_ID})

    def authentication(self, *audiences: str) -> Json:
        """Return the configuration of an API server that accepts tokens for any of these audiences."""
        issuer = {
            "url": self.url,
            "certificateAuthority": self.ca_pem,
            "audiences": list(audiences),
            "audienceMatchPolicy": "MatchAny",
        }
        mappings = {
            "username": {"claim": "sub", "prefix": ""},
            "groups": {"claim": "groups", "prefix": ""},
            "extra": [{"key": SCOPES, "valueExpression": "claims.scopes"}],
        }
        kind = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthenticationConfiguration"}
        return {**kind, "jwt": [{"issuer": issuer, "claimMappings": mappings}]}

    @contextmanager
    def plane(self, folder: Path, issuer: str, *others: str) -> Iterator[ControlPlane]:
        """Run a control plane that accepts users of this provider.

        Args:
            folder: The files of the API server.
            issuer: The URL of the exchange. For a user, an API server returns only audiences that are its own.
            others: Further audiences of the provider's tokens.
        """
        authentication, audit = folder / "authentication.json", folder / "audit.yaml"
        authentication.write_text(json.dumps(self.authentication(issuer, *others)))
        audit.write_text(AUDIT_POLICY.replace("rules:\n", REVIEWS_IN_FULL))
        flags = (
            f"--authentication-config={authentication}",
            f"--api-audiences={issuer}",
            f"--audit-policy-file={audit}",
        )
        with ControlPlane.start(PlaneOptions(api_server_flags=flags), report=lambda _: None) as running:
            yield running

    def _documents(self) -> dict[str, Json]:
        public: Json = ECAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        found = {"issuer": self.url, "jwks_uri": f"{self.url}{KEYS}", "response_types_supported": ["id_token"]}
        return {
            DISCOVERY: {
                **found,
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["ES256"],
            },
            KEYS: {"keys": [{**public, "kid": KEY_ID, "alg": "ES256", "use": "sig"}]},
        }


def _new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())
