"""The fault proxy and the wire do what their rules say, or the proofs that stand on them would prove nothing."""

import asyncio
import json
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import urllib3
from aiohttp import web

from tallystick.localplane.certificates import KeyPair, Leaf, issue
from tallystick.localplane.pki import prepare_serving
from tests.harness.fault_proxy import Asked, FaultProxy, Rules, client_tls, server_tls
from tests.harness.processes import poll
from tests.harness.wires import HOST, Wire, http_server, serving

OBJECT = "/api/v1/namespaces/edge/secrets/site-a"
COLLECTION = "/api/v1/namespaces/edge/secrets"
WATCH = "/api/v1/secrets?watch=true"
USER = "system:serviceaccount:ts:controller"
# How long nothing may come for that to be silence. What comes may take its time: the machine may be busy.
SILENCE = 0.4
PATIENCE = 10.0
ABORTED = (urllib3.exceptions.ProtocolError, urllib3.exceptions.SSLError)


@dataclass(frozen=True, slots=True)
class Certificates:
    authority: KeyPair
    server: KeyPair
    administrator: KeyPair


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    now, folder = datetime.now(UTC), tmp_path_factory.mktemp("certificates") / "pki"
    authority, server = prepare_serving(folder, "target", now=now)
    return Certificates(authority, server, issue(folder, "admin", authority, Leaf("tests-admin"), now))


@dataclass
class Target:
    """Stands for the API server: it remembers what it was asked; a watch of it tells one event, and goes on."""

    port: int = 0
    asked: list[tuple[str, str, str]] = field(default_factory=list)

    @asynccontextmanager
    async def listening(self, context: ssl.SSLContext) -> AsyncIterator[None]:
        async with http_server(web.Server(self._handle, access_log=None), context) as self.port:
            yield

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        who = "administrator" if request.get_extra_info("peercert") else request.headers.get("Authorization", "")
        self.asked.append((request.method, request.raw_path, who))
        body = json.dumps({"type": "ADDED", "echo": await request.text()}).encode() + b"\n"
        if "watch" not in request.raw_path:
            return web.Response(body=body, status=201, headers={"Audit-Id": "7"})
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(body)
        await asyncio.Event().wait()
        return response


@pytest.fixture
def target(certificates: Certificates) -> Iterator[Target]:
    one = Target()
    with serving(one.listening(server_tls(certificates.authority, certificates.server))):
        yield one


@contextmanager
def client_of(
    port: int, certificates: Certificates, *, administrator: bool = False
) -> Iterator[urllib3.HTTPSConnectionPool]:
    context = client_tls(certificates.authority, certificates.administrator if administrator else None)
    with urllib3.HTTPSConnectionPool(HOST, port, ssl_context=context, retries=False, timeout=PATIENCE) as pool:
        yield pool


@pytest.fixture
def proxy(target: Target, certificates: Certificates) -> Iterator[FaultProxy]:
    authority = certificates.authority
    one = FaultProxy(
        f"https://{HOST}:{target.port}",
        anonymous=client_tls(authority),
        administrator=client_tls(authority, certificates.administrator),
    )
    with serving(one.listening(server_tls(authority, certificates.server))):
        yield one


@pytest.fixture
def client(proxy: FaultProxy, certificates: Certificates) -> Iterator[urllib3.HTTPSConnectionPool]:
    with client_of(proxy.port, certificates) as pool:
        yield pool


def everything(_: Asked) -> bool:
    return True


def fates(proxy: FaultProxy) -> list[str]:
    return [passed.fate for passed in proxy.seen]


def test_a_proxy_without_rules_passes_on_what_it_gets_and_impersonates_no_one(
    proxy: FaultProxy, target: Target, client: urllib3.HTTPSConnectionPool
) -> None:
    answer = client.request("PUT", f"{OBJECT}?fieldManager=a%2Fb", body=b"{}", headers={"Authorization": "Bearer x"})

    assert (answer.status, answer.headers["Audit-Id"], answer.json()["echo"]) == (201, "7", "{}")
    assert target.asked == [("PUT", f"{OBJECT}?fieldManager=a%2Fb", "Bearer x")]
    assert fates(proxy) == ["passed"]


def test_only_who_shows_the_administrators_certificate_is_the_administrator(
    proxy: FaultProxy, target: Target, client: urllib3.HTTPSConnectionPool, certificates: Certificates
) -> None:
    client.request("GET", OBJECT)
    with client_of(proxy.port, certificates, administrator=True) as administrator:
        administrator.request("GET", OBJECT)

    assert [who for *_, who in target.asked] == ["", "administrator"]
    assert [passed.asked.user for passed in proxy.seen] == ["", "tests-admin"]


def test_a_share_of_the_requests_is_answered_in_place_of_the_target(
    proxy: FaultProxy, target: Target, client: urllib3.HTTPSConnectionPool
) -> None:
    proxy.rules = Rules(share=0.5, statuses=(429, 409), retry_after=3)

    reads = [client.request("GET", OBJECT) for _ in range(40)]
    writes = [client.request("PUT", OBJECT, body=b"{}") for _ in range(40)]

    assert {answer.status for answer in reads} == {201, 429}, "a read is never in conflict"
    assert {answer.status for answer in writes} == {201, 429, 409}
    assert {answer.headers.get("Retry-After") for answer in reads + writes if answer.status == 429} == {"3"}
    assert {answer.json()["reason"] for answer in writes if answer.status == 409} == {"Conflict"}
    reported = Counter(answer.status for answer in reads + writes)
    assert len(target.asked) == reported[201]
    assert Counter(fates(proxy)) == {"passed": reported[201], "429": reported[429], "409": reported[409]}


