"""POST /oauth2/introspect and /oauth2/revoke."""

import pytest

from tallystick.objects.ports import UnavailableError
from tests.worlds.replica import ISSUER, Replica, a_bearer, form

INTROSPECT, REVOKE, TOKEN = "/oauth2/introspect", "/oauth2/revoke", "/oauth2/token"
WATCHER = {"Authorization": f"Bearer {a_bearer('watcher')}"}


async def a_master_token(replica, client) -> str:
    answer = await client.post(TOKEN, data=form(replica.pairing_token()))
    return (await answer.json())["access_token"]


async def test_a_valid_master_token_is_active_for_a_caller_who_may_ask():
    replica = Replica()

    async with replica.client() as client:
        master = await a_master_token(replica, client)
        answer = await client.post(INTROSPECT, data={"token": master}, headers=WATCHER)
        body = await answer.json()

    assert answer.status == 200
    assert body["active"] is True
    assert (body["iss"], body["token_type"], body["scope"]) == (ISSUER, "Bearer", "mission-control:admin")


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Authorization": f"Bearer {a_bearer('stranger')}"}, id="a caller without the right"),
        pytest.param(WATCHER, id="a caller with the right, for a token that is not ours"),
    ],
)
async def test_everything_else_is_the_same_inactive(headers):
    replica = Replica()

    async with replica.client() as client:
        master = await a_master_token(replica, client)
        token = master if headers is not WATCHER else "a.b.c"
        answer = await client.post(INTROSPECT, data={"token": token}, headers=headers)

        assert (answer.status, await answer.json()) == (200, {"active": False})


async def test_no_token_of_these_kinds_is_good_for_a_deployment_type():
    replica = Replica()

    async with replica.client() as client:
        master = await a_master_token(replica, client)
        asked = {"token": master, "deployment_type": "Kubernetes"}
        answer = await client.post(INTROSPECT, data=asked, headers=WATCHER)

        assert (answer.status, await answer.json()) == (200, {"active": False})


@pytest.mark.parametrize(
    ("headers", "challenge"),
    [
        pytest.param({}, "Bearer", id="no bearer"),
        pytest.param({"Authorization": "Basic eDp5"}, "Bearer", id="another scheme"),
        pytest.param({"Authorization": "Bearers a.b.c"}, "Bearer", id="a scheme that only begins like ours"),
        pytest.param({"Authorization": "bearer a.b.c"}, 'Bearer error="invalid_token"', id="our scheme in lower case"),
        pytest.param({"Authorization": "Bearer"}, 'Bearer error="invalid_token"', id="our scheme without a token"),
        pytest.param({"Authorization": "Bearer a.b.c"}, 'Bearer error="invalid_token"', id="garbage"),
        pytest.param({"Authorization": "Bearer \udcff.e30.\udcff"}, 'Bearer error="invalid_token"', id="not ASCII"),
        pytest.param(
            {"Authorization": f"Bearer {a_bearer('nobody')}"}, 'Bearer error="invalid_token"', id="an unknown caller"
        ),
        pytest.param(
            {"Authorization": f"Bearer {a_bearer('watcher', 'https://other.example')}"},
            'Bearer error="invalid_token"',
            id="a bearer for another audience",
        ),
    ],
)
async def test_a_caller_who_is_not_authenticated_gets_a_401(headers, challenge):
    replica = Replica()

    async with replica.client() as client:
        answer = await client.post(INTROSPECT, data={"token": "a.b.c"}, headers=headers)
        body = await answer.json()

    assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, challenge)
    assert body["error"] == "invalid_token"
    assert replica.counted("introspect", "invalid_token") == 1


async def test_two_authorizations_are_refused():
    replica = Replica()

    async with replica.client() as client:
        headers = [*WATCHER.items(), *WATCHER.items()]
        answer = await client.post(INTROSPECT, data={"token": "a.b.c"}, headers=headers)

        assert answer.status == 400


async def test_a_replica_that_cannot_know_says_so():
    replica = Replica()

    async with replica.client() as client:
        master = await a_master_token(replica, client)
        replica.cluster.fail_next("get", "mastertokens", UnavailableError("no answer"))
        answer = await client.post(INTROSPECT, data={"token": master}, headers=WATCHER)

        assert answer.status == 503


async def test_a_revoked_master_token_is_inactive_at_once():
    replica = Replica()

    async with replica.client() as client:
        master = await a_master_token(replica, client)
        revoked = await client.post(REVOKE, data={"token": master, "token_type_hint": "access_token"})
        answer = await client.post(INTROSPECT, data={"token": master}, headers=WATCHER)

        assert (revoked.status, await revoked.read()) == (200, b"")
        assert await answer.json() == {"active": False}


