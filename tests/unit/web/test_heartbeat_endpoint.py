"""POST /v1/connections/{namespace}/{name}/heartbeat: what is taken, and each refusal as a problem (RFC 9457)."""

import json

import pytest
from yarl import URL

from tallystick.api.core import CONFIG_MAPS
from tallystick.domain.instance_maps import stored_records
from tallystick.services.ports import UnavailableError
from tallystick.web.limits import FailureLimits
from tests.unit.services import connected as connections
from tests.unit.web.replica import Replica, form

PATH = "/v1/connections/edge/dc-west/heartbeat"
GOOD = {"instance_id": "press-1", "deployment_type": "Kubernetes"}
JSON = {"Content-Type": "application/json"}
INVALID_BEARER = 'Bearer error="invalid_token"'
NOT_JSON_OBJECT = "the body is not one well-formed JSON object"
BAD_INSTANCE = "instance_id must be a text of 1 to 64 letters, digits, dots, colons, hyphens and underscores"
BAD_TYPE = "deployment_type must be Kubernetes or ReverseProxy"
NO_BEARER = "the instance must show its connection token as a bearer token"


def shown(jwt: str) -> dict[str, str]:
    return {**JSON, "Authorization": f"Bearer {jwt}"}


def problem(code: str, title: str, status: int, detail: str) -> dict[str, object]:
    return {"type": f"urn:problem:{code}", "title": title, "status": status, "detail": detail}


async def beat(client, jwt, body=GOOD, *, path=PATH):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await client.post(path, data=data, headers=shown(jwt))


async def seen(replica) -> list[str]:
    """The instances that are stored."""
    await replica.instances.store()
    body = replica.cluster.peek(CONFIG_MAPS, "tallystick-system", "tallystick-instances-one")
    return [name for record in stored_records(body or {}).values() for name in record.presence.sightings]


@pytest.mark.parametrize("kind", ["Kubernetes", "ReverseProxy"])
async def test_a_heartbeat_is_taken_and_told_when_the_next_one_is_due(kind):
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


