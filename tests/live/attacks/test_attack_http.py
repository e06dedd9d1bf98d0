"""Bad and odd HTTP, byte for byte over TLS: one exact answer to each, and nothing used, called, quoted or logged."""

import json
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import urlencode

import pytest

from tallystick.crypto.keys import SigningKey
from tallystick.exchange.limits import FailureLimits
from tallystick.exchange.listener import HANDSHAKE_SECONDS
from tallystick.exchange.requests import BODY_SECONDS
from tallystick.exchange.transport import IDLE_SECONDS, LINGER_SECONDS, STALL_SECONDS
from tests.harness import clock
from tests.harness.api import Api
from tests.harness.exchange import GRANT, JWT_TYPE
from tests.harness.raw_http import GET_DOCUMENT, RawAnswer, Target, a_source, attacked
from tests.harness.system import System
from tests.live.attacks.attack_http_cases import CANARY, CASES, FORM, HOST, Case, Says, filled, posted


@pytest.fixture(scope="module")
def target(
    system: System, admin: Api, make_namespace: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Target]:
    """An exchange that gives no failure back: how soon a guesser is slowed down does not depend on the machine."""
    folder, standing = tmp_path_factory.mktemp("attacked") / "exchange", {clock.STANDING: "1"}
    with attacked(system, admin, make_namespace("http"), folder, environment=standing) as target:
        yield target


@pytest.fixture(scope="module")
def unused(target: Target) -> str:
    """A live pairing token that no bad request may spend."""
    return target.site.issue("unspent", ttl="1h")


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_bad_http_has_one_answer_and_changes_nothing(target: Target, unused: str, case: Case) -> None:
    calls, mark = target.calls, target.mark

    with target.place.connected() as line:
        answer = line.ask(filled(case.raw, unused))
        # After it the server hangs up without another word, or the next request gets the next answer.
        left = line.rest() if case.says.closes else b"%d" % line.ask(GET_DOCUMENT).status

    assert (_said(answer), left) == (case.says, b"" if case.says.closes else b"200")
    _assert_careful(answer, target)
    assert CANARY not in repr(answer).lower().encode()
    assert target.calls == calls
    assert target.site.state_of("unspent") == ("Active", 1)
    assert target.errors_since(mark) == ""


def _said(answer: RawAnswer) -> Says:
    body = answer.json if answer.status >= 400 and answer.body else {}
    assert body.keys() in (set(), {"error", "error_description"})
    return Says(
        answer.status,
        body.get("error", ""),
        body.get("error_description", ""),
        closes=answer.header("Connection") == "close" or answer.version == "HTTP/1.0",
        allow=answer.header("Allow"),
        interim=answer.interim,
    )


def _assert_careful(answer: RawAnswer, target: Target) -> None:
    """The headers that every answer has, and those that none has."""
    assert answer.header("X-Content-Type-Options") == "nosniff"
    sent = parsedate_to_datetime(answer.header("Date") or "")
    # RFC 9110 6.6.1. What is no request of HTTP is answered below the exchange, by the clock that no test moves.
    clocks = (target.site.exchange.clock.now(), datetime.now(UTC))
    assert min(abs(sent - now) for now in clocks) < timedelta(seconds=30)
    if answer.status >= 400:
        assert answer.header("Cache-Control") == "no-store"
        assert (answer.header("Content-Type") or "").startswith("application/json")
    request_id = answer.header("X-Request-ID")
    assert request_id is None or str(uuid.UUID(request_id)) == request_id
    names = {name.lower() for name, _ in answer.headers}
    assert not {name for name in names if name in {"server", "set-cookie"} or name.startswith("access-control-")}


def test_requests_in_one_go_are_answered_one_by_one(target: Target, unused: str) -> None:
    asked = [GET_DOCUMENT, filled(posted(b"<hollow>")), filled(posted(path=b"/nowhere"), unused), GET_DOCUMENT] * 8

    with target.place.connected() as line:
        line.send(b"".join(asked))
        statuses = [line.answer().status for _ in asked]

    assert statuses == [200, 400, 404, 200] * 8
    assert target.site.state_of("unspent") == ("Active", 1)


def test_a_request_hidden_in_the_body_of_another_is_a_body(target: Target, unused: str) -> None:
    hidden = filled(posted(), unused)

    with target.place.connected() as line:
        answers = [
            _said(line.ask(b"POST %b HTTP/1.1\r\n%bContent-Length: %d\r\n\r\n%b" % (path, HOST, len(hidden), hidden)))
            for path in (b"/openapi.json", b"/nowhere", b"/oauth2/token", b"/oauth2/introspect")
        ]

    assert [answer.status for answer in answers] == [405, 404, 415, 401]
    assert target.site.state_of("unspent") == ("Active", 1)


