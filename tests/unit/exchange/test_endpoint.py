"""An endpoint of a feature that the exchange has never seen: routes, metrics and both documents come from its value."""

from dataclasses import replace

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from tallystick.errors import ProblemError
from tallystick.exchange.app import api_of, make_app
from tallystick.exchange.app_context import CONTEXT, IN_FLIGHT
from tallystick.exchange.endpoint import ApiPart, Endpoint, Route
from tallystick.exchange.metadata import discovery
from tallystick.exchange.openapi import openapi
from tallystick.exchange.openapi_parts import INVALID, form, post, response, text
from tallystick.exchange.requests import read_form
from tallystick.exchange.responses import json_response
from tallystick.runtime.metrics import make_metrics
from tests.worlds.replica import ISSUER, Replica

STAMPS = Endpoint(
    method="POST",
    path="/oauth2/stamps",
    describe=lambda api: post(
        "stamps", "Stamp a letter.", form({"letter": text()}, api.exchange_hints), response("Done.", text()), INVALID
    ),
    metric="stamps",
    outcomes=frozenset({"torn"}),
    discovery_url="stamps_endpoint",
    discovery={"stamps_supported": ["red"]},
)
ALBUM = Endpoint(method="GET", path="/v1/album", describe=lambda _: {"operationId": "album"}, issuer_path="absent")
STAMPING = ApiPart(abilities=("stamp letters",), tokens=("stamp",), endpoints=(STAMPS, ALBUM))
HINTING = ApiPart(tokens=("seal",), exchange_hints={"color": text(enum=["red"])})
API = api_of((STAMPING, HINTING))


async def post_stamp(request: web.Request) -> web.Response:
    form = await read_form(request)
    if form.required("letter") == "torn":
        raise ProblemError(409, "torn", "the letter is torn", title="The letter cannot be stamped")
    stamped = request.app[IN_FLIGHT].result_of(_stamp(form.required("letter")))
    return json_response({"stamped": await stamped})


async def _stamp(letter: str) -> str:
    return letter.upper()


async def get_album(_: web.Request) -> web.Response:
    raise ProblemError(403, "closed", "come back later")


def an_app(issuer: str = ISSUER) -> web.Application:
    """The application of a replica that serves these endpoints in place of the real features."""
    metrics = make_metrics(endpoints=API.metrics, outcomes=API.outcomes)
    context = replace(Replica(issuer=issuer).app[CONTEXT], api=API, metrics=metrics)
    return make_app(context, [Route(STAMPS, post_stamp), Route(ALBUM, get_album)])


def counted(app: web.Application, outcome: str) -> float | None:
    labels = {"endpoint": "stamps", "outcome": outcome}
    return app[CONTEXT].metrics.registry.get_sample_value("tallystick_exchange_responses_total", labels)


async def test_it_is_served_and_counted_under_its_labels():
    app = an_app()

    async with TestClient(TestServer(app)) as client:
        good = await client.post("/oauth2/stamps", data={"letter": "a"})
        torn = await client.post("/oauth2/stamps", data={"letter": "torn"})
        body = await good.json()

    assert (good.status, body, torn.status) == (200, {"stamped": "A"}, 409)
    assert (counted(app, "ok"), counted(app, "torn")) == (1, 1)


async def test_its_problems_have_the_form_of_the_path():
    async with TestClient(TestServer(an_app())) as client:
        oauth = await client.post("/oauth2/stamps", data={"letter": "torn"})
        plain = await client.get("/v1/album")

        assert await oauth.json() == {"error": "torn", "error_description": "the letter is torn"}
        assert await plain.json() == {
            "type": "urn:problem:closed",
            "title": "Forbidden",
            "status": 403,
            "detail": "come back later",
        }


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/tally/oauth2/stamps", 200),
        ("POST", "/oauth2/stamps", 200),
        ("GET", "/v1/album", 403),
        ("HEAD", "/v1/album", 403),
        ("GET", "/tally/v1/album", 404),
        ("GET", "/v1/album/tally", 404),
        ("GET", "/oauth2/stamps", 405),
    ],
)
async def test_an_issuer_with_a_path_moves_only_what_is_to_be_moved(method, path, status):
    async with TestClient(TestServer(an_app(f"{ISSUER}/tally"))) as client:
        data = {"letter": "a"} if method == "POST" else None
        answer = await client.request(method, path, data=data)

        assert answer.status == status


def test_the_document_describes_it_with_the_hints_of_other_features():
    document = openapi(API)
    (body,) = document["paths"]["/oauth2/stamps"]["post"]["requestBody"]["content"].values()
    (token,) = document["paths"]["/oauth2/revoke"]["post"]["requestBody"]["content"].values()

    assert list(body["schema"]["properties"]) == ["letter", "color"]
    assert document["info"]["description"].startswith("Stamp letters.\n")
    assert token["schema"]["properties"]["token"]["description"] == "A stamp or a seal."
    assert list(document["paths"])[:4] == ["/oauth2/stamps", "/oauth2/introspect", "/oauth2/revoke", "/v1/album"]


def test_the_discovery_document_names_it():
    document = discovery(ISSUER, API)

    assert document["stamps_endpoint"] == f"{ISSUER}/oauth2/stamps"
    assert document["stamps_supported"] == ["red"]
