"""A proxy between our processes and the API server that knows requests, and fails them by rules that may change.

    with fault_proxy(plane) as proxy, running(plane, folder, between=proxy) as system:
        proxy.rules = Rules(share=0.1, statuses=(429, 500), delay=0.2)

It ends TLS under a certificate of the plane's CA, passes bearer tokens on, and speaks for the administrator alone to
who has shown the plane's client certificate. `wires.py` has what needs no knowledge of requests.
"""

import asyncio
import json
import random
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs

import aiohttp
from aiohttp import hdrs, web
from yarl import URL

from tallystick.localplane.certificates import KeyPair
from tallystick.localplane.pki import issue_serving_certificate
from tallystick.localplane.plane import ControlPlane
from tests.harness.objects import read_token
from tests.harness.wires import http_server, kubeconfig_at, serving

LARGEST_BODY = 16 * 1024 * 1024
WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
DRY_RUN = "DRY RUN"
# They belong to one connection (RFC 9110 7.6.1), or are made anew for the next one.
_OF_ONE_HOP = frozenset({"host", "connection", "keep-alive", "transfer-encoding", "content-length", "upgrade"})
_REASONS = {409: "Conflict", 429: "TooManyRequests", 500: "InternalError"}


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, as the rules see it.

    Attributes:
        user: Who asks: the `sub` of a ServiceAccount's token, or the name in a client certificate.
        method: Of HTTP, or DRY_RUN for a write that is only tried.
        path: Without the query; a create has the name of its object at the end.
        watch: Whether it asks for a stream of events.
    """

    user: str
    method: str
    path: str
    watch: bool

    @property
    def writes(self) -> bool:
        """Whether it would change an object; a review is created and stored nowhere."""
        return self.method in WRITES and "reviews" not in self.path


@dataclass(frozen=True, slots=True)
class Passed:
    """What became of a request: `passed`, the name of a rule, or the status that it was answered with in its place."""

    asked: Asked
    time: float
    fate: str


Match = Callable[[Asked], bool]


def nothing(_: Asked) -> bool:
    """Match no request."""
    return False


@dataclass(frozen=True, slots=True)
class Rules:
    """How requests fail.

    Attributes:
        share: How many of the requests are not passed on but answered with one of `statuses`, by lot. A read is never
            answered with 409, because no API server does.
        retry_after: What a 429 asks for, in seconds.
        delay: How many seconds an answer comes late.
        lose_request: Which are not carried out, and their connection ends without an answer.
        lose_answer: Which are carried out, and their connection ends without an answer.
        mute: Which are carried out, and their connection stays open without an answer. A watch falls silent.
        late: Which are carried out only after `late_by` seconds, whoever waits for it or does not any more.
    """

    share: float = 0.0
    statuses: tuple[int, ...] = ()
    retry_after: int = 1
    delay: float = 0.0
    lose_request: Match = nothing
    lose_answer: Match = nothing
    mute: Match = nothing
    late: Match = nothing
    late_by: float = 0.0

    def fate_of(self, asked: Asked) -> str:
        """Name the rule that a request falls under, or `passed`."""
        named = ("lose_request", "lose_answer", "mute", "late")
        return next((name for name in named if getattr(self, name)(asked)), "passed")


class FaultProxy:
    """Passes requests on, or fails them. `rules` may be replaced at any time, from any thread.

    Args:
        target: The API server's URL.
        tls: How its certificate is checked; loaded with the client certificate of the administrator.
        seed: Of the lots; which request draws which one is up to the processes.
    """

    def __init__(self, target: str, *, anonymous: ssl.SSLContext, administrator: ssl.SSLContext, seed: int = 1) -> None:
        self.rules = Rules()
        self.port = 0
        self._target = target
        self._anonymous = anonymous
        self._administrator = administrator
        self._lots = random.Random(seed)  # noqa: S311 - lots that can be drawn again
        self._seen: list[Passed] = []
        self._watches: set[asyncio.Transport] = set()
        self._loop: asyncio.AbstractEventLoop
        self._passing: set[asyncio.Task[web.Response]] = set()
        self._session: aiohttp.ClientSession | None = None  # noqa: TID251 - to a plane of the test's

    @property
    def seen(self) -> list[Passed]:
        """List the requests so far, in the order in which they came."""
        return list(self._seen)

    def kubeconfig(self, user: Path, file: Path) -> Path:
        """Write the kubeconfig of a user anew, to go through the proxy, and return where."""
        return kubeconfig_at(self.port, user, file)

    def cut_watches(self) -> int:
        """End the streams of events that are open, without a word; return how many."""
        cut = list(self._watches)
        for transport in cut:
            self._loop.call_soon_threadsafe(transport.abort)
        return len(cut)

    @asynccontextmanager
    async def listening(self, context: ssl.SSLContext) -> AsyncIterator[None]:
        """Listen at a free port."""
        self._loop = asyncio.get_running_loop()
        server = web.Server(self._handle, access_log=None, handler_cancellation=True)
        # Whatever is compressed stays so.
        async with (
            aiohttp.ClientSession(  # noqa: TID251 - to a plane of the test's
                auto_decompress=False,
                connector=aiohttp.TCPConnector(limit=0),
                timeout=aiohttp.ClientTimeout(total=None),
            ) as self._session,
            http_server(server, context) as self.port,
        ):
            yield

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        body, rules = await request.read(), self.rules
        asked = _asked(request, body)
        status = self._lot(asked, rules)
        fate = str(status) if status else "passed" if asked.watch else rules.fate_of(asked)
        self._seen.append(Passed(asked, time.monotonic(), fate))
        if status is not None:
            await asyncio.sleep(rules.delay)
            return _refusal(status, rules)
        try:
            return await (self._stream(asked, request) if asked.watch else self._answer(fate, request, body, rules))
        except (aiohttp.ClientError, OSError):
            return _hang_up(request)

    def _lot(self, asked: Asked, rules: Rules) -> int | None:
        possible = [status for status in rules.statuses if status != 409 or asked.writes]
        if not possible or self._lots.random() >= rules.share:
            return None
        return self._lots.choice(possible)

    async def _answer(self, fate: str, request: web.BaseRequest, body: bytes, rules: Rules) -> web.StreamResponse:
        if fate == "lose_request":
            return _hang_up(request)
        answering = asyncio.create_task(self._whole_answer(request, body, rules.late_by if fate == "late" else 0.0))
        self._passing.add(answering)
        answering.add_done_callback(self._passing.discard)
        # Its own task: what was passed on is carried out, also if who has asked hangs up.
        answer = await asyncio.shield(answering)
        await asyncio.sleep(rules.delay)
        if fate == "mute":
            await asyncio.Event().wait()
        return _hang_up(request) if fate == "lose_answer" else answer

    async def _whole_answer(self, request: web.BaseRequest, body: bytes, pause: float) -> web.Response:
        pass_on = self._passing_on(request, body)
        await asyncio.sleep(pause)
        async with pass_on() as answer:
            return web.Response(status=answer.status, headers=_of_all_hops(answer.headers), body=await answer.read())

    async def _stream(self, asked: Asked, request: web.BaseRequest) -> web.StreamResponse:
        transport = request.transport
        assert transport is not None
        self._watches.add(transport)
        try:
            async with self._passing_on(request, b"")() as answer, _given_up_at_once(answer):
                response = web.StreamResponse(status=answer.status, headers=_of_all_hops(answer.headers))
                await response.prepare(request)
                async for chunk in self._late(answer.content.iter_any()):
                    if self.rules.mute(asked):
                        await asyncio.Event().wait()
                    await response.write(chunk)
                return response
        finally:
            self._watches.discard(transport)

    async def _late(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Give each chunk as late as the rules say, and not later because of those before it."""
        loop, waiting = self._loop, asyncio.Queue[tuple[float, bytes]]()

        async def read() -> None:
            try:
                async for chunk in chunks:
                    waiting.put_nowait((loop.time() + self.rules.delay, chunk))
            finally:
                waiting.put_nowait((loop.time() + self.rules.delay, b""))

        reading = asyncio.create_task(read())
        try:
            while (due := await waiting.get())[1]:
                await asyncio.sleep(due[0] - loop.time())
                yield due[1]
            await reading
        finally:
            reading.cancel()

    def _passing_on(
        self, request: web.BaseRequest, body: bytes
    ) -> "Callable[[], aiohttp.client._RequestContextManager]":
        """Take all that is needed from a request, which may be gone by the time that it is passed on."""
        assert self._session is not None
        tls = self._administrator if _certified(request) else self._anonymous
        headers = _of_all_hops(request.headers)
        url = URL(self._target + request.raw_path, encoded=True)
        return partial(self._session.request, request.method, url, headers=headers, data=body or None, ssl=tls)


