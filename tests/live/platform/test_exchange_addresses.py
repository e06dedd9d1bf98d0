"""Where an exchange listens, what it serves there, and when it is ready."""

import ssl
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import pytest
import urllib3

from tallystick.localplane.probe import free_ports
from tests.harness.exchange import Exchange, Replica, replica
from tests.harness.processes import poll
from tests.harness.system import HEALTH_PAGES, System, health_urls

JWKS = "/.well-known/jwks.json"
FAILURES = 3


@pytest.fixture(scope="module")
def open_to_all(system: System, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    """A replica on all addresses of the machine, with few failures per source."""
    port, health = free_ports(2)
    health_urls[f"https://127.0.0.1:{port}"] = f"http://127.0.0.1:{health}"
    flags = {
        "--listen": f":{port}",
        "--health-listen": f":{health}",
        "--failures-per-source": str(FAILURES),
    }
    folder = tmp_path_factory.mktemp("open") / "exchange"
    with replica(system, folder, flags=flags, url=f"https://127.0.0.1:{port}") as running:
        yield running


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_without_a_host_clients_reach_it_by_either_protocol(open_to_all: Replica, system: System, host: str) -> None:
    port = open_to_all.url.rpartition(":")[2]
    health = health_urls[open_to_all.url].rpartition(":")[2]
    trust = ssl.create_default_context(cafile=str(system.up.ca_file))

    with urllib3.PoolManager(ssl_context=trust, retries=False, timeout=60.0) as pool:
        keys = pool.request("GET", f"https://{host}:{port}{JWKS}")
        ready = pool.request("GET", f"http://{host}:{health}/readyz")

    assert (keys.status, ready.status) == (200, 200)


def test_a_client_cannot_read_health_and_metrics(exchange: Exchange) -> None:
    of_clients = [exchange.get(page).status for page in HEALTH_PAGES]
    apart = [urllib3.request("GET", health_urls[exchange.url] + page, timeout=60.0).status for page in HEALTH_PAGES]

    assert (of_clients, apart) == ([HTTPStatus.NOT_FOUND] * 3, [HTTPStatus.OK] * 3)


def test_a_source_has_as_many_failures_as_the_setting_says(open_to_all: Replica, system: System) -> None:
    up = system.up
    # Failures that arrive more slowly than they come back never reach the limit, so they are sent at once.
    with Exchange.connect(open_to_all.url, issuer=up.url, ca_file=up.ca_file, clock=system.clock) as guesser:
        statuses = [guesser.introspect("none", None).status for _ in range(50)]

    assert statuses[:FAILURES] == [HTTPStatus.UNAUTHORIZED] * FAILURES
    assert HTTPStatus.TOO_MANY_REQUESTS in statuses


def test_a_replica_with_another_issuer_is_not_ready_and_the_others_serve(
    system: System, exchange: Exchange, tmp_path: Path
) -> None:
    flags = {"--public-urls": "https://moved.example"}
    with replica(system, tmp_path / "exchange", flags=flags, until_ready=False) as moved:
        client, text = (
            exchange.at(moved.url),
            f"has issuer {system.up.url}, not https://moved.example; start with --issuer",
        )
        poll(lambda: text in client.ready().body.get("reason", ""))

        assert (client.ready().status, client.get(JWKS).status) == (503, 503)
        assert (exchange.ready().status, exchange.get(JWKS).status) == (200, 200)
        assert not moved.ended