# The body.


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        pytest.param(b"", NOT_JSON_OBJECT, id="nothing"),
        pytest.param(b"garbage", NOT_JSON_OBJECT, id="no JSON"),
        pytest.param(b"null", NOT_JSON_OBJECT, id="null"),
        pytest.param(b"7", NOT_JSON_OBJECT, id="a number"),
        pytest.param(b'"press-1"', NOT_JSON_OBJECT, id="a text"),
        pytest.param(json.dumps([GOOD]).encode(), NOT_JSON_OBJECT, id="an array"),
        pytest.param(json.dumps(GOOD).encode()[:-1], NOT_JSON_OBJECT, id="cut off"),
        pytest.param(json.dumps(GOOD).encode() * 2, NOT_JSON_OBJECT, id="two objects"),
        pytest.param(json.dumps(GOOD).encode("utf-16"), NOT_JSON_OBJECT, id="UTF-16"),
        pytest.param(b"\xef\xbb\xbf" + json.dumps(GOOD).encode(), NOT_JSON_OBJECT, id="a byte order mark"),
        pytest.param(b'{"instance_id":"\xff","deployment_type":"Kubernetes"}', NOT_JSON_OBJECT, id="no UTF-8"),
        pytest.param(b'{"instance_id":"a\nb","deployment_type":"Kubernetes"}', NOT_JSON_OBJECT, id="a raw newline"),
        pytest.param(
            b'{"instance_id":"a","instance_id":"b","deployment_type":"Kubernetes"}', NOT_JSON_OBJECT, id="two ids"
        ),
        pytest.param(
            b'{"instance_id":"a","deployment_type":"ReverseProxy","deployment_type":"Kubernetes"}',
            NOT_JSON_OBJECT,
            id="two types",
        ),
        pytest.param(
            b'{"instance_id":"a","deployment_type":"Kubernetes","x":{"y":1,"y":1}}', NOT_JSON_OBJECT, id="two, inside"
        ),
        pytest.param(b'{"instance_id":"a","deployment_type":"Kubernetes","x":NaN}', NOT_JSON_OBJECT, id="NaN"),
        pytest.param(b'{"instance_id":"a","deployment_type":"Kubernetes","x":1.5}', NOT_JSON_OBJECT, id="a fraction"),
        pytest.param(
            b'{"instance_id":"a","deployment_type":"Kubernetes","x":' + b"9" * 5000 + b"}",
            NOT_JSON_OBJECT,
            id="5000 digits",
        ),
        pytest.param(b'{"x":' * 12_000, NOT_JSON_OBJECT, id="thousands of objects, none closed"),
        pytest.param(
            b'{"instance_id":"a","deployment_type":"Kubernetes","x":' + b"[" * 20_000 + b"]" * 20_000 + b"}",
            NOT_JSON_OBJECT,
            id="nested thousands deep",
        ),
        pytest.param({"deployment_type": "Kubernetes"}, BAD_INSTANCE, id="no id"),
        pytest.param({**GOOD, "instance_id": None}, BAD_INSTANCE, id="id null"),
        pytest.param({**GOOD, "instance_id": 7}, BAD_INSTANCE, id="id a number"),
        pytest.param({**GOOD, "instance_id": True}, BAD_INSTANCE, id="id a boolean"),
        pytest.param({**GOOD, "instance_id": ["press-1"]}, BAD_INSTANCE, id="id an array"),
        pytest.param({**GOOD, "instance_id": {}}, BAD_INSTANCE, id="id an object"),
        pytest.param({**GOOD, "instance_id": ""}, BAD_INSTANCE, id="id empty"),
        pytest.param({**GOOD, "instance_id": "p" * 65}, BAD_INSTANCE, id="id too long"),
        pytest.param({**GOOD, "instance_id": "-press"}, BAD_INSTANCE, id="id that begins with a hyphen"),
        pytest.param({**GOOD, "instance_id": "press 1"}, BAD_INSTANCE, id="id with a blank"),
        pytest.param({**GOOD, "instance_id": "press-1\n"}, BAD_INSTANCE, id="id with a newline"),
        pytest.param({**GOOD, "instance_id": "a\x1b[2K"}, BAD_INSTANCE, id="id with ESC"),
        pytest.param({**GOOD, "instance_id": "a\0"}, BAD_INSTANCE, id="id with NUL"),
        pytest.param({**GOOD, "instance_id": "prëss"}, BAD_INSTANCE, id="id outside of ASCII"),
        pytest.param({**GOOD, "instance_id": "a\u202eb"}, BAD_INSTANCE, id="id right to left"),
        pytest.param({**GOOD, "instance_id": "\ud800"}, BAD_INSTANCE, id="id a lone surrogate"),
        pytest.param({**GOOD, "instance_id": "../x"}, BAD_INSTANCE, id="id a path"),
        pytest.param(
            {"instance_id": "press-1"}, "deployment_type is missing: say what the instance runs as", id="no type"
        ),
        pytest.param(
            {**GOOD, "deployment_type": None},
            "deployment_type is missing: say what the instance runs as",
            id="type null",
        ),
        pytest.param({**GOOD, "deployment_type": ""}, BAD_TYPE, id="type empty"),
        pytest.param({**GOOD, "deployment_type": "kubernetes"}, BAD_TYPE, id="type in lower case"),
        pytest.param({**GOOD, "deployment_type": "Docker"}, BAD_TYPE, id="type unknown"),
        pytest.param({**GOOD, "deployment_type": 0}, BAD_TYPE, id="type a number"),
        pytest.param({**GOOD, "deployment_type": False}, BAD_TYPE, id="type a boolean"),
        pytest.param({**GOOD, "deployment_type": ["Kubernetes"]}, BAD_TYPE, id="type an array"),
        pytest.param({**GOOD, "deployment_type": {"Kubernetes": 1}}, BAD_TYPE, id="type an object"),
    ],
)
async def test_a_body_is_refused_before_the_token_is_looked_at(body, detail):
    replica = Replica()
    made = replica.connection()
    replica.cluster.calls.clear()

    async with replica.client() as client:
        answer = await beat(client, made.jwts["default"], body)

        assert await answer.json(content_type="application/problem+json") == problem(
            "invalid-request", "Bad Request", 400, detail
        )
    assert answer.status == 400
    assert replica.cluster.calls == []
    assert await seen(replica) == []
    assert replica.counted("heartbeat", "invalid_request") == 1


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Content-Type": "application/x-www-form-urlencoded"}, id="a form"),
        pytest.param({"Content-Type": "text/plain"}, id="text"),
        pytest.param({"Content-Type": "application/problem+json"}, id="another kind of JSON"),
        pytest.param({"Content-Type": ""}, id="none"),
        pytest.param({"Content-Encoding": "identity"}, id="a coding, though it is none"),
    ],
)
async def test_what_is_not_plainly_json_is_not_read(headers):
    replica = Replica()
    made = replica.connection()

    async with replica.client() as client:
        answer = await client.post(
            PATH, data=json.dumps(GOOD).encode(), headers={**shown(made.jwts["default"]), **headers}
        )
        body = await answer.json(content_type="application/problem+json")

    detail = "the body must be application/json, without a content encoding"
    assert body == problem("invalid-request", "Unsupported Media Type", 415, detail)
    assert answer.status == 415