@asynccontextmanager
async def _given_up_at_once(answer: aiohttp.ClientResponse) -> AsyncIterator[None]:
    """At the end break off what is left of an answer: to end TLS in good order takes the other side (RFC 8446 6.1)."""
    try:
        yield
    finally:
        if answer.connection is not None and answer.connection.transport is not None:
            answer.connection.transport.abort()


def _certified(request: web.BaseRequest) -> str:
    """Who the client certificate names; '' where none was shown. TLS has verified it."""
    shown = request.get_extra_info("peercert") or {}
    return next((value for part in shown.get("subject", ()) for key, value in part if key == "commonName"), "")


def _asked(request: web.BaseRequest, body: bytes) -> Asked:
    bearer = request.headers.get(hdrs.AUTHORIZATION, "").removeprefix("Bearer ")
    user = read_token(bearer).claims["sub"] if bearer.count(".") == 2 else _certified(request)
    path, _, query = request.raw_path.partition("?")
    name = json.loads(body).get("metadata", {}).get("name") if request.method == "POST" and body[:1] == b"{" else None
    asked = parse_qs(query)
    watch, method = asked.get("watch") in (["true"], ["1"]), DRY_RUN if "dryRun" in asked else request.method
    return Asked(user, method, f"{path}/{name}" if name else path, watch)


