"""The API server falls silent and closes nothing, as when a host or a route is lost (F13): no call hangs."""

import inspect
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tallystick.cli.identities import Identity
from tallystick.cli.run_controller import CALL_SECONDS
from tallystick.cli.settings import DEFAULT_NAMESPACE
from tallystick.controller.watches import SILENT_SECONDS
from tallystick.crypto.keys import SigningKey
from tallystick.install.installation import CONTROLLER, EXCHANGE
from tallystick.localplane.plane import ControlPlane
from tallystick.objects.fresh_reader import FreshReader
from tallystick.pairing.services.requester_probe import UNPROTECTED_PROBE_SECONDS
from tallystick.tokens.keyrings import REFRESH_SECONDS
from tests.harness.api import Api
from tests.harness.controllers import LEASE, Controllers
from tests.harness.exchange import HttpAnswer, replica
from tests.harness.objects import wait_for_state
from tests.harness.own_system import OwnSystem
from tests.harness.pairing_site import Site
from tests.harness.processes import poll
from tests.harness.proofs import Figure
from tests.harness.system import System, running
from tests.harness.wires import Wire, kubeconfig_at, wire_to

Json = dict[str, Any]


def default_of(of: Any, parameter: str) -> float:
    return float(inspect.signature(of).parameters[parameter].default)


# As the code has them.
STALE_SECONDS = default_of(FreshReader, "max_staleness")
# A call of the controller has so long, and it reads its keys again 5 s after that.
SETTLE_SECONDS = CALL_SECONDS + REFRESH_SECONDS
# A watch is given up when it was silent for so long. A probe of the requester's policy that was not answered is sent
# again after a while, and nothing is minted before that (S4). Or the watch is back sooner, the first try to mint meets
# a connection that is silent and not yet dropped as idle, waits for it in vain, and is repeated.
IDLE_SECONDS = 15.0  # aiohttp.TCPConnector
RETRY_SECONDS = 2.0
ISSUED_AGAIN_SECONDS = max(SILENT_SECONDS + UNPROTECTED_PROBE_SECONDS, IDLE_SECONDS + CALL_SECONDS + RETRY_SECONDS)
# How long to wait for what must come: no bound of the code, and more than a busy machine adds to any of them.
LONG = 120.0


@pytest.fixture(scope="module")
def controllers_wire(vacant_plane: ControlPlane) -> Iterator[Wire]:
    """The only way to the API server that the system's own processes have."""
    with wire_to(vacant_plane) as wire:
        yield wire


@pytest.fixture(scope="module")
def own_system(
    vacant_plane: ControlPlane, controllers_wire: Wire, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OwnSystem]:
    with OwnSystem.of(
        running(vacant_plane, tmp_path_factory.mktemp("hanging") / "up", between=controllers_wire)
    ) as whole:
        yield whole


@pytest.fixture
def own_site(own_system: OwnSystem, controllers_wire: Wire) -> Site:
    """A namespace of one's own, with a controller that leads."""
    controllers_wire.flow()
    own_system.up.restart_what_ended(lambda _: None)
    return own_system.site("hanging")


# The exchange.


@dataclass(frozen=True, slots=True)
class Wired:
    """A replica of the exchange whose way to the API server can fall silent."""

    site: Site
    wire: Wire


@pytest.fixture
def wired(own_system: OwnSystem, own_site: Site, tmp_path: Path) -> Iterator[Wired]:
    kubeconfig = own_system.up.folder / "run" / f"{EXCHANGE}.kubeconfig"
    with wire_to(own_system.plane) as wire:
        flags = {"--kubeconfig": str(wire.kubeconfig(kubeconfig, tmp_path / "kubeconfig"))}
        with replica(own_system, tmp_path / "exchange", flags=flags) as behind:
            site = Site(own_site.api, own_site.namespace, own_site.exchange.at(behind.url), own_site.bearer)
            yield Wired(site, wire)


@dataclass(frozen=True, slots=True)
class Timed:
    answer: HttpAnswer
    sent: float
    seconds: float


def timed(ask: Any, *arguments: Any, **named: Any) -> Timed:
    sent = time.monotonic()
    answer = ask(*arguments, **named)
    return Timed(answer, sent, time.monotonic() - sent)


@pytest.mark.proof(gate=1, soak=4)
def test_an_exchange_before_a_silent_api_server_answers_in_time_consumes_nothing_and_comes_back(
    wired: Wired, rounds: int, figure: Figure
) -> None:
    for number in range(rounds):
        go_silent_and_come_back(wired, figure, number, answers_only=number % 2 == 1)


