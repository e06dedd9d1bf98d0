"""kopf as one part of the process: it follows the kinds, survives what would end it, and is missed when it ends."""

import asyncio
import getpass
from collections.abc import Collection, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import aiohttp
import pytest
from structlog.testing import capture_logs
from yarl import URL

from tallystick.controller import watcher as watcher_module
from tallystick.controller.kinds import MissingKinds
from tallystick.controller.watcher import WatchedServer, Watcher
from tallystick.objects.kind import Kind
from tallystick.objects.ports import UnavailableError
from tallystick.pairing.api.master_token import MASTER_TOKENS
from tallystick.pairing.api.pairing_token import PAIRING_TOKENS
from tallystick.registry import KINDS
from tallystick.runtime.parts import PartEndedError
from tallystick.schema.meta import Resource
from tests.virtual_time import in_virtual_time

ALL = {kind.resource for kind in KINDS}
BY_KOPF = {kind.resource.plural for kind in KINDS if not kind.paged}


class NoObserver:
    """Takes events, and there are none."""

    def is_news(self, *_: object) -> bool:
        return False

    def observe(self, *_: object) -> None:
        raise AssertionError("no event was sent")


class Server:
    """An API server of which only the served kinds matter; every request of kopf fails."""

    def __init__(self) -> None:
        self.kinds: set[Resource] = set(ALL)
        self.looks = 0
        self.away = False
        self.asked = asyncio.Event()
        self.opened: list[aiohttp.ClientSession] = []  # noqa: TID251 - as below

    async def served(self, kinds: Collection[Resource]) -> Collection[Resource]:
        self.looks += 1
        if self.away:
            raise UnavailableError("away")
        return self.kinds & set(kinds)

    def session(self, guard: aiohttp.ClientMiddlewareType) -> aiohttp.ClientSession:  # noqa: TID251 - kopf's own
        async def silence(*_: object) -> aiohttp.ClientResponse:
            self.asked.set()
            await asyncio.Event().wait()
            raise AssertionError("unreachable")

        self.opened.append(aiohttp.ClientSession(middlewares=(guard, silence)))  # noqa: TID251 - as above
        return self.opened[-1]


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watcher_module, "SOON_SECONDS", 0.01)


def a_watcher(server: Server, kinds: Sequence[Kind] = KINDS) -> Watcher:
    watched = WatchedServer(url="https://api.example", session=server.session, served=server.served)
    return Watcher(server=watched, kinds=kinds, namespaces=(), observer=NoObserver(), missing=MissingKinds())


@asynccontextmanager
async def running(watcher: Watcher):
    task = asyncio.create_task(watcher.run())
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, PartEndedError):
            await task
        for session in watcher.server.served.__self__.opened:
            await session.close()


async def watching(server: Server) -> None:
    """Wait until kopf sends requests, and the kinds are followed."""
    await server.asked.wait()
    for _ in range(3):
        await asyncio.sleep(0)


def kopf_tasks() -> dict[str, "asyncio.Task[object]"]:
    """The tasks that run as long as kopf watches, by name."""
    return {task.get_name(): task for task in asyncio.all_tasks()}


MEMBERS = (
    "stop-flag checker",
    "ultimate termination",
    "startup/cleanup activities",
    "daemon killer",
    "credentials retriever",
    "poster of events",
    "admission insights chain",
    "admission validating configuration manager",
    "admission mutating configuration manager",
    "admission webhook server",
    "resource observer",
    "namespace observer",
    "multidimensional multitasker",
    "the look at the served kinds",
)


async def test_a_process_needs_no_name_of_its_user(monkeypatch: pytest.MonkeyPatch):
    def no_name() -> str:
        raise OSError("No username set in the environment")

    monkeypatch.setattr(getpass, "getuser", no_name)
    server = Server()

    async with running(a_watcher(server)) as task:
        asked = asyncio.create_task(server.asked.wait())
        await asyncio.wait((task, asked), return_when=asyncio.FIRST_COMPLETED)

        assert asked.done()


# kopf takes the cancellation of this one as the begin of its own end, and it then waits for all others.
@pytest.mark.parametrize("member", sorted(set(MEMBERS) - {"startup/cleanup activities"}))
async def test_the_end_of_a_task_of_kopf_is_the_end_of_the_part(member):
    server = Server()
    async with asyncio.timeout(20), running(a_watcher(server)) as task:
        await watching(server)
        kopf_tasks()[member].cancel()

        with pytest.raises(PartEndedError, match="kopf does not watch any more"):
            await task


async def test_no_task_of_kopf_is_left_when_the_part_is_canceled():
    server = Server()
    async with asyncio.timeout(20), running(a_watcher(server)):
        await watching(server)
        during = kopf_tasks().keys() & set(MEMBERS)

    assert (during, kopf_tasks().keys() & set(MEMBERS)) == (set(MEMBERS), set())


