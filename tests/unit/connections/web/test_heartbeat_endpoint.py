"""POST /v1/connections/{namespace}/{name}/heartbeat: what is taken, where, and what cannot be known."""

import json

import pytest
from yarl import URL

from tallystick.connections.domain.heartbeat_records import HEARTBEAT_SECONDS
from tallystick.exchange.transport import IDLE_SECONDS
from tallystick.objects.ports import UnavailableError
from tests.worlds.heartbeats import GOOD, PATH, beat, problem, seen, shown
from tests.worlds.replica import Replica


@pytest.mark.parametrize("kind", ["Kubernetes", "ReverseProxy"])
async def test_a_heartbeat_is_accepted_and_the_answer_says_when_the_next_one_is_due(kind):
    replica = Replica()
    made = replica.connection(deploymentType=kind)

    async with replica.client() as client:
        answer = await beat(client, made.jwts["default"], {**GOOD, "deployment_type": kind})
        content = await answer.read()

    assert (answer.status, content, answer.headers["Retry-After"]) == (204, b"", "15")
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Content-Type" not in answer.headers
    assert await seen(replica) == ["press-1"]
    assert replica.counted("heartbeat", "ok") == 1


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({**GOOD, "zone": "b", "load": [1, {"x": None}]}, id="members of a later version"),
        pytest.param({**GOOD, "instance_id": "p"}, id="the shortest id"),
        pytest.param({**GOOD, "instance_id": "P0." + "a_:-" * 15 + "z"}, id="the longest id"),
        pytest.param(b" \r\n" + json.dumps(GOOD).encode() + b"\n", id="with blanks around"),
        pytest.param(
            b'{"instance_id":"press-1","deployment_type":"Kubernete\\u0073"}', id="with an escape, which is the same"
        ),
        pytest.param(json.dumps({**GOOD, "note": "x" * 60_000}).encode(), id="as large as a body may be"),
    ],
)
async def test_it_is_taken_with(body):
    replica = Replica()
    made = replica.connection()

    async with replica.client() as client:
        assert (await beat(client, made.jwts["default"], body)).status == 204
    assert len(await seen(replica)) == 1


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "APPLICATION/JSON"])
async def test_the_content_type_is_read_as_http_has_it(content_type):
    replica = Replica()
    headers = {**shown(replica.connection().jwts["default"]), "Content-Type": content_type}

    async with replica.client() as client:
        answer = await client.post(PATH, data=json.dumps(GOOD).encode(), headers=headers)

        assert answer.status == 204


# The path.


@pytest.mark.parametrize(
    "path",
    [
        "/v1/connections/edge/dc-east/heartbeat",
        "/v1/connections/core/dc-west/heartbeat",
        "/v1/connections/dc-west/edge/heartbeat",
        "/v1/connections/edge/DC-WEST/heartbeat",
        "/v1/connections/edge/dc-west%20/heartbeat",
        "/v1/connections/edge/dc-west%2F/heartbeat",
        "/v1/connections/edge/%00/heartbeat",
        "/v1/connections/%2e%2e/dc-west/heartbeat",
    ],
)
async def test_s15_a_path_that_does_not_match_the_token_is_not_found(path):
    replica = Replica()
    made = replica.connection()

    async with replica.client() as client:
        answer = await client.post(
            URL(path, encoded=True), data=json.dumps(GOOD).encode(), headers=shown(made.jwts["default"])
        )
        body = await answer.json(content_type="application/problem+json")

    assert (answer.status, body["type"], body["title"]) == (404, "urn:problem:not-found", "Not Found")
    assert await seen(replica) == []


async def test_a_percent_encoded_name_is_the_same_name():
    replica = Replica()
    made = replica.connection()

    async with replica.client() as client:
        path = URL("/v1/connections/edge/dc%2Dwest/heartbeat", encoded=True)
        answer = await client.post(path, data=json.dumps(GOOD).encode(), headers=shown(made.jwts["default"]))

        assert answer.status == 204


async def test_another_method_is_refused_as_a_problem():
    replica = Replica()

    async with replica.client() as client:
        answer = await client.get(PATH)
        body = await answer.json(content_type="application/problem+json")

    assert (answer.status, answer.headers["Allow"]) == (405, "POST")
    assert body == problem("invalid-request", "Method Not Allowed", 405, "this path does not support this method")


async def test_beneath_the_path_of_an_issuer_it_is_served_too_and_refuses_in_the_same_form():
    replica = Replica(issuer="https://trust.example.com/tally")
    made = replica.connection()

    async with replica.client() as client:
        good = [(await beat(client, made.jwts["default"], path=path)).status for path in (PATH, f"/tally{PATH}")]
        refused = await beat(client, "a.b.c", path=f"/tally{PATH}")

    assert good == [204, 204]
    assert refused.content_type == "application/problem+json"
    assert replica.counted("heartbeat", "ok") == 2


# What cannot be known.


async def test_an_api_server_that_does_not_answer_means_ask_again():
    replica = Replica()
    made = replica.connection()
    replica.cluster.fail_next("get", "connectionconfigurations", UnavailableError("no answer", retry_after=3.0))

    async with replica.client() as client:
        answer = await beat(client, made.jwts["default"])
        body = await answer.json(content_type="application/problem+json")

    assert (answer.status, answer.headers["Retry-After"]) == (503, "3")
    assert body["title"] == "Service Unavailable"


async def test_a_clock_that_is_off_is_said_so():
    replica = Replica()
    made = replica.connection()
    replica.server_clock.observe(replica.clock.now().replace(minute=2))

    async with replica.client() as client:
        answer = await beat(client, made.jwts["default"])
        body = await answer.json(content_type="application/problem+json")

    assert (answer.status, answer.headers["Retry-After"]) == (503, "30")
    assert body["type"] == "urn:problem:clock-unsafe"


async def test_a_fault_of_ours_is_a_500_without_details(caplog):
    replica = Replica()
    made = replica.connection()
    replica.cluster.fail_next("get", "connectionconfigurations", KeyError(made.jwts["default"]))

    async with replica.client() as client:
        answer = await beat(client, made.jwts["default"])
        body = await answer.json(content_type="application/problem+json")

    detail = "the request failed because of an internal error of the exchange"
    assert body == problem("server-error", "Internal Server Error", 500, detail)
    assert made.jwts["default"] not in caplog.text


def test_the_connection_of_an_instance_stays_open_between_two_heartbeats():
    assert IDLE_SECONDS >= HEARTBEAT_SECONDS + 10
