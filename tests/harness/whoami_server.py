"""An API server that answers one question, as whom it was asked: `kubectl auth whoami` shows all that a client sent."""

import base64
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HOST = "127.0.0.1"
Json = dict[str, Any]


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, context: ssl.SSLContext | None) -> None:
        super().__init__((HOST, 0), _Handler)
        self.sni: dict[int, str] = {}
        self.context = context
        self.refused = 0
        if context is not None:
            context.sni_callback = self._note_name

    def _note_name(self, handshake: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> None:
        self.sni[id(handshake)] = name or ""

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a client that does not trust us goes away."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def setup(self) -> None:
        self.request.settimeout(20.0)
        if self.server.context is not None:
            self.request = self.server.context.wrap_socket(self.request, server_side=True)
        super().setup()

    def finish(self) -> None:
        super().finish()
        self.request.close()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.server.refused > 0:
            self.server.refused -= 1
            self._answer(401, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 401})
            return
        self._answer(
            201,
            {
                "kind": "SelfSubjectReview",
                "apiVersion": "authentication.k8s.io/v1",
                "metadata": {},
                "status": {"userInfo": {"username": "asked", "extra": {"request": [self._seen()]}}},
            },
        )

    def _seen(self) -> str:
        sent = sorted((name.lower(), value) for name, value in self.headers.items() if _counts(name))
        compressed = "gzip" in self.headers.get("Accept-Encoding", "")
        secured = isinstance(self.request, ssl.SSLSocket)
        sni = self.server.sni.get(id(self.request), "") if secured else None
        holder = _common_name(self.request.getpeercert()) if secured else ""
        seen = {"headers": sent, "path": self.path.partition("?")[0], "gzip": compressed, "sni": sni, "holder": holder}
        return json.dumps(seen)

    def _answer(self, status: int, body: Json) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


def _counts(name: str) -> bool:
    return name.lower() == "authorization" or name.lower().startswith("impersonate-")


def _common_name(certificate: Any) -> str:
    names = [pair for parts in (certificate or {}).get("subject", ()) for pair in parts]
    return next((value for name, value in names if name == "commonName"), "")


@dataclass(frozen=True, slots=True)
class WhoamiServer:
    """The running server."""

    server: _Server

    @property
    def port(self) -> int:
        port: int = self.server.server_address[1]
        return port

    def refuse(self, times: int) -> None:
        """Answer the next requests with 401."""
        self.server.refused = times


@contextmanager
def whoami_server(context: ssl.SSLContext | None = None) -> Iterator[WhoamiServer]:
    """Run the server; without a context it speaks plain HTTP."""
    with _Server(context) as server:
        thread = threading.Thread(target=server.serve_forever, name="whoami", daemon=True, args=(0.05,))
        thread.start()
        try:
            yield WhoamiServer(server)
        finally:
            server.shutdown()
            thread.join()


def basic(user: str, password: str) -> str:
    """Return the header that both must send for a name and a password."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