def test_forwarding_headers_are_never_read(target: Target, system: System) -> None:
    exchange, source = target.site.exchange, a_source()
    token, key = target.site.issue("forwarded"), SigningKey.generate("ES256")
    elsewhere = exchange.proof(key, url="https://elsewhere.example/oauth2/token")
    form = urlencode({"grant_type": GRANT, "subject_token": token, "subject_token_type": JWT_TYPE}).encode()
    forwarded = b"X-Forwarded-Proto: https\r\nX-Forwarded-Host: elsewhere.example\r\n"
    forwarded += b"Forwarded: for=192.0.2.%d;host=elsewhere.example;proto=https\r\nX-Forwarded-For: 192.0.2.%d\r\n"

    with target.place.connected(source) as line:
        proof = FORM + forwarded % (1, 1) + b"DPoP: " + elsewhere.encode() + b"\r\n"
        bound = line.ask(filled(posted(form, headers=proof)).replace(b"Host: x", b"Host: elsewhere.example"))
        # S14: nor do they make a guesser a new source each time.
        guesses = [line.ask(filled(posted(b"x=1", headers=FORM + forwarded % (n, n)))) for n in range(40)]

    audited = [json.loads(text) for text in (target.log.parent / "audit.jsonl").read_text().splitlines()]
    assert (bound.status, bound.json["error"]) == (400, "invalid_dpop_proof")
    free = FailureLimits().burst  # the failed proof counts for the token that it came with
    assert [answer.status for answer in guesses] == [400] * free + [429] * (40 - free)
    assert [line["source"] for line in audited if line.get("reason", "").startswith("Proof")] == [source]
    assert exchange.redeem(token).status == 200


@dataclass(frozen=True, slots=True)
class Slow:
    """A client that takes its time: what it sends at once, what it then repeats byte by byte, and how that ends."""

    name: str
    begin: bytes
    drip: bytes
    status: int
    seconds: float


# A busy machine may be late, and TLS waits two seconds for a goodbye.
PATIENCE = 120.0
HEAD = b"POST /oauth2/token HTTP/1.1\r\n" + HOST + FORM
SLOW = (
    Slow("says nothing", b"", b"", 0, IDLE_SECONDS),
    Slow("sends half a head", HEAD, b"", 0, IDLE_SECONDS),
    Slow("sends a head byte by byte", HEAD + b"X: ", b"a", 0, IDLE_SECONDS),
    Slow("asks once and stays", GET_DOCUMENT, b"", 200, IDLE_SECONDS),
    Slow("asks once and begins again", GET_DOCUMENT, b"\r\n", 200, IDLE_SECONDS),
    Slow("sends half a body", HEAD + b"Content-Length: 9\r\n\r\nx=", b"", 408, BODY_SECONDS),
    Slow("sends a body byte by byte", HEAD + b"Content-Length: 999\r\n\r\n", b"a", 408, BODY_SECONDS),
    Slow("sends chunks without an end", HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n", 408, BODY_SECONDS),
    Slow(
        "sends a body that nobody wants", GET_DOCUMENT[:-2] + b"Content-Length: 999\r\n\r\n", b"a", 200, LINGER_SECONDS
    ),
)


def test_a_slow_client_is_cut_off_when_its_time_is_over(target: Target) -> None:
    mark = target.mark

    with ThreadPoolExecutor(len(SLOW) + 2) as threads:
        cut_off = [threads.submit(_is_cut_off, target, slow) for slow in SLOW]
        hello = threads.submit(_says_no_hello, target)
        unread = threads.submit(_does_not_read, target)
        ends = [future.result() for future in cut_off]

    # Each is cut off, and none early. How late depends on the machine: test_time_limits.py has the exact seconds.
    wrong = [
        (slow.name, status, seconds)
        for slow, (status, seconds) in zip(SLOW, ends, strict=True)
        if status != slow.status or seconds < slow.seconds - 0.2
    ]
    assert wrong == []
    assert hello.result() >= HANDSHAKE_SECONDS - 0.2
    assert unread.result() >= STALL_SECONDS - 0.2
    assert target.errors_since(mark) == ""


def _is_cut_off(target: Target, slow: Slow) -> tuple[int, float]:
    """Return the status of the answer, 0 for none, and after how many seconds the server had hung up."""
    with target.place.connected() as line:
        line.send(slow.begin)
        began = time.monotonic()
        said = line.drip(slow.drip, PATIENCE) if slow.drip else line.rest(PATIENCE)
        return int(said[9:12] or 0), time.monotonic() - began


def _says_no_hello(target: Target) -> float:
    with target.place.connected(tls=False) as line:
        began = time.monotonic()
        assert line.rest(PATIENCE) == b""
        return time.monotonic() - began


def _does_not_read(target: Target) -> float:
    """Ask again and again and read no answer; return for how long the server has put up with it."""
    began = time.monotonic()
    with target.place.connected() as line, suppress(OSError):
        while True:
            assert time.monotonic() - began < PATIENCE, "the server has not hung up"
            line.send(GET_DOCUMENT * 64)
    return time.monotonic() - began


def test_a_client_that_hangs_up_halfway_is_let_go_and_consumes_nothing(target: Target, unused: str) -> None:
    """That no time limit is waited for is shown in virtual time, by tests/unit/exchange/test_time_limits.py."""
    request = filled(posted(), unused)
    mark = target.mark

    for sent in (b"", request[:20], request[:-1]):
        with target.place.connected(tls=False) as line:
            line.send(sent)
            line.hang_up_halfway()
            line.rest(PATIENCE)
        with target.place.connected() as line:
            line.send(sent)

    assert target.site.state_of("unspent") == ("Active", 1)
    assert target.errors_since(mark) == ""
