"""HTTP by hand: TLS connections on which a client sends whatever bytes it likes, and answers read strictly."""

import itertools
import json
import socket
import ssl
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3

from tests.harness.api import Api
from tests.harness.exchange import Exchange, replica
from tests.harness.pairing_site import Site, make_site
from tests.harness.system import System

Json = dict[str, Any]

END_OF_HEAD = b"\r\n\r\n"
GET_DOCUMENT = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"
_SOURCES = itertools.count()


def a_source() -> str:
    """An address of this machine that no other client has: on Linux all of 127.0.0.0/8 is this machine."""
    number = next(_SOURCES)
    return f"127.64.{number // 250}.{number % 250 + 1}" if sys.platform == "linux" else "127.0.0.1"


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """One answer as it came.

    Attributes:
        interim: Whether 100 Continue came before it.
    """

    version: str
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    interim: bool = False

    def header(self, name: str) -> str | None:
        """The value of a header that is there at most once."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(values) <= 1, (name, values)
        return values[0] if values else None

    @property
    def json(self) -> Json:
        decoded: Json = json.loads(self.body)
        return decoded


class Line:
    """One connection. What the server says is read byte by byte of its framing: nothing is skipped or guessed."""

    def __init__(self, stream: socket.socket) -> None:
        self._stream = stream
        self._unread = b""

    def close(self) -> None:
        self._stream.close()

    def send(self, raw: bytes) -> None:
        self._stream.sendall(raw)

    def ask(self, raw: bytes) -> RawAnswer:
        self.send(raw)
        return self.answer(bodyless=raw.startswith(b"HEAD "))

    def answer(self, *, bodyless: bool = False) -> RawAnswer:
        """Read one answer; those to HEAD have no body."""
        head = self._until_end_of_head()
        interim = head.startswith(b"HTTP/1.1 100 ")
        if interim:
            head = self._until_end_of_head()
        first, *lines = head.decode("latin-1").split("\r\n")
        version, status, _ = first.split(" ", 2)
        headers = tuple((name, value) for name, _, value in (line.partition(": ") for line in lines))
        lengths = [int(value) for name, value in headers if name.lower() == "content-length"]
        assert len(lengths) == 1, headers
        return RawAnswer(version, int(status), headers, b"" if bodyless else self._exactly(lengths[0]), interim)

    def rest(self, seconds: float = 20.0) -> bytes:
        """Return all that the server still says until it hangs up, which it must within so long."""
        self._stream.settimeout(seconds)
        with suppress(ConnectionError, ssl.SSLEOFError):
            while data := self._stream.recv(65_536):
                self._unread += data
        said, self._unread = self._unread, b""
        return said

    @property
    def is_over(self) -> bool:
        """Whether the server has hung up by now. What it has said instead is kept."""
        timeout = self._stream.gettimeout()
        self._stream.settimeout(0.0)
        try:
            data = self._stream.recv(65_536)
        except (BlockingIOError, ssl.SSLWantReadError):
            return False
        except OSError:
            return True
        finally:
            self._stream.settimeout(timeout)
        self._unread += data
        return not data

    def drip(self, unit: bytes, seconds: float = 30.0) -> bytes:
        """Send the same again each second until the server hangs up, and return what it has said by then."""
        deadline = time.monotonic() + seconds
        self._stream.settimeout(1.0)
        while True:
            assert time.monotonic() < deadline, "the server has not hung up"
            try:
                self._stream.sendall(unit)
                if not (data := self._stream.recv(65_536)):
                    break
                self._unread += data
            except TimeoutError:
                continue
            except (OSError, ValueError):
                break
        said, self._unread = self._unread, b""
        return said

    def hang_up_halfway(self) -> None:
        """Say that nothing more comes, and go on listening."""
        self._stream.shutdown(socket.SHUT_WR)

    def _until_end_of_head(self) -> bytes:
        while END_OF_HEAD not in self._unread:
            self._receive()
        head, _, self._unread = self._unread.partition(END_OF_HEAD)
        return head

    def _exactly(self, length: int) -> bytes:
        while len(self._unread) < length:
            self._receive()
        body, self._unread = self._unread[:length], self._unread[length:]
        return body

    def _receive(self) -> None:
        data = self._stream.recv(65_536)
        assert data, f"the server hung up within an answer: {self._unread!r}"
        self._unread += data


@dataclass(frozen=True, slots=True)
class Place:
    """Where an exchange listens, and how its certificate is checked."""

    host: str
    port: int
    context: ssl.SSLContext

    @classmethod
    def of(cls, url: str, ca_file: Path) -> "Place":
        parsed = urllib3.util.parse_url(url)
        return cls(str(parsed.host), int(parsed.port or 0), ssl.create_default_context(cafile=str(ca_file)))

    def open(self, source: str = "", *, tls: bool = True) -> Line:
        """Connect, as a source of one's own where none is named. Without TLS not even hello is said."""
        raw = socket.create_connection((self.host, self.port), timeout=20.0, source_address=(source or a_source(), 0))
        try:
            return Line(self.context.wrap_socket(raw, server_hostname=self.host) if tls else raw)
        except OSError:
            raw.close()
            raise

    @contextmanager
    def connected(self, source: str = "", *, tls: bool = True) -> Iterator[Line]:
        """Connect, and hang up at the end."""
        with closing(self.open(source, tls=tls)) as line:
            yield line


@dataclass(frozen=True, slots=True)
class Target:
    """An exchange of one's own to attack, and a namespace in which it serves."""

    place: Place
    site: Site
    log: Path
    pid: int

    @property
    def mark(self) -> int:
        """Where its log ends now."""
        return self.log.stat().st_size

    def errors_since(self, mark: int) -> str:
        """What it has logged since that is an error, or of a level that it never uses by itself."""
        lines = self.log.read_bytes()[mark:].decode().splitlines()
        return "\n".join(line for line in lines if '"level": "error"' in line or "Traceback" in line or line[:1] != "{")

    @property
    def calls(self) -> tuple[float, ...]:
        """Its calls of the API, of each verb but GET, of which the keyring takes one every five seconds."""
        return tuple(
            map(self.site.exchange.api_calls, ("create", "replace", "replace_status", "review", "list", "delete"))
        )


@contextmanager
def attacked(
    system: System, admin: Api, namespace: str, folder: Path, *, environment: Mapping[str, str] | None = None
) -> Iterator[Target]:
    """Start an exchange of one's own beside the system's."""
    up = system.up
    with (
        replica(system, folder, environment=environment) as running,
        Exchange.connect(running.url, issuer=up.url, ca_file=up.ca_file, clock=system.clock) as client,
    ):
        site = make_site(admin, namespace, client)
        yield Target(Place.of(running.url, up.ca_file), site, folder / "exchange.log", running.child.pid)


def resident_bytes(pid: int) -> int:
    """How much memory a process has in use."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096