async def test_a_body_that_is_too_large_is_refused():
    replica = Replica()
    made = replica.connection()

    async with replica.client() as client:
        answer = await beat(client, made.jwts["default"], json.dumps({**GOOD, "note": "x" * 65_536}).encode())
        body = await answer.json(content_type="application/problem+json")

    assert (answer.status, body["status"], body["detail"]) == (413, 413, "the body is larger than 64 KiB")


async def test_parameters_in_the_url_are_refused():
    """A token in a URL ends up in logs; refusing any shows the client its mistake."""
    replica = Replica()
    made = replica.connection()

    async with replica.client() as client:
        answer = await beat(client, made.jwts["default"], path=f"{PATH}?instance_id=press-1")
        body = await answer.json(content_type="application/problem+json")

    assert (answer.status, body["detail"]) == (400, "parameters belong into the body, not into the URL")


# The bearer.


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

    assert body == problem("invalid-request", "Bad Request", 400, "Authorization is given more than once")


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


REVOKED = "token {} has been revoked"


@pytest.mark.parametrize(
    ("end", "detail"),
    [
        pytest.param(lambda c: connections.record(c, state="Revoked"), REVOKED, id="revoked"),
        pytest.param(connections.gone, "the token is not valid", id="of an object that is gone"),
        pytest.param(connections.made_anew, "the token is not valid", id="of an object that was made anew"),
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
    assert body == problem("invalid-request", "Method Not Allowed", 405, "this method is not served at this path")


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


async def test_a_fault_of_ours_is_a_500_that_tells_nothing(caplog):
    replica = Replica()
    made = replica.connection()
    replica.cluster.fail_next("get", "connectionconfigurations", KeyError(made.jwts["default"]))

    async with replica.client() as client:
        answer = await beat(client, made.jwts["default"])
        body = await answer.json(content_type="application/problem+json")

    detail = "the request could not be answered because of a fault in the service"
    assert body == problem("server-error", "Internal Server Error", 500, detail)
    assert made.jwts["default"] not in caplog.text


# Whose fault it is.


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
async def test_who_guesses_is_slowed_down_and_told_when_to_come_back(broken):
    replica = Replica(limits=FEW)
    made = replica.connection()
    header, payload, _ = made.jwts["default"].split(".")
    jwt = f"{header}.{payload}.{'A' * 86}" if broken == "forged" else broken

    async with replica.client() as client:
        failed = [(await beat(client, jwt)).status for _ in range(3)]
        limited = await beat(client, made.jwts["default"])
        body = await limited.json(content_type="application/problem+json")
        replica.clock.advance(2)
        again = await beat(client, made.jwts["default"])

    assert failed == [401] * 3
    assert (limited.status, limited.headers["Retry-After"]) == (429, "2")
    assert (body["type"], body["title"]) == ("urn:problem:too-many-requests", "Too Many Requests")
    assert again.status == 204


@pytest.mark.parametrize("spoken", ["a broken body", "no bearer"])
async def test_a_request_that_is_not_as_it_must_be_is_a_failure_of_its_source(spoken):
    replica = Replica(limits=FEW)
    made = replica.connection()
    headers = JSON if spoken == "no bearer" else shown(made.jwts["default"])

    async with replica.client() as client:
        answers = [(await client.post(PATH, data=b"[]", headers=headers)).status for _ in range(4)]

    assert answers[-1] == 429


async def test_beneath_the_path_of_an_issuer_it_is_served_too_and_refuses_in_the_same_form():
    replica = Replica(issuer="https://trust.example.com/tally")
    made = replica.connection()

    async with replica.client() as client:
        good = [(await beat(client, made.jwts["default"], path=path)).status for path in (PATH, f"/tally{PATH}")]
        refused = await beat(client, "a.b.c", path=f"/tally{PATH}")

    assert good == [204, 204]
    assert refused.content_type == "application/problem+json"
    assert replica.counted("heartbeat", "ok") == 2
