"""The exchange speaks TLS alone, with the certificate that is in its files now."""

import socket
import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest
import urllib3
from cryptography import x509

from tallystick.localplane.pki import prepare_serving
from tests.harness.exchange import Exchange, replica
from tests.harness.processes import poll
from tests.harness.system import System

pytestmark = pytest.mark.usefixtures("system")


def test_plain_http_gets_no_answer(exchange: Exchange) -> None:
    plain = exchange.url.replace("https://", "http://")

    with urllib3.PoolManager(retries=False, timeout=30.0) as pool, pytest.raises(urllib3.exceptions.ProtocolError):
        pool.request("GET", f"{plain}/openapi.json")


def test_tls_before_1_2_is_refused(exchange: Exchange) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    host, port = _place(exchange.url)

    with socket.create_connection((host, port), timeout=30.0) as raw, pytest.raises(ssl.SSLError):
        context.wrap_socket(raw)


def test_a_renewed_certificate_is_served_without_a_restart(system: System, tmp_path: Path) -> None:
    _, pair = prepare_serving(tmp_path / "pki", "renewed", now=datetime.now(UTC))
    files = {"--tls-cert": tmp_path / "tls.crt", "--tls-key": tmp_path / "tls.key"}
    run = system.up.folder / "run"
    _put(files, run / "exchange.crt", run / "exchange.key")
    with replica(system, tmp_path / "exchange", flags={flag: str(path) for flag, path in files.items()}) as running:
        before = _serial_served(running.url)

        _put(files, pair.certificate, pair.key)

        renewed = x509.load_pem_x509_certificate(pair.certificate.read_bytes()).serial_number
        assert before != renewed
        poll(lambda: _serial_served(running.url) == renewed, seconds=60.0)


def _put(files: dict[str, Path], certificate: Path, key: Path) -> None:
    files["--tls-key"].write_bytes(key.read_bytes())
    files["--tls-cert"].write_bytes(certificate.read_bytes())


def _serial_served(url: str) -> int:
    pem = ssl.get_server_certificate(_place(url))
    return x509.load_pem_x509_certificate(pem.encode()).serial_number


def _place(url: str) -> tuple[str, int]:
    parsed = urllib3.util.parse_url(url)
    return str(parsed.host), int(parsed.port or 0)
