"""The server: certificates that are renewed, connections that are bounded, an end that loses nothing."""

import asyncio
import os
import shutil
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from tallystick.errors import InvalidSettingError
from tallystick.exchange.middlewares import translated
from tallystick.exchange.requests import read_form
from tallystick.exchange.server import ServeSettings, listening, serve
from tallystick.exchange.tls import ServerCertificate
from tallystick.localplane.pki import KeyPair, prepare_serving
from tests.worlds.replica import Replica, form
from tests.worlds.wire import GET_DOCUMENT, LOOPBACK, PLAIN, connected, until


@pytest.fixture(scope="module")
def certificates(tmp_path_factory) -> list[KeyPair]:
    """Two certificates with their keys, of two authorities."""
    folder = tmp_path_factory.mktemp("certificates")
    return [prepare_serving(folder / name, name, now=datetime.now(UTC))[1] for name in ("first", "second")]


def put(pair: KeyPair, folder: Path) -> tuple[Path, Path]:
    """Put a certificate and its key where the server looks."""
    places = folder / "tls.crt", folder / "tls.key"
    for source, place in zip((pair.certificate, pair.key), places, strict=True):
        fresh = place.with_suffix(".new")
        shutil.copy(source, fresh)
        fresh.replace(place)
    return places


def der_of(pair: KeyPair) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pair.certificate.read_text().split("-----END")[0] + "-----END CERTIFICATE-----\n")


async def shown_certificate(port: int) -> bytes:
    async with connected(port, tls=True) as wire:
        return wire.writer.get_extra_info("ssl_object").getpeercert(binary_form=True)


@asynccontextmanager
async def serving(replica: Replica, settings: ServeSettings = PLAIN) -> AsyncIterator[tuple[int, asyncio.Event]]:
    """Run `serve` until the end of the context, or until the event is set; give the port that it has said."""
    stop, said = asyncio.Event(), asyncio.Queue[str]()
    task = asyncio.create_task(serve(replica.app, settings, said.put_nowait, stop=stop))
    line = await asyncio.wait_for(said.get(), 5)
    assert line.startswith("exchange listens on http://127.0.0.1:")
    yield int(line.rpartition(":")[2]), stop
    stop.set()
    await asyncio.wait_for(task, 5)


async def test_a_renewed_certificate_is_shown_to_new_connections_and_old_ones_live(certificates, tmp_path):
    first, second = certificates
    cert_file, key_file = put(first, tmp_path)
    settings = ServeSettings(LOOPBACK, 0, cert_file, key_file, reload_seconds=0.02)

    async def renewed() -> bool:
        return await shown_certificate(port) == der_of(second)

    async with listening(Replica().app, settings) as port:
        before = await shown_certificate(port)
        async with connected(port, tls=True) as wire:
            put(second, tmp_path)
            await until(renewed)
            answer = await wire.exchange(GET_DOCUMENT)

    assert before == der_of(first)
    assert answer.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda folder, other: shutil.copy(other.key, folder / "tls.key"), id="the key of another"),
        pytest.param(lambda folder, _: (folder / "tls.crt").write_text("half a certi"), id="half a certificate"),
        pytest.param(lambda folder, _: (folder / "tls.crt").unlink(), id="no certificate"),
    ],
)
async def test_a_broken_pair_is_not_taken_and_the_old_one_stays(certificates, tmp_path, damage):
    certificate = ServerCertificate(*put(certificates[0], tmp_path))

    async with await asyncio.start_server(lambda _, w: w.close(), LOOPBACK, 0, ssl=certificate.context) as server:
        port = server.sockets[0].getsockname()[1]
        damage(tmp_path, certificates[1])
        taken = certificate.reload_if_changed()
        shown = await shown_certificate(port)
        put(certificates[1], tmp_path)
        taken_when_mended = certificate.reload_if_changed()
        shown_when_mended = await shown_certificate(port)

    assert (taken, shown) == (False, der_of(certificates[0]))
    assert (taken_when_mended, shown_when_mended) == (True, der_of(certificates[1]))


def test_a_pair_with_the_time_and_size_of_the_former_one_is_loaded(certificates, tmp_path):
    cert_file, key_file = put(certificates[0], tmp_path)
    certificate = ServerCertificate(cert_file, key_file)
    longest = max(path.stat().st_size for pair in certificates for path in (pair.certificate, pair.key))
    for path in (cert_file, key_file):
        path.write_bytes(path.read_bytes().ljust(longest, b"\n"))
    certificate.reload_if_changed()
    before = cert_file.stat(), key_file.stat()

    sources = certificates[1].certificate, certificates[1].key
    for source, path, former in zip(sources, (cert_file, key_file), before, strict=True):
        path.write_bytes(source.read_bytes().ljust(longest, b"\n"))
        os.utime(path, ns=(former.st_atime_ns, former.st_mtime_ns))

    assert [path.stat().st_size for path in (cert_file, key_file)] == [longest, longest]
    assert certificate.reload_if_changed() is True