# The gate leaves out what lasts 5 * SILENCE in real time: it tests the tests, not the operator.
FAILS = [("lose_request", ABORTED, PATIENCE, 0), ("lose_answer", ABORTED, PATIENCE, 1)]
HANGS = [("mute", urllib3.exceptions.ReadTimeoutError, 5 * SILENCE, 1)]


@pytest.mark.variants("rule, error, patience, carried_out", gate=FAILS, soak=FAILS + HANGS)
def test_an_answer_that_does_not_come(
    proxy: FaultProxy,
    target: Target,
    client: urllib3.HTTPSConnectionPool,
    rule: str,
    error: type[Exception] | tuple[type[Exception], ...],
    patience: float,
    carried_out: int,
) -> None:
    change: Any = {rule: everything}
    proxy.rules = replace(Rules(), **change)

    with pytest.raises(error):
        client.request("POST", COLLECTION, body=b'{"metadata":{"name":"site-a"}}', timeout=patience)

    poll(lambda: len(proxy.seen) == 1)
    assert len(target.asked) == carried_out
    (passed,) = proxy.seen
    assert (passed.asked.path, passed.asked.writes, passed.fate) == (OBJECT, True, rule)


@pytest.mark.proof(gate=None, soak=1)
def test_what_is_late_is_carried_out_though_no_client_waits_for_it_any_more(
    proxy: FaultProxy, target: Target, client: urllib3.HTTPSConnectionPool
) -> None:
    proxy.rules = Rules(late=everything, late_by=5 * SILENCE)

    with pytest.raises(urllib3.exceptions.ReadTimeoutError):
        client.request("PUT", OBJECT, body=b"{}", timeout=SILENCE)
    before = list(target.asked)
    poll(lambda: target.asked, seconds=PATIENCE)

    assert before == []


def test_a_watch_is_streamed_until_it_is_cut(proxy: FaultProxy, client: urllib3.HTTPSConnectionPool) -> None:
    answer = client.request("GET", WATCH, preload_content=False)
    first = answer.readline()

    cut = proxy.cut_watches()

    assert (json.loads(first)["type"], cut, proxy.seen[0].asked.watch) == ("ADDED", 1, True)
    with pytest.raises(ABORTED):
        answer.readline()


@pytest.mark.proof(gate=None, soak=1)
def test_a_watch_that_is_muted_stays_open_and_says_nothing(
    proxy: FaultProxy, client: urllib3.HTTPSConnectionPool
) -> None:
    proxy.rules = Rules(mute=lambda asked: asked.watch)

    answer = client.request("GET", WATCH, preload_content=False, timeout=5 * SILENCE)

    with pytest.raises(urllib3.exceptions.ReadTimeoutError):
        answer.readline()


# The wire.


@pytest.fixture
def wire(target: Target) -> Iterator[Wire]:
    one = Wire(target.port)
    with serving(one.listening()):
        yield one


def test_a_wire_passes_tls_from_end_to_end(wire: Wire, target: Target, certificates: Certificates) -> None:
    with client_of(wire.port, certificates, administrator=True) as client:
        assert client.request("GET", OBJECT).status == 201

    assert target.asked == [("GET", OBJECT, "administrator")]


@pytest.mark.parametrize(("answers_only", "carried_out"), [(False, 1), (True, 2)])
def test_a_wire_that_swallows_closes_nothing_and_flows_for_new_connections_alone(
    wire: Wire, target: Target, certificates: Certificates, *, answers_only: bool, carried_out: int
) -> None:
    with client_of(wire.port, certificates) as before, client_of(wire.port, certificates) as after:
        before.request("GET", OBJECT)
        wire.swallow(answers_only=answers_only)
        with pytest.raises(urllib3.exceptions.ReadTimeoutError):
            before.request("GET", OBJECT, timeout=SILENCE)
        with pytest.raises(urllib3.exceptions.TimeoutError):
            after.request("GET", OBJECT, timeout=SILENCE)
        poll(lambda: len(target.asked) >= carried_out)
        silent = len(target.asked)
        wire.flow()
        answer = after.request("GET", OBJECT)

    assert (silent, answer.status) == (carried_out, 201)


def test_a_wire_may_forget_the_connections_that_it_has_and_take_new_ones(
    wire: Wire, certificates: Certificates
) -> None:
    with client_of(wire.port, certificates) as before, client_of(wire.port, certificates) as after:
        before.request("GET", OBJECT)
        wire.swallow(new_ones=False)

        with pytest.raises(urllib3.exceptions.ReadTimeoutError):
            before.request("GET", OBJECT, timeout=SILENCE)
        assert after.request("GET", OBJECT).status == 201


def test_a_kubeconfig_differs_in_the_way_alone(wire: Wire, tmp_path: Path) -> None:
    user = tmp_path / "user"
    user.write_text('{"clusters": [{"cluster": {"server": "https://127.0.0.1:1"}}], "users": [{"name": "admin"}]}')

    written = wire.kubeconfig(user, tmp_path / "kubeconfig").read_text()

    assert urlsplit(f"https://{HOST}:{wire.port}").geturl() in written
    assert "name: admin" in written
