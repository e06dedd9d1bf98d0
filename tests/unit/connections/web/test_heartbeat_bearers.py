"""Which bearers of a heartbeat are refused, each as a problem (RFC 9457) and with which challenge."""

import json

import pytest

from tests.worlds import connected as connections
from tests.worlds.heartbeats import GOOD, INVALID_BEARER, JSON, PATH, beat, problem
from tests.worlds.replica import Replica, form

NO_BEARER = "the instance must send its connection token as a bearer token"
REVOKED = "token {} has been revoked"


# What is no token of ours.


@pytest.mark.parametrize(
    ("headers", "challenge", "detail"),
    [
        pytest.param({}, "Bearer", NO_BEARER, id="none"),
        pytest.param({"Authorization": "Basic eDp5"}, "Bearer", NO_BEARER, id="another scheme"),
        pytest.param({"Authorization": "DPoP a.b.c"}, "Bearer", NO_BEARER, id="a proof's scheme"),
        pytest.param({"Authorization": "Bearers a.b.c"}, "Bearer", NO_BEARER, id="a scheme that begins like ours"),
        pytest.param({"Authorization": "Bearer"}, INVALID_BEARER, NO_BEARER, id="our scheme without a token"),
        pytest.param({"Authorization": "Bearer a b"}, INVALID_BEARER, NO_BEARER, id="two words"),
        pytest.param({"Authorization": "Bearer \udcff"}, INVALID_BEARER, NO_BEARER, id="not ASCII"),
        pytest.param(
            {"Authorization": "Bearer a.b.c"},
            INVALID_BEARER,
            "the bearer token is not a valid connection token",
            id="garbage",
        ),
        pytest.param(
            {"Authorization": "bearer a.b.c"},
            INVALID_BEARER,
            "the bearer token is not a valid connection token",
            id="garbage, our scheme in lower case",
        ),
    ],
)
async def test_who_shows_no_connection_token_gets_a_401_and_costs_no_api_call(headers, challenge, detail):
    replica = Replica()

    async with replica.client() as client:
        answer = await client.post(PATH, data=json.dumps(GOOD).encode(), headers={**JSON, **headers})
        body = await answer.json(content_type="application/problem+json")

    assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, challenge)
    assert body == problem("invalid-token", "The token is not valid", 401, detail)
    assert replica.cluster.calls == []
    assert replica.counted("heartbeat", "invalid_token") == 1


async def test_two_authorizations_are_refused():
    replica = Replica()
    made = replica.connection()

    async with replica.client() as client:
        headers = [*JSON.items(), *[("Authorization", f"Bearer {made.jwts['default']}")] * 2]
        answer = await client.post(PATH, data=json.dumps(GOOD).encode(), headers=headers)
        body = await answer.json(content_type="application/problem+json")

    assert body == problem("invalid-request", "Bad Request", 400, "header Authorization occurs more than once")


@pytest.mark.parametrize("kind", ["pairing", "master"])
async def test_a_good_token_of_another_kind_is_refused_as_garbage_is(kind):
    replica = Replica()
    signed = replica.pairing_token("dc-west")

    async with replica.client() as client:
        if kind == "master":
            signed = (await (await client.post("/oauth2/token", data=form(signed))).json())["access_token"]
        answer = await beat(client, signed)
        body = await answer.json(content_type="application/problem+json")

    assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, INVALID_BEARER)
    assert body["detail"] == "the bearer token is not a valid connection token"


# Refusals of a token of ours.


@pytest.mark.parametrize(
    ("end", "detail"),
    [
        pytest.param(lambda c: connections.record(c, state="Revoked"), REVOKED, id="revoked"),
        pytest.param(connections.gone, "the token is not valid", id="of an object that is gone"),
        pytest.param(connections.made_again, "the token is not valid", id="of an object that was made anew"),
        pytest.param(
            lambda c: connections.order(c, licenseExpiresAt="2030-01-01T12:00:00Z"),
            "the license of edge/dc-west expired at 2030-01-01T12:00:00Z",
            id="of a licence that is over",
        ),
    ],
)
async def test_a_token_is_refused_that_is(end, detail):
    replica = Replica()
    made = replica.connection()
    end(replica.cluster)

    async with replica.client() as client:
        answer = await beat(client, made.jwts["default"])
        body = await answer.json(content_type="application/problem+json")

    assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, INVALID_BEARER)
    assert body == problem("invalid-token", "The token is not valid", 401, detail.format(made.token_ids["default"]))


async def test_r41_in_another_deployment_type_it_is_refused_with_a_clear_text():
    replica = Replica()
    made = replica.connection()

    async with replica.client() as client:
        answer = await beat(client, made.jwts["default"], {**GOOD, "deployment_type": "ReverseProxy"})
        body = await answer.json(content_type="application/problem+json")

    detail = (
        f"token {made.token_ids['default']} was issued for deployment type Kubernetes and cannot be used in "
        "ReverseProxy"
    )
    title = "The token is bound to another deployment type"
    assert body == problem("deployment-type-mismatch", title, 403, detail)
    assert (answer.status, "WWW-Authenticate" in answer.headers) == (403, False)
    assert replica.counted("heartbeat", "deployment_type_mismatch") == 1
    assert replica.events.reasons() == ["DeploymentTypeMismatch"]