def go_silent_and_come_back(wired: Wired, figure: Figure, number: int, *, answers_only: bool) -> None:
    site, wire, exchange, key = wired.site, wired.wire, wired.site.exchange, SigningKey.generate("ES256")
    ended, kept = f"ended-{number}", f"kept-{number}"
    master, other = site.paired(ended)["access_token"], site.paired(kept)["access_token"]
    bearer, bound, spare = (site.issue(f"{name}-{number}") for name in ("bearer", "bound", "spare"))
    active = time.monotonic()
    assert site.is_active(master)
    assert wire.open > 0
    # A reading may be shared for a second after it was sent, and not any longer.
    poll(lambda: time.monotonic() > active + 2 * STALE_SECONDS)

    wire.swallow(answers_only=answers_only)
    with ThreadPoolExecutor(12) as threads:
        asked = [
            threads.submit(timed, exchange.redeem, bearer),
            threads.submit(timed, exchange.redeem, bound, key=key),
            threads.submit(timed, exchange.revoke, spare),
            threads.submit(timed, exchange.introspect, other, site.bearer),
            threads.submit(timed, exchange.introspect, master, site.bearer),
        ]
        # Behind the wire somebody ends the trust, and the API server says that it is done.
        site.api.merge(site.pairing_token(ended), {"spec": {"revoked": True}}).must_succeed()
        wait_for_state(site.api, site.pairing_token(ended), "Revoked")
        revoked = time.monotonic()
        asking = [threads.submit(timed, exchange.introspect, master, site.bearer) for _ in range(3)]
        # All are answered while the wire is silent. tests/unit/exchange/test_in_flight.py has the exact time.
        reported = [one.result() for one in asked]
        used = [site.state_of(f"{name}-{number}")[0] for name in ("bearer", "bound", "spare")]
        wire.flow()
        flows = time.monotonic()
        asking += [threads.submit(timed, exchange.introspect, master, site.bearer) for _ in range(3)]
        late = [one.result() for one in asking]
    # A connection that was silent is given up by the call that waits for it: a later one takes a new connection.
    poll(lambda: exchange.introspect(master, site.bearer).status == 200)
    came_back = time.monotonic() - flows

    figure(
        f"{len(reported)} answers of 503 after {min(t.seconds for t in reported):.1f} "
        f"to {max(t.seconds for t in reported):.1f} s; "
        f"of {len(late)} introspections of what was revoked meanwhile "
        f"{sum(t.answer.body.get('active') is True for t in late)} said active; back after {came_back:.1f} s"
    )
    assert [(t.answer.status, t.answer.body["error"]) for t in reported] == [(503, "temporarily_unavailable")] * len(
        reported
    )
    assert all(int(t.answer.headers["Retry-After"]) >= 1 for t in reported)
    assert used == ["Active"] * 3
    # Nothing is answered from the past: 503, or what is true now.
    assert min(t.sent for t in late) >= revoked
    assert {(t.answer.status, t.answer.body.get("active")) for t in late} <= {(503, None), (200, False)}
    assert not site.is_active(master)
    assert [site.exchange.redeem(bearer).status, site.exchange.redeem(bound, key=key).status] == [200, 200]
    assert site.is_active(other)


# The controller.


def holder(api: Api) -> str:
    found: str = api.get(LEASE)["spec"].get("holderIdentity") or ""
    return found


def is_past(instant: float) -> bool:
    return time.monotonic() >= instant


def is_issued(site: Site, name: str) -> bool:
    return site.state_of(name) == ("Active", 1)


@pytest.mark.proof(gate=1, soak=3)
def test_a_controller_whose_connections_fell_silent_finds_new_ones_and_goes_on(
    own_system: OwnSystem, own_site: Site, controllers_wire: Wire, rounds: int, figure: Figure
) -> None:
    own_site.issue("before")
    controller, leader = own_system.up.children[CONTROLLER].pid, holder(own_site.api)
    waited = []
    for number in range(rounds):
        # As when a load balancer forgets its connections: watches, and the one that renews the Lease.
        controllers_wire.swallow(new_ones=False)
        silent = time.monotonic()
        own_site.api.create(own_site.pairing_token(f"meanwhile-{number}")).must_succeed()
        poll(partial(is_issued, own_site, f"meanwhile-{number}"), seconds=LONG)
        waited.append(time.monotonic() - silent)
        # Calls that have met a silent connection are over before the next round.
        calm = time.monotonic() + (SETTLE_SECONDS if number + 1 < rounds else 0.0)
        poll(partial(is_past, calm), seconds=2 * SETTLE_SECONDS)

    figure(
        f"{rounds} times silent, issued {min(waited):.1f} to {max(waited):.1f} s later, of {ISSUED_AGAIN_SECONDS:.0f} s"
    )
    child = own_system.up.children[CONTROLLER]
    assert (child.running, child.pid, holder(own_site.api)) == (True, controller, leader)


def test_a_leader_before_a_silent_api_server_gives_up_and_another_takes_over(
    own_system: OwnSystem, own_site: Site, controllers_wire: Wire, tmp_path: Path, figure: Figure
) -> None:
    up = own_system.up
    own_site.issue("before")
    hung, leader = up.children[CONTROLLER], holder(own_site.api)
    others = Controllers.beside(own_system, own_system.admin, direct(own_system, tmp_path))
    with others.running() as other:
        assert not other.leads
        controllers_wire.swallow()
        silent = time.monotonic()
        own_site.api.create(own_site.pairing_token("meanwhile")).must_succeed()

        poll(lambda: hung.exit_status is not None)
        gave_up = time.monotonic() - silent
        poll(lambda: other.leads and holder(own_site.api) != leader)
        taken_over = time.monotonic() - silent
        poll(lambda: is_issued(own_site, "meanwhile"))
        issued = time.monotonic() - silent

        figure(f"gave up after {gave_up:.1f} s, taken over after {taken_over:.1f} s, issued after {issued:.1f} s")
    # That a leader stops before another begins is shown in virtual time, by tests/unit/controller/test_lease.py.
    assert hung.exit_status == 1


def direct(system: System, folder: Path) -> Identity:
    """The controller's own account, by the way that does not fall silent."""
    identity = Identity(DEFAULT_NAMESPACE, CONTROLLER, folder)
    by_wire = system.up.folder / "run" / f"{CONTROLLER}.kubeconfig"
    kubeconfig_at(urlsplit(system.plane.server).port or 0, by_wire, identity.kubeconfig)
    return identity