def _of_all_hops(headers: Mapping[str, str]) -> list[tuple[str, str]]:
    return [(name, value) for name, value in headers.items() if name.lower() not in _OF_ONE_HOP]


def _refusal(status: int, rules: Rules) -> web.Response:
    reported = {"apiVersion": "v1", "kind": "Status", "status": "Failure", "code": status, "reason": _REASONS[status]}
    headers = {hdrs.RETRY_AFTER: str(rules.retry_after)} if status == web.HTTPTooManyRequests.status_code else {}
    body = json.dumps(reported | {"message": "a fault of the test's"}).encode()
    return web.Response(status=status, body=body, content_type="application/json", headers=headers)


def _hang_up(request: web.BaseRequest) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


@contextmanager
def fault_proxy(plane: ControlPlane, *, seed: int = 1) -> Iterator[FaultProxy]:
    """Put a proxy before the API server of a plane."""
    certificate = issue_serving_certificate(plane.pki, "fault-proxy", now=datetime.now(UTC))
    authority = plane.pki.ca
    proxy = FaultProxy(
        plane.server, anonymous=client_tls(authority), administrator=client_tls(authority, plane.pki.admin), seed=seed
    )
    with serving(proxy.listening(server_tls(authority, certificate))):
        yield proxy


def client_tls(authority: KeyPair, certificate: KeyPair | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(authority.certificate))
    if certificate is not None:
        context.load_cert_chain(certificate.certificate, certificate.key)
    return context


def server_tls(authority: KeyPair, certificate: KeyPair) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority.certificate))
    context.load_cert_chain(certificate.certificate, certificate.key)
    context.verify_mode = ssl.CERT_OPTIONAL
    return context
