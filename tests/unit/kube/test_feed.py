"""Pages and streams of the API server over HTTP: what arrives is taken at once, and what was cut off is no event."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tallystick.kube.client import KubeCluster
from tallystick.kube.connection import Connection
from tallystick.kube.lines import lines_of
from tallystick.objects.ports import (
    ClusterError,
    ExpiredError,
    Json,
    NotFoundError,
    Page,
    RefusedError,
    UnavailableError,
    WatchEvent,
)
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def served_by(handler: Handler, folder: Path) -> AsyncIterator[KubeCluster]:
    """Give a client of a server with one handler."""
    app = web.Application()
    app.router.add_get("/{path:.*}", handler)
    async with TestServer(app) as server:
        cluster = {"name": "c", "cluster": {"server": str(server.make_url("")).rstrip("/")}}
        user = {"name": "u", "user": {}}
        context = {"name": "x", "context": {"cluster": "c", "user": "u"}}
        entries = {"clusters": [cluster], "users": [user], "contexts": [context], "current-context": "x"}
        file = folder / "kubeconfig"
        file.write_text(json.dumps(entries))
        async with KubeCluster(Connection(kubeconfig=file), field_manager="test") as client:
            yield client


def event(name: str, version: int) -> Json:
    return {"type": "ADDED", "object": {"metadata": {"name": name, "resourceVersion": str(version)}}}


def streaming(*pieces: bytes, abort: bool = False) -> Handler:
    """Send these pieces one after the other, and end the stream; or abort the connection instead."""

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for piece in pieces:
            await response.write(piece)
            await asyncio.sleep(0)
        if abort:
            assert request.transport is not None
            request.transport.abort()
        return response

    return handler


async def received(client: KubeCluster, silence: float = 20.0) -> tuple[list[WatchEvent], ClusterError | None]:
    """Watch to the end; return the events, and the error."""
    events: list[WatchEvent] = []
    try:
        async for one in client.events(PAIRING_TOKENS, "edge", since="7", seconds=15, silence=silence):
            events.append(one)  # noqa: PERF401 - those before an error count
    except ClusterError as error:
        return events, error
    return events, None


async def test_a_watch_requests_bookmarks_and_its_own_end(tmp_path: Path) -> None:
    asked = []

    async def handler(request: web.Request) -> web.Response:
        asked.append((request.path, dict(request.query)))
        return web.Response()

    async with served_by(handler, tmp_path) as client:
        assert await received(client) == ([], None)

    query = {"watch": "1", "allowWatchBookmarks": "true", "resourceVersion": "7", "timeoutSeconds": "15"}
    assert asked == [("/apis/tallystick.dev/v1alpha1/namespaces/edge/pairingtokens", query)]


async def test_events_are_taken_out_of_any_pieces(tmp_path: Path) -> None:
    whole = b"".join(json.dumps(event(name, n)).encode() + b"\n" for n, name in enumerate("abc"))

    for size in (1, 7, 50, len(whole)):
        pieces = [whole[begin : begin + size] for begin in range(0, len(whole), size)]
        async with served_by(streaming(*pieces), tmp_path) as client:
            events, error = await received(client)
        assert ([one.object["metadata"]["name"] for one in events], error) == (["a", "b", "c"], None)


async def test_an_event_arrives_before_the_next_one_is_sent(tmp_path: Path) -> None:
    taken = asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(json.dumps(event("a", 8)).encode() + b"\n")
        await taken.wait()
        return response

    async with (
        asyncio.timeout(10),
        served_by(handler, tmp_path) as client,
        aclosing(client.events(PAIRING_TOKENS, since="7", seconds=15, silence=20)) as events,
    ):
        assert (await anext(events)).object["metadata"]["name"] == "a"
        taken.set()


@pytest.mark.parametrize("abort", [False, True])
async def test_a_connection_that_is_cut_in_half_a_line_delivers_the_whole_lines(tmp_path: Path, abort: bool) -> None:
    whole, half = json.dumps(event("a", 8)).encode() + b"\n", json.dumps(event("b", 9)).encode()[:30]

    async with served_by(streaming(whole, half, abort=abort), tmp_path) as client:
        events, error = await received(client)

    assert [one.object["metadata"]["name"] for one in events] == ["a"]
    assert type(error) is (UnavailableError if abort else type(None))


def an_error(code: int, **details: object) -> bytes:
    status = {"kind": "Status", "code": code, "message": "no", "details": details}
    return json.dumps({"type": "ERROR", "object": status}).encode() + b"\n"


@pytest.mark.parametrize(
    ("line", "error", "retry_after"),
    [
        pytest.param(an_error(410), ExpiredError, 1.0, id="410"),
        pytest.param(an_error(500), UnavailableError, 1.0, id="500"),
        pytest.param(an_error(429, retryAfterSeconds=9), UnavailableError, 9.0, id="429"),
        pytest.param(an_error(403), RefusedError, None, id="403"),
        pytest.param(b'{"type": "ADDED"}\n', UnavailableError, 1.0, id="no object"),
        pytest.param(b"{]\n", UnavailableError, 1.0, id="no JSON"),
        pytest.param(b"[]\n", UnavailableError, 1.0, id="no event"),
        pytest.param(b'{"type": "ERROR", "object": {}}\n', RefusedError, None, id="an error without a code"),
    ],
)
async def test_an_error_in_a_stream_ends_it_after_the_events_before(
    tmp_path: Path, line: bytes, error: type, retry_after: float | None
) -> None:
    async with served_by(streaming(json.dumps(event("a", 8)).encode() + b"\n" + line), tmp_path) as client:
        events, raised = await received(client)

    assert (len(events), type(raised), getattr(raised, "retry_after", None)) == (1, error, retry_after)


@pytest.mark.parametrize(
    ("status", "error"),
    [(410, ExpiredError), (404, NotFoundError), (403, RefusedError), (429, UnavailableError), (503, UnavailableError)],
)
async def test_a_status_that_is_no_success_is_the_same_error_for_page_and_watch(
    tmp_path: Path, status: int, error: type
) -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.json_response({"kind": "Status", "message": "no"}, status=status, headers={"Retry-After": "7"})

    async with served_by(handler, tmp_path) as client:
        with pytest.raises(ClusterError) as of_page:
            await client.page(PAIRING_TOKENS, size=500)
        _, of_watch = await received(client)

    assert type(of_page.value) is type(of_watch) is error
    if status in (429, 503):
        assert of_page.value.retry_after == of_watch.retry_after == 7.0


async def test_a_silent_watch_is_given_up(tmp_path: Path) -> None:
    end = asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await end.wait()
        return response

    async with served_by(handler, tmp_path) as client:
        events, error = await received(client, silence=0.05)
        end.set()

    assert (events, type(error)) == ([], UnavailableError)


async def test_pages_are_read_one_by_one(tmp_path: Path) -> None:
    asked = []

    async def handler(request: web.Request) -> web.Response:
        asked.append(dict(request.query))
        rest = {} if "continue" in request.query else {"continue": "more"}
        return web.json_response({"metadata": {"resourceVersion": "9", **rest}, "items": [{"n": 1}] if rest else None})

    async with served_by(handler, tmp_path) as client:
        pages = [await client.page(PAIRING_TOKENS, size=3), await client.page(PAIRING_TOKENS, size=3, rest="more")]

    assert pages == [Page([{"n": 1}], "9", "more"), Page([], "9", "")]
    assert asked == [{"limit": "3"}, {"limit": "3", "continue": "more"}]


async def test_a_page_that_is_no_listing_is_a_failure_for_now(tmp_path: Path) -> None:
    async with served_by(streaming(b"<html>"), tmp_path) as client:
        with pytest.raises(UnavailableError, match="contains no listing"):
            await client.page(PAIRING_TOKENS, size=3)


async def test_a_watch_after_a_401_sends_the_new_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=401)

    async with served_by(handler, tmp_path) as client:
        rejected = []
        monkeypatch.setattr(client._connection, "reject_credentials", lambda: rejected.append(True))

        _, error = await received(client)

    assert (rejected, type(error)) == ([True], UnavailableError)


async def test_a_line_may_come_in_many_pieces() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for piece in (b"a", b"b", b"c\nd\n\ne", b"", b"f\n", b"rest"):
            yield piece

    assert [line async for line in lines_of(pieces())] == [b"abc", b"d", b"", b"ef"]