async def test_no_task_of_kopf_is_left_when_the_part_is_canceled_while_it_starts():
    async with asyncio.timeout(20), running(a_watcher(Server())):
        await asyncio.sleep(0)

    assert kopf_tasks().keys() & set(MEMBERS) == set()


async def followed(watcher: Watcher) -> set[str]:
    """Follow the kinds until the look after this one, and return the kinds that kopf watches then."""
    watcher._insights.ready_resources.set()
    task = asyncio.create_task(watcher._follow_kinds())
    looks = watcher.server.served.__self__.looks
    while watcher.server.served.__self__.looks < looks + 2:
        watcher.missing.suspected.set()
        await asyncio.sleep(0)
    task.cancel()
    return {resource.plural for resource in watcher._insights.watched_resources}


@in_virtual_time
async def test_a_watch_begins_and_ends_with_its_kind():
    server = Server()
    watcher = a_watcher(server)

    server.kinds = {MASTER_TOKENS}
    without, missing = await followed(watcher), watcher.missing.text
    server.kinds = set(ALL)
    back, text = await followed(watcher), watcher.missing.text

    assert (without, back, text) == ({"mastertokens"}, BY_KOPF, None)
    assert missing is not None
    assert ", ".join(sorted(kind.kind for kind in ALL if kind != MASTER_TOKENS)) in missing


@in_virtual_time
async def test_an_api_server_that_is_away_serves_what_it_served():
    server = Server()
    watcher = a_watcher(server)
    before = await followed(watcher)

    server.away = True

    assert await followed(watcher) == before == BY_KOPF
    assert watcher.missing.text is None


@in_virtual_time
async def test_kopf_does_not_watch_a_paged_kind_and_its_absence_is_noticed_all_the_same():
    server, paged = Server(), replace(KINDS[0], paged=True)
    watcher = a_watcher(server, kinds=(paged, *KINDS[1:]))
    watched = await followed(watcher)

    server.kinds = ALL - {paged.resource}
    without = await followed(watcher)

    assert watched == without == BY_KOPF - {paged.resource.plural}
    assert watcher.missing.is_missing(paged.resource)


@in_virtual_time
async def test_a_missing_kind_is_logged_once():
    server = Server()
    watcher = a_watcher(server)
    server.kinds = set(ALL) - {PAIRING_TOKENS}

    with capture_logs() as lines:
        await followed(watcher)
        await followed(watcher)

    assert [(line["log_level"], line["kind"]) for line in lines] == [("warning", "PairingToken")]


class Answer:
    """A response of which kopf would read the status."""

    def __init__(self, status: int) -> None:
        self.status, self.released = status, False

    def release(self) -> None:
        self.released = True


class Asked:
    """A request, as far as it matters."""

    def __init__(self, path: str) -> None:
        self.url = URL(f"https://api.example{path}")


LIST = "/apis/tallystick.dev/v1alpha1/pairingtokens"


async def guarded(watcher: Watcher, path: str, status: int) -> Answer:
    answer = Answer(status)

    async def handler(_: object) -> Answer:
        return answer

    await watcher.guard(Asked(path), handler)
    return answer


@pytest.mark.parametrize(
    ("path", "status"),
    [
        pytest.param(LIST, 404, id="a kind that is gone"),
        pytest.param("/prefix/apis/tallystick.dev/v1alpha1/namespaces/edge/pairingtokens", 404, id="in a namespace"),
        pytest.param(LIST, 410, id="a listing that is too old"),
    ],
)
@in_virtual_time
async def test_a_response_that_would_end_kopf_is_a_lost_connection(path, status):
    # kopf lists or watches again after this error. Any other one ends it.
    with pytest.raises(aiohttp.ClientPayloadError):
        await guarded(a_watcher(Server()), path, status)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        pytest.param(LIST, 200, id="a listing"),
        pytest.param(LIST, 401, id="a login that is over"),
        pytest.param(LIST, 403, id="a right that is missing"),
        pytest.param("/apis/tallystick.dev/v1alpha1", 404, id="a group that is not installed"),
    ],
)
@in_virtual_time
async def test_any_other_response_is_left_to_kopf(path, status):
    answer = await guarded(a_watcher(Server()), path, status)

    assert (answer.status, answer.released) == (status, False)


@in_virtual_time
async def test_a_login_that_is_refused_again_and_again_is_not_repeated_at_once():
    watcher, began = a_watcher(Server()), asyncio.get_running_loop().time()

    await guarded(watcher, LIST, 401)

    assert asyncio.get_running_loop().time() - began == pytest.approx(watcher_module.SOON_SECONDS)


@in_virtual_time
async def test_a_watch_whose_kind_is_gone_causes_a_look_and_a_comparison():
    watcher = a_watcher(Server())

    with pytest.raises(aiohttp.ClientPayloadError):
        await guarded(watcher, LIST, 404)

    assert watcher.missing.suspected.is_set()
    assert await watcher.missing.next_returned() == {PAIRING_TOKENS}
