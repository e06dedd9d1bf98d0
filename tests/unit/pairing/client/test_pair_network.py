"""`tallystick pair` in other people's networks: private CAs, broken certificates, proxies. curl is the measure."""

import shutil
import ssl
import subprocess
from collections.abc import Callable
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from tallystick.pairing.command_line import pair
from tests.harness.connect_proxy import connect_proxy
from tests.harness.odd_certificates import CLIENT, Issued, authority, issue
from tests.harness.whoami_server import whoami_server

# The server speaks no OAuth. To get so far, TLS must have succeeded.
REACHED = "cannot be read: HTTP status 501"
PAST, FUTURE = timedelta(days=-9), timedelta(days=9)

Made = tuple[Issued, Path | None]


def _by_ca(folder: Path, **more: object) -> Made:
    ca = authority(folder, "ca")
    return issue(folder, "server", ca, **more), ca.certificate


def _without_identifiers(folder: Path) -> Made:
    ca = authority(folder, "ca", identified=False)
    return issue(folder, "server", ca, identified=False), ca.certificate


def _by_an_intermediate(folder: Path) -> Made:
    middle = authority(folder, "middle", authority(folder, "root"))
    return issue(folder, "server", middle), middle.certificate


def _self_signed(folder: Path) -> Made:
    server = issue(folder, "server", ca=False)
    return server, server.certificate


def _self_signed_ca(folder: Path) -> Made:
    server = issue(folder, "server", ca=True)
    return server, server.certificate


def _by_another(folder: Path) -> Made:
    return issue(folder, "server", authority(folder, "ca")), authority(folder, "other").certificate


def _self_signed_other(folder: Path) -> Made:
    return issue(folder, "server", ca=True), authority(folder, "other").certificate


def _without_file(made: Made) -> Made:
    return made[0], None


def _expired_ca(folder: Path) -> Made:
    ca = issue(folder, "ca", hosts=(), ca=True, usage=None, starts=2 * PAST, ends=PAST)
    return issue(folder, "server", ca), ca.certificate


def _ca_without_usage(folder: Path) -> Made:
    ca = issue(folder, "ca", hosts=(), ca=True, usage=None, key_usage=("digital_signature",))
    return issue(folder, "server", ca), ca.certificate


def _no_ca(folder: Path) -> Made:
    root = authority(folder, "root")
    ca = issue(folder, "ca", root, hosts=(), ca=False, usage=None)
    server = issue(folder, "server", ca)
    bundle = server.certificate.read_bytes() + ca.certificate.read_bytes()
    server.certificate.write_bytes(bundle)
    return server, root.certificate


CASES: dict[str, tuple[Callable[[Path], Made], str]] = {
    "a private CA": (_by_ca, REACHED),
    "no key identifiers": (_without_identifiers, REACHED),
    "an intermediate CA": (_by_an_intermediate, REACHED),
    "no extended key usage": (lambda folder: _by_ca(folder, usage=None), REACHED),
    "a certificate of its own": (_self_signed, REACHED),
    "a CA that serves": (_self_signed_ca, REACHED),
    "expired": (
        lambda folder: _by_ca(folder, starts=2 * PAST, ends=PAST),
        "(certificate has expired); renew the certificate",
    ),
    "expired CA": (_expired_ca, "(certificate has expired); renew the certificate of the server and of its CA"),
    "not yet valid": (
        lambda folder: _by_ca(folder, starts=FUTURE, ends=2 * FUTURE),
        "(certificate is not yet valid); check the clock",
    ),
    "another address": (lambda folder: _by_ca(folder, hosts=("127.0.0.2",)), "set --issuer to a name in the"),
    "no name": (lambda folder: _by_ca(folder, hosts=()), "set --issuer to a name in the"),
    "another CA": (_by_another, "--ca-file does not have the CA of this server; set it to the CA"),
    "a certificate of its own and another CA": (_self_signed_other, "--ca-file does not have the CA of this server"),
    "no CA file": (lambda folder: _without_file(_by_ca(folder)), "set --ca-file to the CA that issued the certificate"),
    "a certificate of its own and no CA file": (
        lambda folder: _without_file(_self_signed(folder)),
        "set --ca-file to this certificate or to its CA",
    ),
    "another use": (lambda folder: _by_ca(folder, usage=CLIENT), "extended key usage serverAuth"),
    "a CA that is none": (_no_ca, "the CA with basic constraint CA"),
    "a weak key": (lambda folder: _by_ca(folder, bits=1024), "at least 2048 bits"),
}  # fmt: skip


