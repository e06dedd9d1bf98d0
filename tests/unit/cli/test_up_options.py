"""`tallystick up --listen`: the URL in tokens, and the names in the certificate of the exchange."""

import asyncio
import socket
import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp import web
from cryptography import x509

from tallystick.cli.up_options import certificate_names, client_address
from tallystick.exchange.server import ServeSettings, listening
from tallystick.localplane.pki import prepare_serving
from tallystick.runtime.addresses import parse_address

EVERY = "0.0.0.0"  # noqa: S104 - a text


@pytest.mark.parametrize(
    ("listen", "url"),
    [
        ("127.0.0.1:8443", "127.0.0.1:8443"),
        ("[::1]:8443", "[::1]:8443"),
        ("Trust.example:8443", "trust.example:8443"),
        (":8443", "127.0.0.1:8443"),
        ("0.0.0.0:8443", "127.0.0.1:8443"),
        ("[::]:8443", "[::1]:8443"),
    ],
)
def test_clients_get_an_address_that_they_can_reach(listen, url):
    assert str(client_address(parse_address(listen))) == url


@pytest.mark.parametrize("listen", [":8443", "0.0.0.0:8443", "[::]:8443"])
def test_the_certificate_names_this_machine_if_the_exchange_listens_on_all_interfaces(listen):
    names = certificate_names(parse_address(listen))

    assert {"127.0.0.1", "localhost", "::1", socket.gethostname().lower()} <= set(names)
    assert not {EVERY, "::", ""} & set(names)


@pytest.mark.parametrize("listen", ["127.0.0.1", "127.0.0.2", "localhost", EVERY, ""])
async def test_a_client_trusts_the_certificate_of_the_address_that_is_listened_on(tmp_path: Path, listen: str):
    address = parse_address(f"{listen}:0")
    hosts = certificate_names(address)
    authority, serving = prepare_serving(tmp_path / "run", "exchange", now=datetime.now(UTC), hosts=hosts)
    trust = ssl.create_default_context(cafile=str(authority.certificate))
    settings = ServeSettings(address.host, 0, serving.certificate, serving.key)

    async with listening(web.Application(), settings) as port:
        host = client_address(address).host
        _, writer = await asyncio.open_connection(host, port, ssl=trust)  # raises if the name is not in it
        writer.close()


@pytest.mark.parametrize("listen", ["[::1]:8443", "[::]:8443", "[2001:db8::7]:8443", "trust_1.example:8443"])
def test_the_certificate_names_an_address_of_ipv6_and_a_host_name(tmp_path: Path, listen: str):
    address = parse_address(listen)
    hosts = certificate_names(address)
    _, serving = prepare_serving(tmp_path / "run", "exchange", now=datetime.now(UTC), hosts=hosts)

    certificate = x509.load_pem_x509_certificate(serving.certificate.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    held = {*map(str, names.get_values_for_type(x509.IPAddress)), *names.get_values_for_type(x509.DNSName)}
    assert client_address(address).host in held
