"""A token ends at its `exp`, to the millisecond: until then it is good, from then on it is not (R85, RFC 7519 4.1.4).

At a replica whose clock stands where the test sets it, and which grants no leeway: it is the issuer's own. Nobody
else's clock moves, so the controller, to whom it is minutes earlier, records nothing that would help.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tallystick.crypto.keys import SigningKey
from tests.harness import clock
from tests.harness.clock import MovedClock
from tests.harness.exchange import Exchange, HttpAnswer
from tests.harness.exchange import replica as one_more_replica
from tests.harness.pairing_site import Site, claims_of
from tests.harness.system import System

TTL = 300
MILLISECOND = timedelta(milliseconds=1)

just_before = pytest.mark.parametrize("early", [timedelta(milliseconds=900), MILLISECOND], ids=["0.9s", "1ms"])
from_then_on = pytest.mark.parametrize(
    "late",
    [timedelta(0), MILLISECOND, timedelta(seconds=1), timedelta(days=400)],
    ids=["exactly then", "1ms", "1s", "400d"],
)


@dataclass(frozen=True, slots=True)
class Standing:
    """A replica whose clock stands, and that clock."""

    url: str
    clock: MovedClock

    def client(self, site: Site, instant: datetime) -> Exchange:
        """Set the clock, and return a client who reads the same one."""
        self.clock.stand_at(instant)
        return replace(site.exchange, url=self.url, clock=self.clock)


@pytest.fixture(scope="module")
def standing(system: System, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    folder = tmp_path_factory.mktemp("standing")
    own = folder / "clock"
    own.write_text((system.up.folder / "clock").read_text())
    with one_more_replica(system, folder / "exchange", environment={clock.VARIABLE: str(own)}) as running:
        yield Standing(running.url, MovedClock(own))


def _expiry(token: str) -> datetime:
    claims = claims_of(token)
    assert claims["exp"] - claims["iat"] == TTL
    return datetime.fromtimestamp(claims["exp"], UTC)


def _expired(token: str) -> tuple[int, str, str]:
    text = f"pairing token {claims_of(token)['jti']} expired at {_expiry(token):%Y-%m-%dT%H:%M:%SZ}"
    return 400, "invalid_request", text


def _said(answer: HttpAnswer) -> tuple[int, str | None, str]:
    return answer.status, answer.body.get("error"), answer.description


def _introspected(client: Exchange, site: Site, token: str) -> Any:
    return client.introspect(token, site.bearer).must_succeed()["active"]


@just_before
def test_a_token_is_good_in_the_last_part_of_its_last_second(site: Site, standing: Standing, early: timedelta) -> None:
    token = site.issue()
    client = standing.client(site, _expiry(token) - early)

    active, redeemed = _introspected(client, site, token), client.redeem(token)

    assert active is True
    assert redeemed.status == 200
    assert _introspected(client, site, redeemed.body["access_token"]) is True


@from_then_on
def test_a_token_is_refused_from_its_expiry_on_and_is_not_used(site: Site, standing: Standing, late: timedelta) -> None:
    token, key = site.issue(), SigningKey.generate("ES256")
    client = standing.client(site, _expiry(token) + late)

    active, answers = _introspected(client, site, token), [client.redeem(token), client.redeem(token, key=key)]

    assert active is False
    assert [_said(answer) for answer in answers] == [_expired(token)] * 2
    assert site.state_of() == ("Active", 1)
    assert site.api.find_all("MasterToken", site.namespace) == []


def test_the_same_key_may_ask_again_until_the_pairing_token_expires_and_no_longer(
    site: Site, standing: Standing
) -> None:
    token, key = site.issue(), SigningKey.generate("ES256")
    first = site.exchange.redeem(token, key=key).must_succeed()["access_token"]

    again = standing.client(site, _expiry(token) - MILLISECOND).redeem(token, key=key).must_succeed()["access_token"]
    client = standing.client(site, _expiry(token))
    refused, active = client.redeem(token, key=key), _introspected(client, site, first)

    same = again == first
    assert same
    assert _said(refused) == _expired(token)
    assert active is True
    assert len(site.api.find_all("MasterToken", site.namespace)) == 1


@pytest.mark.parametrize(("ttl", "seconds"), [("1m", 60), ("720h", 2_592_000)])
def test_a_master_token_is_inactive_from_its_expiration_time_on(
    site: Site, standing: Standing, ttl: str, seconds: int
) -> None:
    answer = site.paired(masterToken={"ttl": ttl})
    spec = site.api.get(site.master_token(answer["token_id"]))["spec"]
    issued, expires = (datetime.fromisoformat(spec[time]) for time in ("issuedTime", "expirationTime"))
    instants = [expires - MILLISECOND, expires, expires + MILLISECOND]

    active = [_introspected(standing.client(site, instant), site, answer["access_token"]) for instant in instants]

    assert expires - issued == timedelta(seconds=seconds)
    assert claims_of(answer["access_token"])["exp"] == expires.timestamp()
    assert active == [True, False, False]