def run(port: int, folder: Path, ca_file: Path | None, host: str = "127.0.0.1") -> Result:
    token = folder / "pairing-token"
    token.write_text("not-sent")
    arguments = ["--issuer", f"https://{host}:{port}", "--token-file", str(token), "--no-dpop"]
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(pair)
    return CliRunner().invoke(app, arguments + (["--ca-file", str(ca_file)] if ca_file else []))


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.parametrize("case", CASES)
def test_a_certificate_is_trusted_as_by_curl_and_the_hint_fits(tmp_path, case):
    make, expected = CASES[case]
    server, ca_file = make(tmp_path)
    try:
        context = server.serving()
    except ssl.SSLError:  # the OpenSSL of this machine refuses to serve it
        context = server.serving(weak=True)

    with whoami_server(context) as running:
        result = run(running.port, tmp_path, ca_file)
        trusted = ["--cacert", str(ca_file)] if ca_file else []
        curl = subprocess.run(
            [shutil.which("curl") or "curl", "--silent", "--noproxy", "*", *trusted, f"https://127.0.0.1:{running.port}"],
            check=False, timeout=30, capture_output=True,
        )  # fmt: skip

    assert result.exit_code == 1
    assert expected in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert (curl.returncode == 0) == (expected == REACHED)


def test_a_port_without_tls_is_named(tmp_path):
    with whoami_server() as running:
        result = run(running.port, tmp_path, None)

    assert "the server does not use TLS at this port; check --issuer" in result.stderr


@pytest.mark.parametrize("content", ["", "not PEM", None])
def test_a_ca_file_that_cannot_be_used_is_named(tmp_path, content):
    file = tmp_path / "ca.crt"
    if content is None:
        file.mkdir()
    else:
        file.write_text(content)

    result = run(443, tmp_path, file)

    assert result.stderr.startswith(f"error: --ca-file {file} cannot be used: ")
    assert result.stderr.endswith("; use a PEM file\n")


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
def test_the_issuer_is_reached_through_the_proxy_of_the_environment(tmp_path, monkeypatch, variable):
    server, ca_file = _by_ca(tmp_path, hosts=("exchange.hidden.example",))
    with (
        whoami_server(server.serving()) as running,
        connect_proxy(names={"exchange.hidden.example": running.port}) as it,
    ):
        monkeypatch.setenv(variable, f"http://me:word@127.0.0.1:{it.port}")
        result = run(443, tmp_path, ca_file, host="exchange.hidden.example")

    assert REACHED in result.stderr
    assert it.targets == ["CONNECT exchange.hidden.example:443"]
    assert it.authorizations == ["Basic bWU6d29yZA=="]


@pytest.mark.parametrize(("exceptions", "host"), [("", "127.0.0.1"), (".example", "exchange.hidden.example")])
def test_loopback_and_no_proxy_are_reached_directly(tmp_path, monkeypatch, exceptions, host):
    with connect_proxy() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("NO_PROXY", exceptions)
        result = run(1, tmp_path, None, host=host)

    assert result.exit_code == 1
    assert proxy.targets == []


@pytest.mark.parametrize("status", [407, None])
def test_a_proxy_that_does_not_help_is_named(tmp_path, monkeypatch, status):
    with connect_proxy(status=status) if status else nullcontext() as proxy:
        address = f"127.0.0.1:{proxy.port if proxy else 1}"
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:word@{address}")
        result = run(443, tmp_path, None, host="exchange.hidden.example")

    assert f"the proxy http://{address} " in result.stderr
    assert "word" not in result.stderr


def test_a_proxy_of_another_kind_is_refused_by_its_variable(tmp_path, monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1080")

    result = run(443, tmp_path, None, host="exchange.hidden.example")

    assert "ALL_PROXY has the scheme socks5, which is not supported" in result.stderr