def test_a_broken_pair_is_warned_of_once(certificates, tmp_path):
    cert_file, key_file = put(certificates[0], tmp_path)
    certificate = ServerCertificate(cert_file, key_file)
    cert_file.write_text("half a certi")

    with capture_logs() as lines:
        for _ in range(3):
            certificate.reload_if_changed()

    assert [line["log_level"] for line in lines] == ["warning"]


def test_files_that_did_not_change_are_not_loaded_again(certificates, tmp_path):
    certificate = ServerCertificate(*put(certificates[0], tmp_path))

    assert certificate.reload_if_changed() is False


def test_nothing_below_tls_1_2_is_spoken(certificates, tmp_path):
    certificate = ServerCertificate(*put(certificates[0], tmp_path))

    assert certificate.context.minimum_version is ssl.TLSVersion.TLSv1_2


async def test_plain_http_has_to_be_asked_for():
    with pytest.raises(InvalidSettingError, match="--plain-http"):
        async with listening(Replica().app, ServeSettings(LOOPBACK, 0)):
            pass


async def test_a_certificate_that_cannot_be_loaded_is_a_setting_to_mend(tmp_path):
    (tmp_path / "tls.crt").write_text("nothing")

    with pytest.raises(InvalidSettingError, match="both must be PEM"):
        async with listening(Replica().app, ServeSettings(LOOPBACK, 0, tmp_path / "tls.crt", tmp_path / "tls.crt")):
            pass


async def test_a_fifo_in_place_of_a_certificate_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "tls.crt")

    with pytest.raises(InvalidSettingError, match=r"--tls-cert .*/tls.crt is not a regular file"):
        async with listening(Replica().app, ServeSettings(LOOPBACK, 0, tmp_path / "tls.crt", tmp_path / "tls.crt")):
            pass


async def test_a_busy_port_is_a_setting_to_mend():
    with socket.create_server((LOOPBACK, 0)) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(InvalidSettingError, match=rf"127.0.0.1:{port} is in use .* --listen"):
            async with listening(Replica().app, ServeSettings(LOOPBACK, port, plain_http=True)):
                pass


async def test_an_address_of_another_machine_is_a_setting_to_mend():
    with pytest.raises(InvalidSettingError, match=r"192.0.2.1 is not an address of this machine"):
        async with listening(Replica().app, ServeSettings("192.0.2.1", 0, plain_http=True)):
            pass


async def test_serving_says_where_and_ends_when_stopped():
    async with serving(Replica()) as (port, stop):
        async with connected(port) as wire:
            answer = await wire.exchange(GET_DOCUMENT)
        stop.set()

    assert answer.startswith(b"HTTP/1.1 200")
    assert not await accepts(port)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"nonsense\r\n\r\n", id="no HTTP"),
        pytest.param(b"GET / HTTP/9.9\r\n\r\n", id="a version that is not"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="HTTP/2"),
        pytest.param(b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", id="a long request line"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 9000 + b"\r\n\r\n", id="a long header"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 100 + b"\r\n", id="many headers"),
        pytest.param(
            b"GET / HTTP/1.1\r\nHost: x\r\n" + (b"X: " + b"a" * 8000 + b"\r\n") * 2 + b"X: " + b"a" * 378, id="no end"
        ),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\nbroken header\r\n\r\n", id="a broken header"),
        pytest.param(b"GET /openapi.json\r\n\r\n", id="HTTP/0.9"),
        pytest.param(b"GET /openapi.json HTTP/2.0\r\nHost: x\r\n\r\n", id="HTTP/2 by name alone"),
        pytest.param(b"GET /openapi.json HTTP/1.1\r\nHost: a b/..\r\n\r\n", id="a host that is none"),
        pytest.param(
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", id="an unknown coding"
        ),
        pytest.param(
            b"POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", id="chunks in HTTP/1.0"
        ),
        pytest.param(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", id="a negative length"),
        pytest.param(
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            id="two lengths",
        ),
    ],
)
async def test_what_is_no_http_gets_a_constant_400(raw):
    async with listening(Replica().app, PLAIN) as port, connected(port) as wire:
        wire.writer.write(raw)
        answer = await wire.rest()

    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"\r\nConnection: close" in head
    assert body == b'{"error": "invalid_request", "error_description": "the request is not valid HTTP/1.1"}'
    assert b"server:" not in head.lower()


