"""While the API server is away the exchange says that it cannot know, and afterwards it goes on (S7)."""

import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.harness.objects import a_pairing_token
from tests.harness.own_system import OwnSystem, breakable_system
from tests.harness.pairing_site import Site
from tests.harness.plane import own_plane
from tests.harness.processes import poll

__all__ = ["breakable_system", "own_plane"]

STALE_SECONDS = 1.0


@pytest.fixture
def own_site(breakable_system: OwnSystem) -> Site:
    """The API server is itself again: after a restart it serves our kinds a little later than it is ready."""
    poll(lambda: breakable_system.admin.create(a_pairing_token("default", "probe"), dry_run=True).succeeded)
    breakable_system.recover()
    return breakable_system.site("outage")


def test_an_exchange_without_the_api_server_answers_503_and_nothing_from_the_past(
    breakable_system: OwnSystem, own_site: Site
) -> None:
    exchange, plane = own_site.exchange, breakable_system.plane
    master, waiting = own_site.paired()["access_token"], own_site.issue("site-b")
    own_site.is_active(master)

    plane.kill_apiserver()
    killed = time.monotonic()
    # A reading may be shared for a second after it was sent, and not any longer.
    poll(lambda: time.monotonic() > killed + STALE_SECONDS)
    answers = [exchange.introspect(master, own_site.bearer), exchange.redeem(waiting), exchange.revoke(master)]
    alive, keys = exchange.page("/healthz"), exchange.get("/.well-known/jwks.json")
    plane.restart_apiserver()

    assert [(a.status, a.body["error"]) for a in answers] == [(503, "temporarily_unavailable")] * 3
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in answers)
    assert (json.loads(alive), keys.status) == ({"status": "ok"}, 200)
    poll(lambda: exchange.introspect(master, own_site.bearer).status == 200)
    assert own_site.is_active(master)
    assert exchange.redeem(waiting).status == 200


def test_a_hanging_api_server_is_an_outage_too_and_consumes_nothing(
    breakable_system: OwnSystem, own_site: Site
) -> None:
    exchange, token = own_site.exchange, own_site.issue("site-c")
    master = own_site.paired("site-d")["access_token"]
    (server,) = (child.pid for child in breakable_system.plane.children if child.name == "kube-apiserver")

    os.kill(server, signal.SIGSTOP)
    try:
        with ThreadPoolExecutor(2) as threads:
            redeemed = threads.submit(exchange.redeem, token)
            introspected = threads.submit(exchange.introspect, master, own_site.bearer)
            answers = [redeemed.result(), introspected.result()]
    finally:
        os.kill(server, signal.SIGCONT)

    assert [(a.status, a.body["error"]) for a in answers] == [(503, "temporarily_unavailable")] * 2
    poll(lambda: exchange.redeem(token).status == 200)
