"""An HTTP proxy that passes everything on and counts: CONNECT for https, absolute URLs for http."""

import select
import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

HOST = "127.0.0.1"
CHUNK = 65_536


class ConnectProxy(socketserver.ThreadingTCPServer):
    """The proxy. `targets` lists what was asked for, `authorizations` what the clients said of themselves."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, context: ssl.SSLContext | None, status: int, names: Mapping[str, int]) -> None:
        super().__init__((HOST, 0), _Handler)
        self.context = context
        self.status = status
        self.names = names
        self.targets: list[str] = []
        self.authorizations: list[str] = []

    @property
    def port(self) -> int:
        port: int = self.server_address[1]
        return port

    def get_request(self) -> tuple[socket.socket, object]:
        taken, address = super().get_request()
        taken.settimeout(20.0)
        return taken, address

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a client that goes away is no error of the proxy."""


class _Handler(socketserver.BaseRequestHandler):
    server: ConnectProxy

    def handle(self) -> None:
        client = self.request
        if self.server.context is not None:
            client = self.server.context.wrap_socket(client, server_side=True)
        with client:
            self._serve(client)

    def _serve(self, client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            received = client.recv(CHUNK)
            if not received:
                return
            head += received
        lines = head.partition(b"\r\n\r\n")[0].decode().split("\r\n")
        method, target, _ = lines[0].split(" ")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
        self.server.targets.append(f"{method} {target}")
        self.server.authorizations.append(headers.get("proxy-authorization", ""))
        if self.server.status != 200:
            client.sendall(f"HTTP/1.1 {self.server.status} No\r\nContent-Length: 0\r\n\r\n".encode())
            return
        where = urlsplit(f"//{target}" if method == "CONNECT" else target)
        # A name that only the proxy can resolve is what proxies are for.
        host = HOST if where.hostname in self.server.names else where.hostname
        with socket.create_connection((host, self.server.names.get(where.hostname or "", where.port))) as server:
            if method == "CONNECT":
                client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            else:
                server.sendall(head.replace(b"Connection: keep-alive", b"Connection: close"))
            _pass(client, server)


def _pass(client: socket.socket, server: socket.socket) -> None:
    with suppress(OSError):
        while True:
            pending = client if isinstance(client, ssl.SSLSocket) and client.pending() else None
            ready = [pending] if pending else select.select([client, server], [], [], 20.0)[0]
            if not ready:
                return
            for one in ready:
                received = one.recv(CHUNK)
                if not received:
                    return
                (server if one is client else client).sendall(received)


@contextmanager
def connect_proxy(
    context: ssl.SSLContext | None = None, *, status: int = 200, names: Mapping[str, int] | None = None
) -> Iterator[ConnectProxy]:
    """Run a proxy.

    Args:
        context: its TLS; None: it speaks plain HTTP.
        status: its answer to every request, if it is not 200.
        names: host names that only it can resolve, each with a port of loopback.
    """
    with ConnectProxy(context, status, names or {}) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, name="proxy", daemon=True, args=(0.05,))
        thread.start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
            thread.join()
