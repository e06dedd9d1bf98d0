"""`tallystick pair` against a replica that is reached over TLS."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
import typer
from aiohttp import web
from click.testing import Result
from typer.testing import CliRunner

from tallystick.exchange.server import ServeSettings, listening
from tallystick.localplane.pki import KeyPair, prepare_serving
from tallystick.pairing.command_line import pair
from tests.fakes import FakeClock
from tests.worlds.replica import Replica

LOOPBACK = "127.0.0.1"


@dataclass
class Site:
    """A replica that is reached over TLS, a folder to work in, and what a user would type."""

    replica: Replica
    folder: Path
    authority: Path
    posts: list[int] = field(default_factory=list)
    lose_answers: int = 0
    before_answer: Callable[[str], None] = lambda method: None

    async def on_answer(self, request: web.Request, response: web.StreamResponse) -> None:
        """Note an answer to a POST; lose it with its connection as long as that is asked for."""
        self.before_answer(request.method)
        if request.method != "POST":
            return
        self.posts.append(response.status)
        if len(self.posts) <= self.lose_answers and request.transport is not None:
            request.transport.abort()

    @property
    def out(self) -> Path:
        return self.folder / "master-token"

    async def pair(self, token: str, *options: str, **changes: str | None) -> Result:
        """Run the command in a thread; the server runs on this one's loop."""
        token_file = self.folder / "pairing-token"
        token_file.write_text(f"{token}\n")
        given = {
            "token-file": str(token_file),
            "issuer": self.replica.issuer,
            "ca-file": str(self.authority),
            "out": str(self.out),
        } | {name.replace("_", "-"): value for name, value in changes.items()}
        arguments = [part for name, value in given.items() if value is not None for part in (f"--{name}", value)]
        stdin = token if given["token-file"] == "-" else None
        app = typer.Typer(pretty_exceptions_enable=False)
        app.command()(pair)
        result = await asyncio.to_thread(CliRunner().invoke, app, [*arguments, *options], input=stdin)
        # Whatever happens, the value of the pairing token is not shown.
        assert token not in result.output
        return result


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> tuple[KeyPair, KeyPair]:
    """The authority of the server's certificate, and the certificate."""
    return prepare_serving(tmp_path_factory.mktemp("certificates") / "pki", "exchange", now=datetime.now(UTC))


@asynccontextmanager
async def a_site(
    certificates: tuple[KeyPair, KeyPair], folder: Path, app: web.Application | None = None
) -> AsyncIterator[Site]:
    """Serve a replica, or another app in its name, on a free port that is part of its issuer."""
    authority, serving = certificates
    with socket.create_server((LOOPBACK, 0)) as free:
        port = free.getsockname()[1]
    replica = Replica(issuer=f"https://{LOOPBACK}:{port}", clock=FakeClock(datetime.now(UTC)))
    settings = ServeSettings(LOOPBACK, port, serving.certificate, serving.key)
    site = Site(replica, folder, authority.certificate)
    replica.app.on_response_prepare.append(site.on_answer)
    async with listening(app or replica.app, settings):
        yield site
