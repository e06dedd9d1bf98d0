"""The bodies of heartbeats that are refused, each as a problem (RFC 9457), before the token is looked at."""

import json

import pytest

from tests.worlds.heartbeats import GOOD, PATH, beat, problem, seen, shown
from tests.worlds.replica import Replica

NOT_JSON_OBJECT = "the body is not one well-formed JSON object"
BAD_INSTANCE = "instance_id must have 1 to 64 characters: letters, digits, dots, colons, hyphens and underscores"
BAD_TYPE = "deployment_type must be Kubernetes or ReverseProxy"


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
            {"instance_id": "press-1"}, "deployment_type is missing; set it to Kubernetes or ReverseProxy", id="no type"
        ),
        pytest.param(
            {**GOOD, "deployment_type": None},
            "deployment_type is missing; set it to Kubernetes or ReverseProxy",
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

    assert (answer.status, body["detail"]) == (400, "parameters must be in the body, not in the URL")
