"""Whose fault a refused heartbeat is: who guesses is slowed down, a fleet whose token has ended is not."""

import pytest

from tallystick.exchange.limits import FailureLimits
from tests.worlds import connected as connections
from tests.worlds.heartbeats import GOOD, JSON, PATH, beat, shown
from tests.worlds.replica import Replica

FEW = FailureLimits(burst=3, per_second=0.5)


@pytest.mark.parametrize(
    "misuse",
    [
        pytest.param({"end": connections.gone}, id="its object is gone"),
        pytest.param({"end": connections.going}, id="it is revoked"),
        pytest.param({"path": "/v1/connections/edge/dc-east/heartbeat"}, id="it is shown elsewhere"),
        pytest.param({"body": {**GOOD, "deployment_type": "ReverseProxy"}}, id="it is of another type"),
    ],
)
async def test_a_fleet_that_holds_a_token_of_ours_does_not_lock_out_its_address(misuse):
    """A revocation makes thousands of instances fail at once, often behind one address; nobody guesses there."""
    replica = Replica(limits=FEW)
    made = replica.connection()
    misuse.get("end", lambda _: None)(replica.cluster)

    async with replica.client() as client:
        answers = [
            await beat(client, made.jwts["default"], misuse.get("body", GOOD), path=misuse.get("path", PATH))
            for _ in range(10)
        ]

    assert {answer.status for answer in answers} <= {401, 403, 404}


@pytest.mark.parametrize("broken", ["a.b.c", "forged"])
async def test_a_client_that_guesses_is_slowed_down_and_gets_a_retry_after(broken):
    replica = Replica(limits=FEW)
    made = replica.connection()
    header, payload, _ = made.jwts["default"].split(".")
    jwt = f"{header}.{payload}.{'A' * 86}" if broken == "forged" else broken

    async with replica.client() as client:
        failed = [(await beat(client, jwt)).status for _ in range(3)]
        limited = await beat(client, jwt)
        body = await limited.json(content_type="application/problem+json")
        good = await beat(client, made.jwts["default"])
        replica.clock.advance(2)
        again = await beat(client, jwt)

    assert failed == [401] * 3
    assert (limited.status, limited.headers["Retry-After"]) == (429, "2")
    assert (body["type"], body["title"]) == ("urn:problem:too-many-requests", "Too Many Requests")
    assert (good.status, again.status) == (204, 401)


@pytest.mark.parametrize("spoken", ["a broken body", "no bearer"])
async def test_a_request_that_is_not_as_it_must_be_is_a_failure_of_its_source(spoken):
    replica = Replica(limits=FEW)
    made = replica.connection()
    headers = JSON if spoken == "no bearer" else shown(made.jwts["default"])

    async with replica.client() as client:
        answers = [(await client.post(PATH, data=b"[]", headers=headers)).status for _ in range(4)]

    assert answers[-1] == 429
