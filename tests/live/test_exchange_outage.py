"""While the API server is away the exchange says that it cannot know, and afterwards it goes on by itself (S7)."""

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tallystick.localplane.plane import ControlPlane
from tests.harness.api import Api
from tests.harness.exchange import Exchange
from tests.harness.pairing_site import Site, make_site
from tests.harness.processes import poll
from tests.harness.system import System, running

STALE_SECONDS = 1.0


@pytest.fixture(scope="module")
def own_system(tmp_path_factory: pytest.TempPathFactory, plane: ControlPlane) -> Iterator[System]:
    """A plane of one's own, to take its API server away; `plane` has seen to it that the binaries are there."""
    with (
        ControlPlane.start(say=lambda _: None, binaries=plane.binaries) as own,
        running(own, tmp_path_factory.mktemp("outage") / "up") as whole,
    ):
        yield whole


@pytest.fixture(scope="module")
def its_default_namespace(own_system: System) -> Iterator[Site]:
    up, own = own_system.up, own_system.plane
    with (
        Api.connect(own.kubeconfig, own.binaries.kubectl) as api,
        Exchange.connect(up.url, issuer=up.url, ca_file=up.ca_file, clock=own_system.clock) as client,
    ):
        yield make_site(api, "default", client)


@pytest.fixture
def own_site(its_default_namespace: Site) -> Site:
    """The API server is itself again: after a restart it serves our kinds a little later than it is ready."""
    site = its_default_namespace
    poll(lambda: site.api.create(site.pairing_token("probe"), dry_run=True).succeeded)
    return site


def test_an_exchange_without_the_api_server_answers_503_and_nothing_from_the_past(
    own_system: System, own_site: Site
) -> None:
    exchange, plane = own_site.exchange, own_system.plane
    master, waiting = own_site.paired()["access_token"], own_site.issue("site-b")
    own_site.is_active(master)

    plane.kill_apiserver()
    killed = time.monotonic()
    # A reading may be shared for a second after it was sent, and not any longer.
    poll(lambda: time.monotonic() > killed + STALE_SECONDS)
    answers = [exchange.introspect(master, own_site.bearer), exchange.redeem(waiting), exchange.revoke(master)]
    alive, keys = exchange.get("/healthz"), exchange.get("/.well-known/jwks.json")
    plane.restart_apiserver()

    assert [(a.status, a.body["error"]) for a in answers] == [(503, "temporarily_unavailable")] * 3
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in answers)
    assert (alive.status, keys.status) == (200, 200)
    poll(lambda: exchange.introspect(master, own_site.bearer).status == 200)
    assert own_site.is_active(master)
    assert exchange.redeem(waiting).status == 200


def test_a_hanging_api_server_is_an_outage_too_and_spends_nothing(own_system: System, own_site: Site) -> None:
    exchange, token = own_site.exchange, own_site.issue("site-c")
    master = own_site.paired("site-d")["access_token"]
    (server,) = (child.pid for child in own_system.plane.children if child.name == "kube-apiserver")

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