@pytest.mark.parametrize(
    "target", ["POST /oauth2/token", "PUT /oauth2/token", "GET /.well-known/jwks.json", "POST /nowhere"]
)
@pytest.mark.parametrize(
    ("version", "expectation", "answer"),
    [
        pytest.param("1.1", "magic", b"HTTP/1.1 417 ", id="unknown"),
        pytest.param("1.1", "100-Continue", b"HTTP/1.1 100 Continue", id="in any case of letters"),
        pytest.param("1.0", "100-continue", b"HTTP/1.0 ", id="that HTTP/1.0 has not"),
    ],
)
async def test_an_expectation_is_met_or_refused_in_our_words_on_any_path(target, version, expectation, answer):
    request = f"{target} HTTP/{version}\r\nHost: x\r\nConnection: close\r\nExpect: {expectation}\r\n\r\n"

    async with listening(Replica().app, PLAIN) as port, connected(port) as wire:
        wire.writer.write(request.encode())
        said = await wire.rest()

    assert said.startswith(answer)
    assert said.endswith((b'"}', b'"}]}'))
    assert b"magic" not in said


async def test_a_compressed_body_is_not_unpacked():
    async with listening(Replica().app, PLAIN) as port, connected(port) as wire:
        head = await wire.exchange(
            b"POST /oauth2/token HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n"
            b"Content-Type: application/x-www-form-urlencoded\r\n\r\nnope"
        )

    assert head.startswith(b"HTTP/1.1 415")


async def test_an_upgrade_is_not_taken_up():
    async with listening(Replica().app, PLAIN) as port, connected(port) as wire:
        upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        head = await wire.exchange(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n" + upgrade)
        next_head = await wire.exchange(GET_DOCUMENT)

    assert head.startswith(b"HTTP/1.1 200")
    assert next_head.startswith(b"HTTP/1.1 200")


async def test_a_body_that_does_not_arrive_is_a_408():
    async def handler(request: web.Request) -> web.Response:
        await read_form(request, body_seconds=0.05)
        return web.Response()

    app = web.Application(middlewares=[translated])
    app.router.add_post("/", handler)
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n"

    async with listening(app, PLAIN) as port, connected(port) as wire:
        answer = await wire.exchange(head + b"Content-Type: application/x-www-form-urlencoded\r\n\r\nx=")

    assert answer.startswith(b"HTTP/1.1 408")
    assert b"Connection: close" in answer


async def test_a_client_that_hangs_up_within_its_body_is_no_fault_of_ours():
    replica = Replica()
    head, _, body = post("a.b.c").partition(b"\r\n\r\n")

    async def answered() -> bool:
        return replica.counted("token", "invalid_request") + replica.counted("token", "server_error") > 0

    async with listening(replica.app, PLAIN) as port:
        async with connected(port) as wire:
            wire.writer.write(head + b"\r\n\r\n" + body[:9])
            await wire.writer.drain()
        await until(answered)

    assert replica.counted("token", "server_error") == 0


async def test_who_sends_nothing_is_cut_off():
    settings = ServeSettings(LOOPBACK, 0, plain_http=True, idle_seconds=0.1)

    async with listening(Replica().app, settings) as port, connected(port) as wire:
        wire.writer.write(b"GET /openapi.json HTTP/1.1\r\nHo")
        rest = await wire.rest()

    assert rest == b""


async def test_who_asks_and_does_not_read_is_cut_off():
    settings = ServeSettings(LOOPBACK, 0, plain_http=True, stall_seconds=0.1)

    async with listening(Replica().app, settings) as port, connected(port) as wire:
        with pytest.raises(OSError, match=r"Connection lost|reset|Broken pipe"):
            await wire.ask_without_end()


def post(signed: str) -> bytes:
    body = "&".join(f"{name}={value}" for name, value in form(signed).items()).encode()
    head = b"POST /oauth2/token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


class Gate:
    """Holds up the create of the MasterToken until it is opened."""

    def __init__(self, replica: Replica) -> None:
        self.reached, self.open = asyncio.Event(), asyncio.Event()
        self._create = replica.cluster.create
        replica.cluster.create = self

    async def __call__(self, *args, **more):
        self.reached.set()
        await self.open.wait()
        return await self._create(*args, **more)


async def test_a_client_that_hangs_up_does_not_stop_a_redemption_in_its_middle():
    replica = Replica()
    signed, gate = replica.pairing_token(), Gate(replica)

    async with listening(replica.app, PLAIN) as port:
        async with connected(port) as wire:
            wire.writer.write(post(signed))
            await asyncio.wait_for(gate.reached.wait(), 5)
        gate.open.set()

    assert replica.status_of()["state"] == "Used"
    assert len(replica.master_tokens()) == 1


async def test_the_end_waits_for_what_is_under_way_and_takes_nothing_new():
    replica = Replica()
    signed, gate = replica.pairing_token(), Gate(replica)

    async def closed() -> bool:
        return not await accepts(port)

    async with serving(replica) as (port, stop), connected(port) as wire:
        wire.writer.write(post(signed))
        await asyncio.wait_for(gate.reached.wait(), 5)
        stop.set()
        await until(closed)
        gate.open.set()
        answer = await wire.rest()

    assert answer.startswith(b"HTTP/1.1 200")


async def accepts(port: int) -> bool:
    try:
        async with connected(port):
            return True
    except OSError:
        return False