async def test_a_revoked_pairing_token_cannot_be_redeemed():
    replica = Replica()
    signed = replica.pairing_token()

    async with replica.client() as client:
        revoked = await client.post(REVOKE, data={"token": signed})
        answer = await client.post(TOKEN, data=form(signed))
        body = await answer.json()

    assert revoked.status == 200
    assert body["error_description"].endswith("has been revoked")


@pytest.mark.parametrize("token", ["a.b.c", "\N{SNOWMAN}", "x" * 60_000])
async def test_revoking_what_is_no_token_is_done_already(token):
    replica = Replica()

    async with replica.client() as client:
        answer = await client.post(REVOKE, data={"token": token})

        assert answer.status == 200
    assert replica.cluster.calls == []


@pytest.mark.parametrize("path", [REVOKE, INTROSPECT])
async def test_a_missing_token_is_an_invalid_request(path):
    replica = Replica()

    async with replica.client() as client:
        answer = await client.post(path, data={"other": "x"}, headers=WATCHER)
        body = await answer.json()

    assert answer.status == 400
    assert body == {"error": "invalid_request", "error_description": "token is missing"}


# Connection tokens.


async def test_a_connection_token_is_active_where_it_belongs_and_nowhere_else():
    replica = Replica()
    made = replica.connection()
    asked = {"token": made.jwts["default"]}

    async with replica.client() as client:
        own = await client.post(INTROSPECT, data={**asked, "deployment_type": "Kubernetes"}, headers=WATCHER)
        other = await client.post(INTROSPECT, data={**asked, "deployment_type": "ReverseProxy"}, headers=WATCHER)
        bodies = [await own.json(), await other.json()]

    assert (bodies[0]["active"], bodies[0]["connection"]) == (True, "edge/dc-west")
    assert bodies[1] == {"active": False}
    assert replica.events.reasons() == ["DeploymentTypeMismatch"]


@pytest.mark.parametrize(
    ("given", "text"),
    [
        pytest.param(
            {}, "deployment_type is missing; a connection token is valid for one deployment type only", id="none"
        ),
        pytest.param(
            {"deployment_type": ""},
            "deployment_type is missing; a connection token is valid for one deployment type only",
            id="an empty one, which counts as none",
        ),
        pytest.param(
            {"deployment_type": "kubernetes"}, "deployment_type must be Kubernetes or ReverseProxy", id="in lower case"
        ),
        pytest.param(
            {"deployment_type": "Kubernetes "}, "deployment_type must be Kubernetes or ReverseProxy", id="with a blank"
        ),
        pytest.param(
            {"deployment_type": "Docker"}, "deployment_type must be Kubernetes or ReverseProxy", id="an unknown one"
        ),
    ],
)
async def test_what_a_connection_token_is_used_in_must_be_said(given, text):
    replica = Replica()
    asked = {"token": replica.connection().jwts["default"], **given}

    async with replica.client() as client:
        answer = await client.post(INTROSPECT, data=asked, headers=WATCHER)

        assert answer.status == 400
        assert await answer.json() == {"error": "invalid_request", "error_description": text}


async def test_an_unknown_deployment_type_costs_no_api_call():
    replica = Replica()

    async with replica.client() as client:
        await client.post(INTROSPECT, data={"token": "a.b.c", "deployment_type": "Docker"}, headers=WATCHER)

    assert replica.cluster.calls == []


@pytest.mark.parametrize("used_in", ["Kubernetes", "ReverseProxy", None], ids=["its type", "another type", "no type"])
async def test_who_may_not_ask_gets_no_hint_that_it_is_a_connection_token(used_in):
    replica = Replica()
    asked = {"token": replica.connection().jwts["default"], **({"deployment_type": used_in} if used_in else {})}

    async with replica.client() as client:
        headers = {"Authorization": f"Bearer {a_bearer('stranger')}"}
        answer = await client.post(INTROSPECT, data=asked, headers=headers)

        assert (answer.status, await answer.json()) == (200, {"active": False})
    assert replica.events.warnings == []


async def test_a_connection_token_is_not_revoked_by_who_holds_it_and_stays_good():
    replica = Replica()
    made = replica.connection()

    async with replica.client() as client:
        revoked = await client.post(REVOKE, data={"token": made.jwts["default"]})
        asked = {"token": made.jwts["default"], "deployment_type": "Kubernetes"}
        answer = await client.post(INTROSPECT, data=asked, headers=WATCHER)
        bodies = [await revoked.json(), await answer.json()]

    assert revoked.status == 400
    assert bodies[0] == {
        "error": "unsupported_token_type",
        "error_description": "a holder cannot revoke a connection token, because many instances share it; "
        "remove its slot from spec.tokens of its ConnectionConfiguration",
    }
    assert bodies[1]["active"] is True
    assert replica.cluster.writes() == []
    assert replica.counted("revoke", "unsupported_token_type") == 1
