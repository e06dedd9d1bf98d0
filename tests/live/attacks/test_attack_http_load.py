"""Abuse in numbers: who holds connections, guesses or floods takes nothing from others, nor from the API server."""

import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tallystick.exchange.transport import MOST_CONNECTIONS, MOST_PER_SOURCE
from tallystick.tokens.keyrings import REFRESH_SECONDS
from tests.harness.api import Api
from tests.harness.exchange import GRANT, JWT_TYPE
from tests.harness.http_abuse import Held, abuse_of
from tests.harness.pairing_site import VERIFIER
from tests.harness.processes import poll
from tests.harness.proofs import Figure
from tests.harness.raw_http import GET_DOCUMENT, Place, Target, a_source, attacked, resident_bytes
from tests.harness.system import System
from tests.live.attacks.attack_http_cases import FORM, filled, posted

MEBIBYTE = 1 << 20
# A source may fail twenty times at once before it has to wait.
GUESSES_OF_A_SOURCE = 15
MOST_GROWTH = 64 * MEBIBYTE
PATIENCE_SECONDS = 120.0
SLOW_SOURCES = MOST_CONNECTIONS // MOST_PER_SOURCE - 1


@pytest.fixture
def target(system: System, admin: Api, make_namespace: Callable[[str], str], tmp_path: Path) -> Iterator[Target]:
    with attacked(system, admin, make_namespace("load"), tmp_path / "exchange") as target:
        yield target


@pytest.mark.proof(gate=300, soak=10_000)
def test_garbage_costs_no_call_of_the_api(target: Target, rounds: int, figure: Figure) -> None:
    site = target.site
    of_the_api_server = site.api.request_token(site.namespace, VERIFIER)
    requests = _garbage(site.issue(ttl="1h"), of_the_api_server)
    calls, gets, began = target.calls, site.exchange.api_calls("get"), time.monotonic()
    resident, statuses = resident_bytes(target.pid), Counter[int]()

    for _ in range(-(-rounds // GUESSES_OF_A_SOURCE)):
        with target.place.connected() as line:
            statuses.update(line.ask(next(requests)).status for _ in range(GUESSES_OF_A_SOURCE))

    seconds, grown = time.monotonic() - began, resident_bytes(target.pid) - resident
    caused = sum(target.calls) - sum(calls)
    figure(
        f"{statuses.total():,} garbage tokens and bearers in {seconds:.0f} s: {caused:.0f} calls of the API, "
        f"{grown / MEBIBYTE:+.1f} MiB of memory, answers {dict(statuses)}"
    )
    # RFC 7009 2.2: revocation says 200 to a token that is none.
    assert statuses.keys() == {200, 400, 401}
    assert caused == 0
    assert site.exchange.api_calls("get") - gets <= seconds / REFRESH_SECONDS + 2
    assert site.state_of() == ("Active", 1)
    assert grown < MOST_GROWTH


def _garbage(token: str, of_the_api_server: str) -> Iterator[bytes]:
    """Requests with tokens that are none, and with bearers that are none or for somebody else."""
    header, claims, signature = token.split(".")
    for number in itertools.count():
        altered = (
            f"{header}.{claims}.{signature[::-1]}",
            f"{header}.{claims[::-1]}.{signature}",
            f"{header}.{claims}.",
        )
        none = (f"garbage-{number}", f"{number}.e30.e30", "." * 20 + str(number), "A" * 7_000, of_the_api_server)
        for made_up in (*altered, *none):
            form = {"grant_type": GRANT, "subject_token": made_up, "subject_token_type": JWT_TYPE}
            yield filled(posted(urlencode(form).encode()))
            yield filled(posted(urlencode({"token": made_up}).encode(), path=b"/oauth2/revoke"))
        for bearer in none:
            headers = FORM + f"Authorization: Bearer {bearer}\r\n".encode()
            yield filled(posted(b"token=x", path=b"/oauth2/introspect", headers=headers))


def test_one_source_does_not_take_all_connections_and_one_too_many_gets_a_503(target: Target) -> None:
    place, site, hog = target.place, target.site, a_source()
    token = site.issue()

    with Held(place) as held:
        # A client that sends no byte counts as one that is served.
        held.want(hog, served=MOST_PER_SOURCE // 2, silent=MOST_PER_SOURCE // 2)
        _refill_until(held, lambda: [_status(place, source) for source in (hog, a_source(), hog)] == [503, 200, 503])
        redeemed = site.exchange.redeem(token).status

        for source in [a_source() for _ in range(MOST_CONNECTIONS // MOST_PER_SOURCE - 1)]:
            held.want(source, silent=MOST_PER_SOURCE)
        _refill_until(held, lambda: _status(place, a_source()) == 503)
    poll(lambda: (_status(place, hog), _status(place, a_source())) == (200, 200), seconds=PATIENCE_SECONDS)

    assert redeemed == 200


def _refill_until(held: Held, is_full: Callable[[], bool]) -> None:
    """Hold the connections until the exchange has so many at once that it answers as a full one does."""

    def attempt() -> bool:
        held.refill()
        return is_full()

    poll(attempt, seconds=PATIENCE_SECONDS)


def _status(place: Place, source: str) -> int:
    """Ask for health; whoever is turned away is told in our words, when to come back, and hung up on."""
    with place.connected(source) as line:
        answer = line.ask(GET_DOCUMENT)
        if answer.status != 200:
            assert answer.json["error"] == "temporarily_unavailable"
            assert (answer.header("Retry-After"), answer.header("Connection")) == ("1", "close")
            assert line.rest() == b""
        return answer.status


@pytest.mark.proof(gate=120, soak=6_000)
def test_a_good_client_is_served_while_others_hold_connections_and_flood(
    target: Target, rounds: int, figure: Figure
) -> None:
    site = target.site
    waiting = [site.issue(f"site-{number}", ttl="1h") for number in range(rounds // 40)]
    master = site.paired("paired", ttl="1h")["access_token"]
    resident, mark, seconds = resident_bytes(target.pid), target.mark, list[float]()

    with abuse_of(target.place, sources=SLOW_SOURCES) as abuse:
        for number in range(rounds):
            began = time.monotonic()
            if number % 40 or not waiting:
                served = site.exchange.introspect(master, site.bearer).body.get("active") is True
            else:
                served = site.exchange.redeem(waiting.pop()).status == 200
            seconds += [time.monotonic() - began] if served else []
        grown = resident_bytes(target.pid) - resident

    figure(
        f"{len(seconds):,} of {rounds:,} good requests served (p50 {_quantile(seconds, 0.5):.0f} ms, "
        f"p99 {_quantile(seconds, 0.99):.0f} ms) beside {abuse.held} slow connections ({abuse.opened:,} in all) and "
        f"{abuse.bad:,} bad requests; {grown / MEBIBYTE:+.0f} MiB of memory"
    )
    assert len(seconds) == rounds
    assert abuse.held >= SLOW_SOURCES * MOST_PER_SOURCE * 0.9
    assert abuse.bad > 0
    assert grown < MOST_GROWTH
    assert target.errors_since(mark) == ""


def _quantile(seconds: list[float], part: float) -> float:
    return 1000 * sorted(seconds)[int(part * (len(seconds) - 1))] if seconds else 0.0
