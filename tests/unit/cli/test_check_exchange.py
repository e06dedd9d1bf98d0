"""How `tallystick check` sees an exchange: over TLS, as its clients do."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp import web
from cryptography import x509

from tallystick.cli.checking.exchange import ExchangeProblemError, SeenExchange, look_at, trust
from tallystick.exchange.server import ServeSettings, listening
from tallystick.localplane.pki import KeyPair, prepare_serving
from tests.worlds.replica import ISSUER, Replica
from tests.worlds.wire import LOOPBACK


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> tuple[KeyPair, KeyPair]:
    """A CA, and the certificate of the exchange."""
    return prepare_serving(tmp_path_factory.mktemp("pki"), "exchange", now=datetime.now(UTC))


@asynccontextmanager
async def served(app: web.Application, pki: tuple[KeyPair, KeyPair]) -> AsyncIterator[str]:
    async with listening(app, ServeSettings(LOOPBACK, 0, pki[1].certificate, pki[1].key)) as port:
        yield f"https://{LOOPBACK}:{port}"


async def seen(url: str, ca_file: Path) -> SeenExchange:
    return await asyncio.to_thread(look_at, url, trust(ca_file))


async def test_it_sees_the_issuer_the_keys_and_the_end_of_the_certificate(pki):
    async with served(Replica().app, pki) as url:
        found = await seen(url, pki[0].certificate)

    certificate = x509.load_pem_x509_certificate(pki[1].certificate.read_bytes())
    assert found.issuer == ISSUER
    assert (found.issued, found.expires) == (certificate.not_valid_before_utc, certificate.not_valid_after_utc)
    assert found.keys >= 1


async def test_a_certificate_of_another_ca_is_a_problem_with_what_to_do(pki, tmp_path):
    other, _ = prepare_serving(tmp_path / "other", "other", now=datetime.now(UTC))

    async with served(Replica().app, pki) as url:
        with pytest.raises(ExchangeProblemError, match=r"its certificate is not trusted .* set --ca-file"):
            await seen(url, other.certificate)


async def test_an_exchange_with_a_path_is_found_below_it(pki):
    issuer = "https://trust.example.com/tallystick"

    async with served(Replica(issuer=issuer).app, pki) as url:
        found = await seen(f"{url}/tallystick", pki[0].certificate)

    assert found.issuer == issuer


async def test_an_exchange_without_signing_keys_gives_its_reason(pki):
    async with served(Replica(keys_known=False).app, pki) as url:
        with pytest.raises(ExchangeProblemError, match=r"it cannot serve now .HTTP status 503.: the signing keys"):
            await seen(url, pki[0].certificate)


async def test_a_server_that_is_no_exchange_is_a_problem(pki):
    app = web.Application()

    async def page(_: web.Request) -> web.Response:
        return web.Response(text="hello")

    app.router.add_get("/{path:.*}", page)

    async with served(app, pki) as url:
        with pytest.raises(ExchangeProblemError, match="is not that of an exchange; set --public-urls"):
            await seen(url, pki[0].certificate)


async def test_without_a_server_the_reason_is_given(pki):
    with socket.create_server((LOOPBACK, 0)) as opened:
        port = opened.getsockname()[1]

    with pytest.raises(ExchangeProblemError, match=r"no response .* check the Service"):
        await seen(f"https://{LOOPBACK}:{port}", pki[0].certificate)
